"""Turns the requests of one batch into answers and rows, in the order of the calls, in memory.

A plan is laid over what is known and changes it only when the commit has succeeded, so a failed commit needs no undo.
It assumes that no message is a resend, unless told which are stored; the unique key of the table proves it wrong, and
the batch is planned again. Never touches the database. Read next: committer.py, which loads before and writes after.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from longlink import errors
from longlink.errors import LonglinkError
from longlink.storage.base import Append, Appended, Mark, Marked
from longlink.storage.sqlite.known import Known, KnownConversation
from longlink.storage.sqlite.requests import Answer, Appends, Marks, OpenDirect, Probe, Remember, Request

# longlink.v1.Conversation.Kind.DIRECT
DIRECT: Final = 1
_ID_CHARACTERS: Final = 20
LAG: Final = 256
"""So far `listed` of a member may lie below the stamp of the newest change. Rows on disk rely on it: never lower it."""

MessageKey = tuple[int, int, str]


class StoredMessage(NamedTuple):
    """What a resend meets."""

    seq: int
    sent_at: int
    stamp: int
    content: bytes


_encode = msgspec.json.Encoder().encode


class Plan:
    """One batch.

    stamp: of this commit.
    now_ms: what the clock says, for people; ms since the Unix epoch.
    stored: the messages of this batch that are already on disk.
    """

    def __init__(self, known: Known, stamp: int, now_ms: int, stored: dict[MessageKey, StoredMessage]) -> None:
        self._known = known
        self._stamp = stamp
        self._now_ms = now_ms
        self._stored = dict(stored)
        self._users: dict[str, int] = {}
        self._opened: dict[str, KnownConversation] = {}
        self._creators: dict[str, int] = {}
        self._directs: dict[tuple[int, int], str] = {}
        self._messages: list[tuple[int, int, int, str, int, int]] = []
        self._contents: list[bytes] = []
        self._mentions: list[tuple[int, int, int]] = []
        self._own: list[tuple[int, int, int]] = []
        self._offset = 1
        self._touched: dict[int, KnownConversation] = {}
        self._heads: dict[int, int] = {}
        self._marks: dict[tuple[int, int], tuple[int, int]] = {}
        self._relisted: list[KnownConversation] = []
        self._probe = False
        self.appended = 0
        self.duplicates = 0

    def answer(self, request: Request) -> Answer:
        """Plan one request and return what its caller gets if the commit succeeds."""
        match request:
            case Appends(items):
                return [self._append(item) for item in items]
            case Marks(items):
                return [self._mark(mark) for mark in items]
            case OpenDirect():
                return self._open_direct(request)
            case Remember(users):
                self._remember(users)
                return None
            case Probe():
                self._probe = True
                return None

    @property
    def keys(self) -> list[MessageKey]:
        """The keys of the messages to insert."""
        return [(conversation, sender, client_id) for conversation, _, sender, client_id, _, _ in self._messages]

    @property
    def newest_change(self) -> int:
        """The stamp that conversations get by this plan; 0 when none changes."""
        return self._stamp if self._touched or self._opened else 0

    @property
    def marked(self) -> int:
        """How many members' marks move."""
        return len(self._marks)

    def row(self) -> tuple[object, ...] | None:
        """The row for the view `work` of schema/sqlite/commit.sql, or None when there is nothing to write."""
        if not (self._messages or self._marks or self._users or self._opened or self._probe):
            return None
        opened = self._opened.values()
        return (
            self._stamp,
            self._now_ms,
            _rows([(id_, name) for name, id_ in self._users.items()]),
            _rows([(c.id, c.public_id, c.kind, self._creators[c.public_id]) for c in opened]),
            _rows([(*pair, self._opened[public_id].id) for pair, public_id in self._directs.items()]),
            _rows([(c.id, user, user == self._creators[c.public_id]) for c in opened for user in c.marks]),
            _rows(self._messages),
            b"".join(self._contents),
            _rows(self._mentions),
            _rows(self._own),
            _rows({id_: self._heads.get(id_, c.head) for id_, c in self._touched.items()}),
            _rows([c.id for c in self._listed()]),
            _rows([(*member, *marks) for member, marks in self._marks.items()]),
            self._probe,
        )

    def _listed(self) -> Sequence[KnownConversation]:
        """The conversations of which all members get a new `listed`."""
        bound = self._stamp - LAG
        self._relisted = [c for c in self._touched.values() if c.listed <= bound or not c.listed]
        return self._relisted

    def apply(self) -> None:
        """The commit succeeded: what was planned is now known."""
        known = self._known
        known.users.update(self._users)
        known.conversations.update(self._opened)
        known.directs.update(self._directs)
        known.last_user += len(self._users)
        known.last_conversation += len(self._opened)
        for id_, conversation in self._touched.items():
            conversation.head = self._heads.get(id_, conversation.head)
        for conversation in self._relisted:
            conversation.listed = self._stamp
        for (id_, user), marks in self._marks.items():
            self._touched[id_].marks[user] = marks
        known.trim()

    def _find(self, public_id: str, user: str) -> tuple[KnownConversation, int] | LonglinkError:
        conversation = self._known.conversations.get(public_id) or self._opened.get(public_id)
        if conversation is None:
            return conversation_unknown(public_id)
        member = conversation.members.get(user)
        if member is None:
            return not_a_member(public_id, user)
        return conversation, member

    def _append(self, item: Append) -> Appended | LonglinkError:
        found = self._find(item.conversation, item.sender)
        if isinstance(found, LonglinkError):
            return found
        conversation, sender = found
        key = (conversation.id, sender, item.client_id)
        stored = self._stored.get(key)
        if stored is not None:
            return self._resent(item, conversation, stored)
        seq = self._heads.get(conversation.id, conversation.head) + 1
        size = len(item.content)
        self._heads[conversation.id] = seq
        self._touched[conversation.id] = conversation
        self._messages.append((conversation.id, seq, sender, item.client_id, self._offset, size))
        self._contents.append(item.content)
        self._offset += size
        self._stored[key] = StoredMessage(seq, self._now_ms, self._stamp, item.content)
        self.appended += 1
        # A user's own entries are never unread. Across a gap a mark stays, for it would say that the gap was received.
        own = (conversation.id, sender)
        delivered, read = self._marks.get(own) or conversation.marks[sender]
        if delivered == seq - 1:
            self._marks[own] = (seq, seq if read == delivered else read)
        if read != seq - 1:
            self._own.append((conversation.id, sender, seq))
        if item.mentions or item.mentions_all:
            self._mention(item, conversation, seq)
        return Appended(seq, self._now_ms, self._stamp, False, conversation.names)

    def _mention(self, item: Append, conversation: KnownConversation, seq: int) -> None:
        members = conversation.members
        names = members if item.mentions_all else {name: None for name in item.mentions if name in members}
        self._mentions += [(conversation.id, members[name], seq) for name in names if name != item.sender]

    def _resent(self, item: Append, conversation: KnownConversation, stored: StoredMessage) -> Appended | LonglinkError:
        if stored.content != item.content:
            message = f"client_id {item.client_id!r} is stored as seq {stored.seq} with other content"
            return LonglinkError(errors.CONTENT_DIFFERS, message)
        self.duplicates += 1
        return Appended(stored.seq, stored.sent_at, stored.stamp, True, conversation.names)

    def _mark(self, mark: Mark) -> Marked | LonglinkError:
        found = self._find(mark.conversation, mark.user)
        if isinstance(found, LonglinkError):
            return found
        conversation, user = found
        head = self._heads.get(conversation.id, conversation.head)
        if mark.delivered > head or mark.read > head:
            message = f"seq and read must be at most the head, {head}; {mark.delivered} and {mark.read} came"
            return LonglinkError(errors.SEQ_AHEAD, message)
        key = (conversation.id, user)
        delivered, read = self._marks.get(key) or conversation.marks[user]
        if read_moved := mark.read > read:
            read = mark.read
        asked = read if read > mark.delivered else mark.delivered
        if delivered_moved := asked > delivered:
            delivered = asked
        if delivered_moved or read_moved:
            self._marks[key] = (delivered, read)
            self._touched[conversation.id] = conversation
        return Marked(delivered, read, delivered_moved, read_moved, conversation.names)

    def _remember(self, users: Sequence[str]) -> None:
        for name in users:
            if name not in self._known.users and name not in self._users:
                self._users[name] = self._known.last_user + len(self._users) + 1

    def _user(self, name: str) -> int | None:
        return self._known.users.get(name) or self._users.get(name)

    def _open_direct(self, asked: OpenDirect) -> tuple[str, bool] | LonglinkError:
        names = (asked.user, asked.peer)
        ids = [self._user(name) for name in names]
        if None not in ids:
            pair = _pair(ids)
            public_id = self._known.directs.get(pair) or self._directs.get(pair)
            if public_id is not None:
                return public_id, False
        if not asked.create:
            return LonglinkError(errors.CONVERSATION_UNKNOWN, f"there is no conversation with {asked.peer!r} yet")
        if ids[1] is None and not asked.accept and asked.peer != asked.user:
            return LonglinkError(errors.USER_UNKNOWN, f"user {asked.peer!r} is not known, or you may not write to them")
        self._remember(names)
        return self._new_direct(names), True

    def _new_direct(self, names: Sequence[str]) -> str:
        """names: of the creator and the peer, both known to this plan."""
        ids = {name: self._user(name) or 0 for name in names}
        members = dict(sorted(ids.items(), key=lambda member: member[1]))
        public_id = new_direct_id()
        id_ = self._known.last_conversation + len(self._opened) + 1
        marks = dict.fromkeys(members.values(), (0, 0))
        self._opened[public_id] = KnownConversation(id_, public_id, DIRECT, 0, members, marks, tuple(members))
        self._creators[public_id] = ids[names[0]]
        self._directs[_pair(list(ids.values()))] = public_id
        return public_id


def conversation_unknown(public_id: str) -> LonglinkError:
    return LonglinkError(errors.CONVERSATION_UNKNOWN, f"there is no conversation {public_id!r}")


def not_a_member(public_id: str, user: str) -> LonglinkError:
    return LonglinkError(errors.NOT_A_MEMBER, f"user {user!r} is not a member of {public_id!r}")


def _pair(ids: Sequence[int | None]) -> tuple[int, int]:
    known = [id_ for id_ in ids if id_]
    return min(known), max(known)


def new_direct_id() -> str:
    """An id that cannot be guessed: 100 random bits."""
    return "d_" + base64.b32encode(secrets.token_bytes(13)).decode().lower()[:_ID_CHARACTERS]


def _rows(rows: Sequence[tuple[object, ...]] | Sequence[int] | dict[int, int]) -> str | None:
    return _encode(rows).decode() if rows else None
