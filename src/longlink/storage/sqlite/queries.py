"""The two questions that readers answer, each in one step: a page of a log, and a page of changed conversations.

Synchronous, on a connection that the caller owns. Never writes and never waits. Read next: reader.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import apsw
import msgspec

from longlink import errors
from longlink.errors import LonglinkError
from longlink.storage.base import ENTRY_OVERHEAD_BYTES, Changes, Conversation, Entry, Member, Page
from longlink.storage.sqlite.engine import first_value
from longlink.storage.sqlite.plan import conversation_unknown, not_a_member

# before = 0: the range starts behind `after`; otherwise it ends before `before` and the head, whichever is less. What
# is too heavy for the page is left out before its content is read: length() of a blob looks at its header only.
_HISTORY: Final = """
SELECT json_group_array(json_array(found.head, found.member, found.low, found.high, json((
    SELECT json_group_array(json_array(m.seq, u.name, m.client_id, m.sent_at, hex(m.content)) ORDER BY m.seq)
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
    SELECT w.key AS number, c.id AS id, c.head AS head, w.value ->> 5 AS page_bytes,
           iif(w.value ->> 3 > 0, -1, 1) AS way,
           EXISTS (SELECT 1 FROM members AS m WHERE m.conversation = c.id
                   AND m.user = (SELECT id FROM users WHERE name = w.value ->> 1)) AS member,
           iif(w.value ->> 3 > 0,
               max(w.value ->> 2, min((w.value ->> 3) - 1, c.head) - (w.value ->> 4)), w.value ->> 2) + 1 AS low,
           iif(w.value ->> 3 > 0,
               min((w.value ->> 3) - 1, c.head), min((w.value ->> 2) + (w.value ->> 4), c.head)) AS high
    FROM json_each(?1) AS w LEFT JOIN conversations AS c ON c.public_id = w.value ->> 0
) AS found
"""
_CHANGED: Final = """
SELECT json_group_array(json_array(found.public_id, found.kind, found.head, found.changed, json((
    SELECT json_group_array(json_array(u.name, m.delivered) ORDER BY u.id)
    FROM members AS m CROSS JOIN users AS u ON u.id = m.user WHERE m.conversation = found.id)))
    ORDER BY found.changed, found.public_id)
FROM (
    SELECT c.id, c.public_id, c.kind, c.head, c.changed
    FROM users AS me
    CROSS JOIN members AS mine ON mine.user = me.id
    CROSS JOIN conversations AS c ON c.id = mine.conversation
    WHERE me.name = ?1 AND c.changed >= ?2 AND (c.changed, c.public_id) > (?3, ?4)
    ORDER BY c.changed, c.public_id LIMIT ?5
) AS found
"""
_CURSOR: Final = re.compile(r"([0-9]{1,18})\.(d_[a-z2-7]{20})\.([0-9]{1,15})", re.ASCII)

_encode = msgspec.json.Encoder().encode
_Rows = list[tuple[int, str, str, int, str]]
_pages = msgspec.json.Decoder(list[tuple[int | None, int, int | None, int | None, _Rows]])
_changes = msgspec.json.Decoder(list[tuple[str, int, int, int, list[tuple[str, int]]]])


# Far beyond any seq or time, and far enough below 2^63 for SQLite to add to it.
_FAR: Final = 1 << 52


class HistoryQuery(NamedTuple):
    """As Messages.history of base.py; the order of the fields is that of the SQL."""

    conversation: str
    user: str
    after: int
    before: int
    limit: int
    page_bytes: int


@dataclass(frozen=True, slots=True)
class ChangedQuery:
    """As Conversations.changed of base.py. start: where the page before ended; synced_at: of the first page, or -1."""

    user: str
    since: int
    limit: int
    start: tuple[int, str] = (0, "")
    synced_at: int = -1


def history_query(conversation: str, user: str, after: int, before: int, limit: int, page_bytes: int) -> HistoryQuery:
    """With numbers that SQLite can add to."""
    return HistoryQuery(conversation, user, min(after, _FAR), min(before, _FAR), min(limit, _FAR), page_bytes)


def parse_cursor(user: str, since: int, cursor: str, limit: int) -> ChangedQuery:
    """Raises FIELD_INVALID for a cursor that read_changed did not give."""
    since = max(0, min(since, _FAR))
    if not cursor:
        return ChangedQuery(user, since, limit)
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise LonglinkError(errors.FIELD_INVALID, "cursor must be empty or `next` of the page before; other text came")
    return ChangedQuery(user, since, limit, (int(match[1]), match[2]), int(match[3]))


def read_history(connection: apsw.Connection, queries: Sequence[HistoryQuery]) -> list[Page | LonglinkError]:
    """One answer per query, all from one snapshot. May raise apsw.Error."""
    text = first_value(connection, _HISTORY, (_encode(queries).decode(), ENTRY_OVERHEAD_BYTES))
    found = _pages.decode(text) if isinstance(text, str) else []
    return [_page(query, *row) for query, row in zip(queries, found, strict=True)]


def _page(
    query: HistoryQuery, head: int | None, member: int, low: int | None, high: int | None, rows: _Rows
) -> Page | LonglinkError:
    if head is None or low is None or high is None:
        return conversation_unknown(query.conversation)
    if not member:
        return not_a_member(query.conversation, query.user)
    entries = tuple(
        [
            Entry(seq, sender, client_id, sent_at, bytes.fromhex(content))
            for seq, sender, client_id, sent_at, content in rows
        ]
    )
    more = bool(entries) and (entries[0].seq > query.after + 1 if query.before > 0 else entries[-1].seq < head)
    return Page(entries, head, more)


def read_changed(connection: apsw.Connection, query: ChangedQuery, committed: int) -> Changes:
    """committed: the stamp of a commit that this snapshot is certain to hold. May raise apsw.Error."""
    # The time of the first page holds for all: what changes meanwhile comes again at the next sync, rather than never.
    synced_at = committed // 1000 if query.synced_at < 0 else query.synced_at
    bindings = (query.user, query.since * 1000, *query.start, query.limit + 1)
    text = first_value(connection, _CHANGED, bindings)
    rows = _changes.decode(text) if isinstance(text, str) else []
    shown = tuple(
        [
            Conversation(public_id, kind, head, tuple([Member(*member) for member in members]), changed // 1000)
            for public_id, kind, head, changed, members in rows[: query.limit]
        ]
    )
    if len(rows) <= query.limit:
        return Changes(shown, "", synced_at)
    public_id, _, _, changed, _ = rows[query.limit - 1]
    return Changes(shown, f"{changed}.{public_id}.{synced_at}", synced_at)
