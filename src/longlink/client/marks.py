"""How far the members of conversations are: marks that arrive, and the events that wait because of them.

Pure: no I/O, no clock. Marks only rise, so what waits is one number a user and kind, however often it has risen. Read
next: track.py, where they are kept; receipts.py, which tells the server the marks of this user.
"""

from __future__ import annotations

from longlink.client.events import Delivered, Read
from longlink.client.track import Track
from longlink.protocol import frames

Marked = type[Delivered] | type[Read]


class Marks:
    """Those of one client: of other members, and what its own user has read on other devices."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[Marked, str, str], int] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def take(self) -> Delivered | Read:
        """The one that has waited longest."""
        kind, conversation, user = oldest = next(iter(self._waiting))
        return kind(conversation, user, self._waiting.pop(oldest))

    def forget(self, conversation: str) -> None:
        """What waits of a conversation is of another log."""
        self._waiting = {key: seq for key, seq in self._waiting.items() if key[1] != conversation}

    def delivered(self, conversation: str, track: Track, user: str, seq: int) -> bool:
        """A member has received everything up to seq; whether that is new."""
        if seq <= track.delivered.get(user, 0):
            return False
        track.delivered[user] = seq
        self._waiting[Delivered, conversation, user] = seq
        return True

    def read(self, conversation: str, track: Track, user: str, seq: int) -> bool:
        """A member has read everything up to seq, and so received it; whether that is new."""
        if seq <= track.reads.get(user, 0):
            return False
        track.reads[user] = seq
        track.delivered[user] = max(seq, track.delivered.get(user, 0))
        if self._waiting.get((Delivered, conversation, user), seq + 1) <= seq:
            del self._waiting[Delivered, conversation, user]
        self._waiting[Read, conversation, user] = seq
        return True

    def read_here(self, conversation: str, track: Track, user: str, seq: int) -> bool:
        """The user has read on another device; whether that is new."""
        track.read_acked = max(track.read_acked, seq)
        if not track.read_to(seq):
            return False
        self._waiting[Read, conversation, user] = seq
        return True

    def listed(self, listed: frames.Conversation, track: Track, user: str, *, new: bool) -> None:
        """What the server says of all members. user: whose client this is.

        new: the conversation was not known before, so nothing has moved.
        """
        for member in listed.members:
            if member.user == user:
                track.acked = max(track.acked, member.delivered)
                if new:
                    track.read_acked = max(track.read_acked, member.read)
                    track.read_to(member.read)
                else:
                    self.read_here(listed.id, track, user, member.read)
                track.counted(listed.head, member.read, listed.mentions, listed.unread)
            elif new:
                track.delivered[member.user] = max(member.delivered, track.delivered.get(member.user, 0))
                track.reads[member.user] = max(member.read, track.reads.get(member.user, 0))
            else:
                self.read(listed.id, track, member.user, member.read)
                self.delivered(listed.id, track, member.user, member.delivered)
                # Offline, these are the members.
                track.delivered.setdefault(member.user, 0)
