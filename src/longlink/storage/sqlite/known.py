"""What the writer remembers of the database: users, conversations with heads and marks, pairs with a conversation.

Only the writer thread touches it, and only after a commit, so it is never ahead of the disk; the schema's keys stay the
guard. Bounded: the longest unused leave first. Never writes. Read next: plan.py.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeVar

import apsw
import msgspec

from longlink.storage.sqlite.engine import first_value

CONVERSATIONS: Final = 32_768
USERS: Final = 131_072

_FIND_USERS: Final = """
SELECT json_group_array(json_array(u.name, u.id))
FROM json_each(?) AS wanted CROSS JOIN users AS u ON u.name = wanted.value
"""
_FIND_DIRECTS: Final = """
SELECT json_group_array(json_array(d.user_a, d.user_b, c.public_id))
FROM json_each(?) AS wanted
CROSS JOIN directs AS d ON d.user_a = wanted.value ->> 0 AND d.user_b = wanted.value ->> 1
CROSS JOIN conversations AS c ON c.id = d.conversation
"""
_FIND_CONVERSATIONS: Final = """
SELECT json_group_array(json_array(c.id, c.public_id, c.kind, c.head, (
    SELECT min(listed) FROM members WHERE conversation = c.id), json((
    SELECT json_group_array(json_array(u.name, u.id, m.delivered, m.read) ORDER BY u.id)
    FROM members AS m CROSS JOIN users AS u ON u.id = m.user WHERE m.conversation = c.id))))
FROM json_each(?) AS wanted CROSS JOIN conversations AS c ON c.public_id = wanted.value
"""
_COUNTERS: Final = """
SELECT json_array((SELECT coalesce(max(id), 0) FROM users), (SELECT coalesce(max(id), 0) FROM conversations))
"""
_NEWEST: Final = "SELECT json_array(coalesce(max(changed), 0), coalesce(max(changed_at), 0)) FROM conversations"

_Pair = tuple[int, int]
_encode = msgspec.json.Encoder().encode
_users = msgspec.json.Decoder(list[tuple[str, int]])
_directs = msgspec.json.Decoder(list[tuple[int, int, str]])
_conversations = msgspec.json.Decoder(list[tuple[int, str, int, int, int, list[tuple[str, int, int, int]]]])
_two = msgspec.json.Decoder(tuple[int, int])


@dataclass(slots=True, eq=False)
class KnownConversation:
    """A conversation as it is on disk. members: name to user id, by id; names: of the members.

    marks: user id to the seqs up to which the user has received and has read everything.
    listed: the stamp by which all its members find it; 0 while not all do.
    """

    id: int
    public_id: str
    kind: int
    head: int
    members: dict[str, int]
    marks: dict[int, tuple[int, int]]
    names: tuple[str, ...]
    listed: int = 0


@dataclass(slots=True)
class Known:
    """The memory. last_user, last_conversation: the highest ids given out."""

    users: OrderedDict[str, int] = field(default_factory=OrderedDict)
    conversations: OrderedDict[str, KnownConversation] = field(default_factory=OrderedDict)
    directs: OrderedDict[_Pair, str] = field(default_factory=OrderedDict)
    last_user: int = 0
    last_conversation: int = 0

    def load_counters(self, connection: apsw.Connection) -> None:
        """Read the highest ids. Raises apsw.Error."""
        self.last_user, self.last_conversation = _two.decode(_text(first_value(connection, _COUNTERS, ())))

    def load_users(self, connection: apsw.Connection, names: Iterable[str]) -> None:
        """Read those of the names that exist and are not remembered. Raises apsw.Error."""
        missing = _missing(self.users, names)
        if missing:
            self.users.update(_users.decode(_text(first_value(connection, _FIND_USERS, (missing,)))))

    def load_directs(self, connection: apsw.Connection, pairs: Iterable[_Pair]) -> None:
        """The same for the conversations of pairs, the smaller id first. Raises apsw.Error."""
        missing = _missing(self.directs, pairs)
        if missing:
            found = _directs.decode(_text(first_value(connection, _FIND_DIRECTS, (missing,))))
            self.directs.update({(a, b): public_id for a, b, public_id in found})

    def load_conversations(self, connection: apsw.Connection, public_ids: Iterable[str]) -> None:
        """The same for conversations. Raises apsw.Error."""
        missing = _missing(self.conversations, public_ids)
        if not missing:
            return
        found = _conversations.decode(_text(first_value(connection, _FIND_CONVERSATIONS, (missing,))))
        for id_, public_id, kind, head, listed, rows in found:
            members = {name: user for name, user, _, _ in rows}
            marks = {user: (delivered, read) for _, user, delivered, read in rows}
            self.conversations[public_id] = KnownConversation(
                id_, public_id, kind, head, members, marks, tuple(members), listed
            )

    def trim(self) -> None:
        """Forget the longest unused beyond the bounds."""
        for memory, bound in ((self.users, USERS), (self.conversations, CONVERSATIONS), (self.directs, CONVERSATIONS)):
            while len(memory) > bound:
                memory.popitem(last=False)


def newest_change(connection: apsw.Connection) -> tuple[int, int]:
    """The newest stamp and the newest time on disk, in ms since the Unix epoch; 0 if there is none.

    One pass over the conversations, at start only. Raises apsw.Error.
    """
    return _two.decode(_text(first_value(connection, _NEWEST, ())))


_Key = TypeVar("_Key", str, _Pair)
_Value = TypeVar("_Value")


def _missing(memory: OrderedDict[_Key, _Value], wanted: Iterable[_Key]) -> str:
    missing = []
    for key in wanted:
        if key in memory:
            memory.move_to_end(key)
        else:
            missing.append(key)
    return _encode(missing).decode() if missing else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else "[]"
