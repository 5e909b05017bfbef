"""Conversations as one user sees them: one of them, those that changed, and those with their newest entries (sync).

Each answer is one step of SQLite. A page of changes is a walk along the stamps of the user's conversations, and costs
by its length, not by their number. Nothing is kept between pages, so the cursor says all. Never writes and never
waits. Read next: reader.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, NamedTuple

import apsw
import msgspec

from longlink import errors
from longlink.errors import LonglinkError
from longlink.storage.base import MENTIONS_COUNTED, OWN_COUNTED, Change, Changes, Conversation, Member, Synced
from longlink.storage.sqlite import plan
from longlink.storage.sqlite.engine import SENT_AT, first_value
from longlink.storage.sqlite.history import Rows, entries_of
from longlink.storage.sqlite.plan import conversation_unknown

# What things weigh in a Synced frame at most, beside the bytes of names and contents and of the JSON that is counted.
_PAGE_BYTES: Final = 128
_CONVERSATION_BYTES: Final = 16
_ENTRY_BYTES: Final = 64
# A whole conversation of two users whose names have 64 bytes.
_LARGEST_CONVERSATION_BYTES: Final = 240
# An entry that is heavier than such a part of the page is left to history, or it would take the room of all others.
_PARTS: Final = 8
# How many entries one page may look at, whether they fit or not.
_LOOKED_AT: Final = 4_096
# Beyond any stamp.
_FAR: Final = 1 << 62

# The orders of a page: newest change first; oldest first; by id, behind both, what has changed since the pass began. A
# conversation that changes leaves its place in the first two, but none in the last, which therefore ends.
_NEWEST, _OLDEST, _LATE = "newest", "oldest", "late"

# Of a row `found` with a conversation and `me`, the id of the user who asks.
_SHOWN: Final = f"""
found.public_id, found.kind, found.head, found.changed, found.changed_at,
found.head - (SELECT read FROM members WHERE conversation = found.id AND user = found.me) - (SELECT count(*) FROM (
    SELECT 1 FROM own_unread AS o WHERE o.conversation = found.id AND o.user = found.me
    AND o.seq > (SELECT read FROM members WHERE conversation = found.id AND user = found.me)
    LIMIT {OWN_COUNTED})),
(SELECT count(*) FROM (
    SELECT 1 FROM mentions AS n WHERE n.conversation = found.id AND n.user = found.me
    AND n.seq > (SELECT read FROM members WHERE conversation = found.id AND user = found.me)
    LIMIT {MENTIONS_COUNTED})),
json((SELECT json_group_array(json_array(u.name, m.delivered, m.read) ORDER BY u.id)
    FROM members AS m CROSS JOIN users AS u ON u.id = m.user WHERE m.conversation = found.id))
"""  # noqa: S608 - made of constants, as those below
_ONE: Final = f"""
SELECT json_array({_SHOWN})
FROM (SELECT c.*, (SELECT id FROM users WHERE name = ?1) AS me FROM conversations AS c WHERE c.public_id = ?2) AS found
"""  # noqa: S608
# What the user is shown, with `listed` in a range. A conversation's newest change lies at `listed` or less than LAG
# above it (plan.py), so the range is wider than the changes that are wanted, by LAG on each side.
_MINE: Final = """
FROM users AS me
CROSS JOIN members AS mine ON mine.user = me.id AND mine.listed > {low} AND mine.listed <= {high}
CROSS JOIN conversations AS c ON c.id = mine.conversation
WHERE me.name = :user AND c.changed > :since AND (c.head > 0 OR c.creator = me.id)
"""
# Downwards from the place. Below `stamp - LAG` nothing can have changed after the place: so many as fill the page lie
# between there and this one, and none that is newer than it lies more than LAG below.
_LOW: Final = """
max(0, max(:since, coalesce((SELECT listed FROM members
    WHERE user = me.id AND listed > 0 AND listed <= :stamp - :lag ORDER BY listed DESC LIMIT 1 OFFSET :limit), 0))
    - :lag - 1)
"""
# Upwards from the place, the same the other way round.
_HIGH: Final = f"""
:lag + coalesce((SELECT listed FROM members
    WHERE user = me.id AND listed > max(:since, :stamp) ORDER BY listed LIMIT 1 OFFSET :limit), {_FAR})
