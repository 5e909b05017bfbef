"""One conversation as the client knows it: how far it has got here, how far its members are, what is unread.

Pure values and their rules, no I/O and no clock. What is queued and fetched for all conversations together is the
business of inbox.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from longlink.client.events import Message

KNOWN: Final = 1000
"""Mentions, and messages of the user, above the read mark that are known one by one; the oldest of more are counted
only."""


@dataclass(slots=True)
class Track:
    """position: everything up to here was queued for the application or sent by it; None until the server has said
    where this user stands. queued: messages that were queued and whose handling has not ended. taken: where it has.

    read: how far the user has read, on any device. acked, read_acked: what of both the server has.
    """

    position: int | None = None
    head: int = 0
    lowest_pushed: int | None = None
    taken: int = 0
    acked: int = 0
    read: int = 0
    read_acked: int = 0
    queued: int = 0
    held: dict[int, Message | None] = field(default_factory=dict)
    delivered: dict[str, int] = field(default_factory=dict)
    reads: dict[str, int] = field(default_factory=dict)
    fetch_at: float = 0.0
    misses: int = 0
    changed: int = 0
    """Stamp of the newest change that was seen."""
    mentions_counted: int = 0
    """Mentions above the read mark, as the server counted them when head was counted_at."""
    counted_at: int = 0
    mentioned: frozenset[int] = frozenset()
    own: frozenset[int] = frozenset()
    """Messages of the user above the read mark, as far as they are known one by one."""
    own_counted: int = 0
    """Others of them, which only the server has counted when head was counted_at."""

    @property
    def done(self) -> int:
        """Everything up to here is with the application, or was sent by it."""
        return (self.position or 0) if self.queued == 0 else self.taken

    @property
    def unread(self) -> int:
        """Messages of others above the read mark. Exact after a sync; after reading only a part of what was counted
        then, at least so many."""
        return max(0, self.head - self.read - self.own_above)

    @property
    def own_above(self) -> int:
        """Messages of the user above the read mark."""
        return len(self.own) + self.own_counted

    @property
    def mentions(self) -> int:
        """How many of them mention the user. Exact after a sync; after reading only a part of what was counted then, at
        most so many."""
        return min(self.unread, self.mentions_counted + len(self.mentioned))

    @property
    def lacking(self) -> int:
        """How many messages are missing before the first one that is held, or up to the head."""
        return min(self.held, default=self.head + 1) - 1 - (self.position or 0)

    def saw(self, seq: int, *, mentioned: bool) -> None:
        """A message of somebody else is in the log."""
        if mentioned and seq > max(self.read, self.counted_at):
            self.mentioned |= {seq}
            if len(self.mentioned) > KNOWN:
                self.mentioned -= {min(self.mentioned)}
                self.mentions_counted += 1

    def counted(self, head: int, read: int, mentions: int, unread: int) -> None:
        """The server has counted above a read mark: mentions, and messages of others."""
        if read < self.read or head < self.counted_at:
            return
        self.mentions_counted = mentions
        self.counted_at = head
        self.mentioned = frozenset(seq for seq in self.mentioned if seq > head)
        known = sum(read < seq <= head for seq in self.own)
        self.own_counted = max(0, head - read - unread - known)

    def read_to(self, seq: int) -> bool:
        """The read mark has moved; False when it has not."""
        if seq <= self.read:
            return False
        self.read = seq
        if self.mentioned:
            self.mentioned = frozenset(each for each in self.mentioned if each > seq)
        if self.own:
            self.own = frozenset(each for each in self.own if each > seq)
        self.own_counted = min(self.own_counted, max(0, self.counted_at - seq))
        if seq >= self.counted_at:
            self.mentions_counted = 0
        return True

    def go_back(self, head: int, delivered: int, read: int, kept: int) -> None:
        """The server's log is another one above `kept`. head, delivered, read: what the server has now."""
        self.head, self.acked, self.read_acked = head, delivered, read
        self.read = min(self.read, kept)
        self.mentions_counted = self.counted_at = self.own_counted = self.changed = self.misses = 0
        self.mentioned = self.own = frozenset()
        self.fetch_at = 0.0

    def wrote(self, seq: int) -> None:
        """The user has written a message, here or on another device: a user's own messages are not unread.

        The server moves the marks in the same way, so it need not be told.
        """
        if self.acked == seq - 1:
            self.acked = seq
        if self.read == seq - 1:
            told = self.read_acked == self.read
            self.read_to(seq)
            if told:
                self.read_acked = seq
        elif seq > self.read and seq not in self.own:
            self.own |= {seq}
            if seq <= self.counted_at:
                self.own_counted = max(0, self.own_counted - 1)
            if len(self.own) > KNOWN:
                self.own -= {min(self.own)}
                self.own_counted += 1
