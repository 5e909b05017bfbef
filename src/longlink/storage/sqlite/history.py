"""Pages of logs: all that are asked for together are one step of SQLite.

Synchronous, on a connection that the caller owns. Never writes and never waits. Read next: reader.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import apsw
import msgspec

from longlink.errors import LonglinkError
from longlink.storage.base import ENTRY_OVERHEAD_BYTES, Entry, Page
from longlink.storage.sqlite.engine import SENT_AT, first_value
from longlink.storage.sqlite.plan import conversation_unknown, not_a_member

# way: 1 fills the range between `after` and `before` from its low end, -1 from its high end. What is too heavy for the
# page is left out before its content is read: length() of a blob looks at its header only.
_HISTORY: Final = f"""
SELECT json_group_array(json_array(found.head, found.stamp, found.member, found.low, found.high, json((
    SELECT json_group_array(json_array(m.seq, u.name, m.client_id, {SENT_AT}, m.stamp, hex(m.content)) ORDER BY m.seq)
    FROM (
        SELECT rowid AS entry, row_number() OVER near AS place,
               sum(length(content) + ?2) OVER near AS weight
        FROM messages
        WHERE found.member AND conversation = found.id AND seq BETWEEN found.low AND found.high
        WINDOW near AS (ORDER BY seq * found.way ROWS UNBOUNDED PRECEDING)
    ) AS range CROSS JOIN messages AS m ON m.rowid = range.entry CROSS JOIN users AS u ON u.id = m.sender
    WHERE range.place = 1 OR range.weight <= found.page_bytes)))
    ORDER BY found.number)
FROM (
    SELECT w.key AS number, c.id AS id, c.head AS head, c.changed AS stamp,
           w.value ->> 5 AS page_bytes, w.value ->> 6 AS way,
           EXISTS (SELECT 1 FROM members AS m WHERE m.conversation = c.id
                   AND m.user = (SELECT id FROM users WHERE name = w.value ->> 1)) AS member,
           iif(w.value ->> 6 < 0,
               max(w.value ->> 2, min((w.value ->> 3) - 1, c.head) - (w.value ->> 4)), w.value ->> 2) + 1 AS low,
           min((w.value ->> 3) - 1, c.head, iif(w.value ->> 6 < 0, c.head, (w.value ->> 2) + (w.value ->> 4))) AS high
    FROM json_each(?1) AS w LEFT JOIN conversations AS c ON c.public_id = w.value ->> 0
) AS found
"""  # noqa: S608 - made of a constant

Rows = list[tuple[int, str, str, int, int, str]]
"""Entries as SQLite gathers them: seq, sender, client_id, sent_at, stamp, content in hex."""

_encode = msgspec.json.Encoder().encode
_pages = msgspec.json.Decoder(list[tuple[int | None, int | None, int, int | None, int | None, Rows]])


# Far beyond any seq or time, and far enough below 2^63 for SQLite to add to it.
_FAR: Final = 1 << 52


class HistoryQuery(NamedTuple):
    """As Messages.history of base.py, in the order of the SQL. before: beyond any seq for none; way: as above."""

    conversation: str
    user: str
    after: int
    before: int
    limit: int
    page_bytes: int
    way: int


def history_query(conversation: str, user: str, after: int, before: int, limit: int, page_bytes: int) -> HistoryQuery:
    """With numbers that SQLite can add to."""
    way = -1 if before and not after else 1
    before = min(before or _FAR, _FAR)
    return HistoryQuery(conversation, user, min(after, _FAR), before, min(limit, _FAR), page_bytes, way)


def read_history(connection: apsw.Connection, queries: Sequence[HistoryQuery]) -> list[Page | LonglinkError]:
    """One answer per query, all from one snapshot. May raise apsw.Error."""
    text = first_value(connection, _HISTORY, (_encode(queries).decode(), ENTRY_OVERHEAD_BYTES))
    found = _pages.decode(text) if isinstance(text, str) else []
    return [_page(query, *row) for query, row in zip(queries, found, strict=True)]


def _page(
    query: HistoryQuery, head: int | None, stamp: int | None, member: int, low: int | None, high: int | None, rows: Rows
) -> Page | LonglinkError:
    if head is None or stamp is None or low is None or high is None:
        return conversation_unknown(query.conversation)
    if not member:
        return not_a_member(query.conversation, query.user)
    entries = entries_of(rows)
    more = bool(entries) and (entries[0].seq > 1 if query.way < 0 else entries[-1].seq < min(head, query.before - 1))
    return Page(entries, head, more, stamp)


def entries_of(rows: Rows) -> tuple[Entry, ...]:
    return tuple(
        [
            Entry(seq, sender, client_id, sent_at, stamp, bytes.fromhex(content))
            for seq, sender, client_id, sent_at, stamp, content in rows
        ]
    )