"""  # noqa: S608
_AFTER: Final = "max(0, max(:since, :stamp) - :lag)"
_LATE_MINE: Final = _MINE.format(low="max(0, :top - :lag)", high=_FAR) + "AND c.changed > :top"
# By kind of the page: which conversations it may show, and in which order. One more than the limit, to know whether
# there is another page.
_PAGES: Final = {
    _NEWEST: (
        _MINE.format(low=_LOW, high=":stamp")
        + "AND (c.changed < :stamp OR (c.changed = :stamp AND c.public_id > :public_id))",
        "c.changed DESC, c.public_id",
    ),
    _OLDEST: (
        _MINE.format(low=_AFTER, high=_HIGH)
        + "AND (c.changed > :stamp OR (c.changed = :stamp AND c.public_id > :public_id)) AND c.changed <= :upto",
        "c.changed, c.public_id",
    ),
    _LATE: (_LATE_MINE + " AND c.public_id > :public_id", "c.public_id"),
}
_FOUND: Final = {
    kind: f"""
SELECT c.*, me.id AS me, row_number() OVER (ORDER BY {order}) AS number
{mine} ORDER BY {order} LIMIT :limit + 1
"""
    for kind, (mine, order) in _PAGES.items()
}
# Whether something has changed since the pass began that its pages may have passed over. Asked behind the last of them.
_ANY_LATE: Final = f"iif(:ask_late, EXISTS (SELECT 1 {_LATE_MINE}), 0)"
_CHANGED: Final = {
    kind: f"""
WITH found AS MATERIALIZED ({found})
SELECT json_array(
    {_ANY_LATE},
    json((SELECT json_group_array(json_array({_SHOWN}) ORDER BY found.number) FROM found)))
"""  # noqa: S608
    for kind, found in _FOUND.items()
}
# Entries go into the page by their distance from the head, and at the same distance in the order of the conversations:
# so each conversation has its newest before any has more. Weights decide which ones; only then contents are read.
_SYNC: Final = {
    kind: f"""
WITH found AS MATERIALIZED ({found}),
shown AS MATERIALIZED (
    SELECT found.id, found.head, found.number, json_array({_SHOWN}) AS conversation
    FROM found WHERE found.number <= :limit),
weighed AS (
    SELECT s.number AS number, s.head - m.seq AS place, m.rowid AS entry,
           octet_length(m.content) + octet_length(m.client_id) + octet_length(u.name) + {_ENTRY_BYTES} AS weight
    FROM shown AS s CROSS JOIN messages AS m CROSS JOIN users AS u
    ON m.conversation = s.id AND m.seq BETWEEN s.head - :messages + 1 AND s.head AND m.stamp > :since
    AND u.id = m.sender),
light AS (
    SELECT number, place, entry, weight FROM (
        SELECT *, max(weight) OVER (PARTITION BY number ORDER BY place ROWS UNBOUNDED PRECEDING) AS heaviest
        FROM weighed)
    WHERE heaviest <= :page_bytes / {_PARTS}),
kept AS MATERIALIZED (
    SELECT number, entry FROM (
        SELECT *, sum(weight) OVER (ORDER BY place, number ROWS UNBOUNDED PRECEDING) AS total FROM light)
    WHERE total <= :page_bytes - (SELECT sum(octet_length(conversation) + {_CONVERSATION_BYTES}) FROM shown))
SELECT json_array(
    (SELECT count(*) > :limit FROM found),
    {_ANY_LATE},
    json((SELECT json_group_array(json_array(
        json(s.conversation),
        json((SELECT json_group_array(
                  json_array(m.seq, u.name, m.client_id, {SENT_AT}, m.stamp, hex(m.content)) ORDER BY m.seq)
              FROM kept AS k CROSS JOIN messages AS m ON m.rowid = k.entry CROSS JOIN users AS u ON u.id = m.sender
              WHERE k.number = s.number)),
        EXISTS (SELECT 1 FROM messages AS m WHERE m.conversation = s.id AND m.stamp > :since
                AND m.seq = s.head - (SELECT count(*) FROM kept AS k WHERE k.number = s.number))
    ) ORDER BY s.number) FROM shown AS s)))
