"""What every storage backend offers: the values that go in and out, and the narrow interfaces.

A store is three table groups and a life cycle. All methods are asyncio-friendly and never block the loop. Writes of one
user are applied in the order of their calls, whether or not the first was awaited; those of different users take turns.
Every write is durable when its await returns. A *stamp* numbers the commits: it only rises, across restarts too, and
says nothing of the time of day. Nothing here is SQL. Read next: sqlite/, the embedded backend.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from msgspec import Struct

from longlink.errors import LonglinkError

ENTRY_OVERHEAD_BYTES: Final = 256
"""Upper bound of what an entry weighs beside its content: ids of at most 64 bytes each, numbers, tags."""

Histogram = tuple[Sequence[float], Sequence[int], float]
"""Upper bounds, cumulative counts (one more than bounds, for +Inf), sum."""


MENTIONS_COUNTED: Final = 1_000
"""Unread mentions of a conversation are counted up to here: more are shown as so many."""


OWN_COUNTED: Final = 10_000
"""Entries of the reader above their own read mark are left out of `unread` up to here."""


class Append(Struct, frozen=True, gc=False):
    """One message to append. content: serialized longlink.v1.Content. client_id: unique per conversation and sender.

    mentions: users whom it mentions; those who are no members, and the sender, are left out. mentions_all: all others.
    """

    conversation: str
    sender: str
    client_id: str
    content: bytes
    mentions: tuple[str, ...] = ()
    mentions_all: bool = False


class Appended(Struct, frozen=True, gc=False):
    """Where it stands.

    stamp: of the commit that stored it.
    members: every user who is to get it, the sender included.
    """

    seq: int
    sent_at: int
    stamp: int
    duplicate: bool
    members: tuple[str, ...]


class Entry(Struct, frozen=True, gc=False):
    """One entry of a conversation's log.

    sent_at: what the clock said, ms since the Unix epoch; for people only, it may decrease along the log.
    stamp: of the commit that stored it; never decreases along the log.
    """

    seq: int
    sender: str
    client_id: str
    sent_at: int
    stamp: int
    content: bytes


class Page(Struct, frozen=True, gc=False):
    """A page of a log in ascending order of seq.

    more: whether what was asked for holds more.
    stamp: of the newest change of the conversation.
    """

    entries: tuple[Entry, ...]
    head: int
    more: bool
    stamp: int


class Member(Struct, frozen=True, gc=False):
    """delivered: everything up to this seq has been received; read: and read, so never above delivered."""

    user: str
    delivered: int
    read: int


class Conversation(Struct, frozen=True, gc=False):
    """A conversation as one of its members sees it.

    kind: longlink.v1.Conversation.Kind
    changed_at: when the newest entry was stored or mark moved, ms since the Unix epoch
    stamp: of that change
    unread: entries of others above the member's read mark; of the member's own ones at most OWN_COUNTED are left out
    mentions: how many of them mention the member, at most MENTIONS_COUNTED
    """

    id: str
    kind: int
    head: int
    members: tuple[Member, ...]
    changed_at: int
    stamp: int
    unread: int
    mentions: int


class Opened(Struct, frozen=True, gc=False):
    """A direct conversation, and whether this call created it."""

    conversation: Conversation
    created: bool


class Changes(Struct, frozen=True, gc=False):
    """One page of the conversations that changed; next is the cursor of the following page, empty on the last one.

    synced_at: the stamp to pass as `since` next time; every commit that this page may not show has a higher one.
    """

    conversations: tuple[Conversation, ...]
    next: str
    synced_at: int


class Change(Struct, frozen=True, gc=False):
    """A conversation that changed, with its newest entries of that time in ascending order of seq.

    more: whether there are older entries of that time.
    kept: up to which seq the log is the one that the client has seen; None if that was not asked or nobody can tell.
    """

    conversation: Conversation
    entries: tuple[Entry, ...]
    more: bool
    kept: int | None = None


class Seen(NamedTuple):
    """What a client has seen of this log, or of a copy that went another way.

    epoch: Store.epoch of that time; empty if it does not say.
    newest: the highest stamp that it has seen then.
    """

    epoch: str = ""
    newest: int = 0


NOTHING: Final = Seen()


class Synced(Struct, frozen=True, gc=False):
    """One page of a pass over what changed; next and synced_at as in Changes, the latter the same on all its pages."""

    changes: tuple[Change, ...]
    next: str
    synced_at: int


class Mark(Struct, frozen=True, gc=False):
    """The user has received everything up to and including delivered, and read up to read. 0 says nothing of it."""

    conversation: str
    user: str
    delivered: int
    read: int = 0


class Marked(Struct, frozen=True, gc=False):
    """The marks that hold now, and which of them this call has raised. members: who is to hear of it."""

    delivered: int
    read: int
    delivered_moved: bool
    read_moved: bool
    members: tuple[str, ...]


class Messages(Protocol):
    """The message log."""

    async def append(self, batch: Sequence[Append]) -> list[Appended | LonglinkError]:
        """Append in order, in a durable commit shared with whatever else waits; one result per item.

        Membership is checked in the same transaction. Per item: CONVERSATION_UNKNOWN, NOT_A_MEMBER, or CONTENT_DIFFERS
        (the client_id is stored with other content). A resend, within the batch too, gives the first answer with
        duplicate=True. Each mark of the sender that stood just below the new seq moves to it. Raises for the whole
        batch, with nothing stored: OVERLOADED, STORAGE_UNAVAILABLE.

        When more waits than one commit holds, users take turns and a batch may take several commits. Then each item
        may have these two errors by itself: OVERLOADED from the item on with which its user holds too much of the line.
        """

    async def history(
        self, conversation: str, user: str, *, after: int, before: int, limit: int, page_bytes: int
    ) -> Page:
        """Entries with seq > after, and seq < before when before > 0: the oldest, or with before alone the newest.

        At most limit, and at most page_bytes of contents and ENTRY_OVERHEAD_BYTES each, but always the first one, so
        that every reader makes progress. more: whether others lie within the bounds.

        Sees every write that this user called before it. Raises CONVERSATION_UNKNOWN, NOT_A_MEMBER,
        STORAGE_UNAVAILABLE, OVERLOADED when too many reads wait, of this user or of all.
        """


class Conversations(Protocol):
    """Conversations, their members and the members' marks."""

    async def open_direct(self, user: str, peer: str, *, accept: bool = True, create: bool = True) -> Opened:
        """The one direct conversation of two users, durable when this returns. The user is known from then on.

        accept: whether a peer who is not known yet becomes known; otherwise USER_UNKNOWN is raised
        create: whether the conversation may be created; otherwise CONVERSATION_UNKNOWN is raised if there is none

        A conversation of a user with themselves has one member. While it has no entry, `changed` and `sync` show it
        to the user who created it and to nobody else.
        """

    async def changed(self, user: str, *, since: int, cursor: str, limit: int) -> Changes:
        """The user's conversations with a stamp above since, oldest change first; a mark that moved is a change too.

        Sees every write that this user called before it. Raises FIELD_INVALID for a bad cursor, STORAGE_UNAVAILABLE,
        OVERLOADED as history does.
        """

    async def sync(
        self, user: str, *, since: int, cursor: str, limit: int, messages: int, page_bytes: int, seen: Seen = NOTHING
    ) -> Synced:  # fmt: skip
        """The user's conversations with a stamp above since, newest change first, each with its newest entries above
        since.

        At most limit conversations and messages entries of each, and at most page_bytes on the wire, but always one
        conversation. When not all entries fit, each conversation has its newest before any has more; large ones are
        left out, and with them what is older. `more` tells. After the last of several pages come those that have
        changed since the first, each once: a conversation that overtakes the pages is not passed over, and a pass ends
        however fast they change. What changes behind its page has a stamp above synced_at, so the next pass shows it.

        With since 0 nothing is refused for what was seen: each change says up to where that is in this log, too.

        Raises SINCE_AHEAD for a stamp that this store has not reached and for what was not seen in this log,
        FIELD_INVALID for a cursor that is not `next` of
        a page of this user, STORAGE_UNAVAILABLE, OVERLOADED as history does.
        """

    async def mark(self, batch: Sequence[Mark]) -> list[Marked | LonglinkError]:
        """Raise marks, never lower them; a read mark raises the delivered one. One result per item.

        Marks are no reason for a commit of their own: they wait a few milliseconds for one that they can share.
        A batch may take several commits, as in `append`, and OVERLOADED and STORAGE_UNAVAILABLE then come per item.

        Per item: CONVERSATION_UNKNOWN, NOT_A_MEMBER, or SEQ_AHEAD (one of the two is beyond the head; neither moves).
        """


class Users(Protocol):
    """Who exists."""

    async def remember(self, users: Sequence[str]) -> None:
        """These users are known from now on; durable. Known already is fine."""


class Store(Protocol):
    """A whole backend."""

    @property
    def messages(self) -> Messages: ...
    @property
    def conversations(self) -> Conversations: ...
    @property
    def users(self) -> Users: ...

    @property
    def problem(self) -> str:
        """Why the store is not ready since something failed; empty while nothing does. Costs nothing."""
        ...

    @property
    def epoch(self) -> str:
        """Names this log since it was opened, for Seen: printable ASCII, at most 256 characters."""
        ...

    async def check(self) -> None:
        """Whether a write would work now (a real one, durable). Raises STORAGE_UNAVAILABLE with the reason."""

    def stats(self) -> Mapping[str, float | Histogram]:
        """Numbers for metrics, by the names that ops/catalogue.py describes; cheap, never blocks."""

    async def close(self) -> None:
        """Finish what waits, checkpoint, close. Idempotent."""