"""  # noqa: S608
    for kind, found in _FOUND.items()
}

# Stamps rise with seq, so each of these is a walk down from the head over what came later.
_KEPT: Final = """
SELECT json_group_array(coalesce((
    SELECT max(m.seq) FROM messages AS m WHERE m.conversation = c.id AND m.stamp <= :agreed), 0) ORDER BY w.key)
FROM json_each(:ids) AS w CROSS JOIN conversations AS c ON c.public_id = w.value
"""

_Shown = tuple[str, int, int, int, int, int, int, list[tuple[str, int, int]]]
_one = msgspec.json.Decoder(_Shown)
_changes = msgspec.json.Decoder(tuple[int, list[_Shown]])
_seqs = msgspec.json.Decoder(list[int])
_encode = msgspec.json.Encoder().encode
_synced = msgspec.json.Decoder(tuple[int, int, list[tuple[_Shown, Rows, int]]])

# The pass by the letter in its cursor, and in which order the page goes: kinds of _PAGES.
_PASSES: Final = {"l": _OLDEST, "u": _LATE, "n": _NEWEST, "t": _LATE}
_LISTS, _SYNCS = "lu", "nt"
_CURSOR: Final = re.compile(r"([lunt])([0-9]{1,19})\.((?:d_[a-z2-7]{20})?)\.([0-9]{1,18})\.([0-9a-f]{12})", re.ASCII)


class Place(NamedTuple):
    """Where a page begins: behind this stamp and conversation.

    letter: of the pass, a key of _PASSES
    top: the newest stamp when the pass began; -1 on the first page, which finds out
    """

    letter: str
    stamp: int
    public_id: str
    top: int

    def behind(self, row: _Shown) -> Place:
        """The place of the page that follows this conversation."""
        return self._replace(stamp=row[3], public_id=row[0])

    def late(self) -> Place:
        """The place of the first page behind all others."""
        letter = _LISTS[1] if self.letter in _LISTS else _SYNCS[1]
        return Place(letter, 0, "", self.top)

    def cursor(self, user: str) -> str:
        """As text for `next` of this user's page: at most 80 characters, with everything in it."""
        return f"{self.letter}{self.stamp}.{self.public_id}.{self.top}.{_tag(user)}"


class OneQuery(NamedTuple):
    """The conversation as the user, a member, sees it now."""

    user: str
    public_id: str


@dataclass(frozen=True, slots=True)
class ListQuery:
    """As Conversations.changed of base.py."""

    user: str
    since: int
    limit: int
    place: Place


@dataclass(frozen=True, slots=True)
class SyncQuery:
    """As Conversations.sync of base.py."""

    user: str
    since: int
    limit: int
    place: Place
    messages: int
    page_bytes: int
    agreed: int | None


def list_query(user: str, since: int, cursor: str, limit: int) -> ListQuery:
    """Raises FIELD_INVALID for a cursor that read_changed did not give to this user."""
    place = _parse(user, cursor, _LISTS) if cursor else Place(_LISTS[0], 0, "", -1)
    return ListQuery(user, max(0, min(since, _FAR)), limit, place)


def sync_query(
    user: str, since: int, cursor: str, limit: int, messages: int, page_bytes: int, agreed: int | None
) -> SyncQuery:  # fmt: skip
    """agreed: the stamp up to which the client has seen this log; None if nobody can tell.

    Raises FIELD_INVALID for a cursor that read_sync did not give to this user.
    """
    place = _parse(user, cursor, _SYNCS) if cursor else Place(_SYNCS[0], _FAR, "", -1)
    room = page_bytes - _PAGE_BYTES
    limit = max(1, min(limit, room // _LARGEST_CONVERSATION_BYTES))
    return SyncQuery(user, max(0, since), limit, place, min(messages, _LOOKED_AT // limit), room, agreed)


def read_one(connection: apsw.Connection, query: OneQuery) -> Conversation | LonglinkError:
    """May raise apsw.Error."""
    text = first_value(connection, _ONE, query)
    return _conversation(_one.decode(text)) if isinstance(text, str) else conversation_unknown(query.public_id)


def read_changed(connection: apsw.Connection, query: ListQuery, committed: int) -> Changes:
    """committed: the stamp of a commit that this snapshot is certain to hold. May raise apsw.Error."""
    place, bindings = _begun(query, committed)
    text = first_value(connection, _CHANGED[_PASSES[place.letter]], bindings)
    late, rows = _changes.decode(text) if isinstance(text, str) else (0, [])
    shown = rows[: query.limit]
    onward = _onward(query.user, place, shown, len(rows) > query.limit, bool(late))
    return Changes(tuple([_conversation(row) for row in shown]), onward, place.top)


def read_sync(connection: apsw.Connection, query: SyncQuery, committed: int) -> Synced | LonglinkError:
    """As read_changed. SINCE_AHEAD for a stamp that no commit has reached."""
    if query.since > committed:
        message = f"since: expected at most {committed}, the newest change of this server; got {query.since}"
        return LonglinkError(errors.SINCE_AHEAD, message)
    place, bindings = _begun(query, committed)
    bindings |= {"messages": query.messages, "page_bytes": query.page_bytes}
    text = first_value(connection, _SYNC[_PASSES[place.letter]], bindings)
    more, late, rows = _synced.decode(text) if isinstance(text, str) else (0, 0, [])
    onward = _onward(query.user, place, [row for row, _, _ in rows], bool(more), bool(late))
    kept = _kept(connection, [row[0] for row, _, _ in rows], query.agreed)
    changes = [
        Change(_conversation(row), entries_of(entries), bool(rest), seq)
        for (row, entries, rest), seq in zip(rows, kept, strict=True)
    ]
    return Synced(tuple(changes), onward, place.top)


def _kept(connection: apsw.Connection, public_ids: list[str], agreed: int | None) -> list[int | None]:
    """The last seq with a stamp up to `agreed` of each conversation."""
    if agreed is None or not public_ids:
        return [None] * len(public_ids)
    text = first_value(connection, _KEPT, {"ids": _encode(public_ids).decode(), "agreed": agreed})
    return list(_seqs.decode(text)) if isinstance(text, str) else [None] * len(public_ids)


def _begun(query: ListQuery | SyncQuery, committed: int) -> tuple[Place, dict[str, str | int]]:
    """The place with the top of its pass, and what the statements are told.

    The first page shows whatever its snapshot holds. A later one must ask for what has changed since, for that may
    have left a place that was still to come.
    """
    place, first = query.place, query.place.top < 0
    if first:
        place = place._replace(top=committed)
    bindings: dict[str, str | int] = {
        "user": query.user,
        "since": query.since,
        "stamp": place.stamp,
        "public_id": place.public_id,
        "limit": query.limit,
        "top": place.top,
        "lag": plan.LAG,
        "upto": _FAR if first else place.top,
        "ask_late": not first and _PASSES[place.letter] is not _LATE,
    }
    return place, bindings


def _onward(user: str, place: Place, shown: Sequence[_Shown], more: bool, late: bool) -> str:
    """The cursor of the next page; empty behind the last."""
    if more:
        return place.behind(shown[-1]).cursor(user)
    return place.late().cursor(user) if late else ""


def _conversation(row: _Shown) -> Conversation:
    public_id, kind, head, stamp, changed_at, unread, mentions, members = row
    shown = tuple([Member(*member) for member in members])
    return Conversation(public_id, kind, head, shown, changed_at, stamp, unread, mentions)


def _parse(user: str, cursor: str, kinds: str) -> Place:
    match = _CURSOR.fullmatch(cursor)
    if match is None or match[1] not in kinds:
        raise LonglinkError(errors.FIELD_INVALID, "cursor must be empty or `next` of the page before; other text came")
    if match[5] != _tag(user):
        raise LonglinkError(errors.FIELD_INVALID, "cursor must be `next` of the same user's page; another user's came")
    return Place(match[1], int(match[2]), match[3], int(match[4]))


def _tag(user: str) -> str:
    # Against mistakes, not against forgery: whatever the cursor says, a page holds only the user's own conversations.
    return blake2b(user.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
