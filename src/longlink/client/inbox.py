"""What has arrived and what is missing: positions, duplicates, gaps, the bounded queue, delivered marks, acks.

Pure: no I/O, no clock (`now` is passed in, in seconds). Per conversation a position says up to where everything has
been queued for the application. A message below it is a duplicate; one above it reveals a gap, which is fetched from
history. When the queue is full nothing is queued any more, so the rest looks like a gap and is fetched once there is
room: memory stays bounded and nothing is lost. Delivery marks wait as numbers, not as events, until they are taken.
Read next: exchange.py, which fetches and acknowledges.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from longlink.client import events
from longlink.client.events import Delivered, Event, Message, Notice, State
from longlink.protocol import frames

GRACE_S: Final = 0.03
"""A gap seen in a push is fetched only after so long: our own message's answer or a late push usually fills it."""
RETRY_S: Final = 1.0
RETRY_CAP_S: Final = 30.0
STATES: Final = 64
"""State events and notices that wait at most; the oldest are dropped, since the newest say how things are."""


@dataclass(slots=True)
class Track:
    """One conversation. position: None until the server has said where this user stands."""

    position: int | None = None
    head: int = 0
    lowest_pushed: int | None = None
    taken: int = 0
    acked: int = 0
    queued: int = 0
    held: dict[int, Message | None] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)
    fetch_at: float = 0.0
    misses: int = 0

    @property
    def done(self) -> int:
        """Everything up to here is with the application, or was sent by it."""
        return (self.position or 0) if self.queued == 0 else self.taken


@dataclass(slots=True)
class Inbox:
    """All conversations of one client. prefix: begins every client_id that this client makes."""

    prefix: str
    max_events: int
    replay: bool = False
    user: str = ""
    synced_at: int = 0
    sync_wanted: bool = True
    _tracks: dict[str, Track] = field(default_factory=dict)
    _ready: deque[Message] = field(default_factory=deque)
    _marks: dict[tuple[str, str], int] = field(default_factory=dict)
    _states: deque[State | Notice] = field(default_factory=lambda: deque(maxlen=STATES))
    _held: int = 0
    _behind: set[str] = field(default_factory=set)
    _unplaced: set[str] = field(default_factory=set)
    _fetching: set[str] = field(default_factory=set)
    _unacked: set[str] = field(default_factory=set)
    _acking: set[str] = field(default_factory=set)
    _mark_next: bool = False

    # What arrives -----------------------------------------------------------------------------------------------------

    def pushed(self, frame: frames.Message, now: float) -> None:
        """A message came by itself."""
        track = self._track(frame.conversation)
        if track.position is None:
            lowest = track.lowest_pushed
            track.lowest_pushed = frame.seq if lowest is None else min(lowest, frame.seq)
        self._offer(frame.conversation, track, frame.seq, self._content(frame), now + GRACE_S)

    def own(self, conversation: str, seq: int, now: float) -> None:
        """A message of this client was stored as seq; it is no event."""
        track = self._tracks.get(conversation)
        if track is not None:
            self._offer(conversation, track, seq, None, now + GRACE_S)

    def delivered(self, frame: frames.Delivered) -> None:
        """A user's mark moved; marks of the own user say what another device has."""
        if frame.user != self.user:
            self._mark(frame.conversation, self._track(frame.conversation), frame.user, frame.seq)

    def state(self, event: State | Notice) -> None:
        self._states.append(event)

    # Finding and closing gaps -----------------------------------------------------------------------------------------

    def listed(self, listed: frames.Conversation, now: float) -> None:
        """The server says how a conversation stands: its head, and the marks of its members."""
        track = self._track(listed.id)
        new = track.position is None
        if new:
            self._place(listed.id, track, next((m.delivered for m in listed.members if m.user == self.user), 0))
        for member in listed.members:
            if new:
                track.marks[member.user] = max(member.delivered, track.marks.get(member.user, 0))
            elif member.user == self.user:
                track.acked = max(track.acked, member.delivered)
            else:
                self._mark(listed.id, track, member.user, member.delivered)
        track.head = max(track.head, listed.head)
        self._settle(listed.id, track, now)

    def synced(self, synced_at: int, now: float) -> None:
        """The last page of a sync was applied. What was pushed but never listed starts at its beginning."""
        self.synced_at = synced_at
        for conversation in list(self._unplaced):
            track = self._tracks[conversation]
            self._place(conversation, track, 0)
            self._settle(conversation, track, now)

    def fetches(self, now: float, limit: int) -> list[tuple[str, int]]:
        """(conversation, after) to read from history now, at most limit; each is under way until fetched or failed."""
        if len(self._ready) > self.max_events // 2:
            return []
        due = [name for name in self._behind - self._fetching if self._tracks[name].fetch_at <= now][:limit]
        self._fetching.update(due)
        return [(name, self._tracks[name].position or 0) for name in due]

    def next_fetch(self) -> float | None:
        """When `fetches` has something to say, if nothing else happens before."""
        if len(self._ready) > self.max_events // 2:
            return None
        return min((self._tracks[name].fetch_at for name in self._behind - self._fetching), default=None)

    def fetched(self, page: frames.History, now: float) -> None:
        """A page of history that was asked for; what was seen before is dropped."""
        self._fetching.discard(page.conversation)
        track = self._tracks[page.conversation]
        before = track.position
        track.head = max(track.head, page.head)
        for message in page.messages:
            self._offer(page.conversation, track, message.seq, self._content(message), now)
        self._settle(page.conversation, track, now)
        if track.position != before:
            track.misses = 0
        elif page.conversation in self._behind:
            self._later(track, now)

    def fetch_failed(self, conversation: str, now: float, *, retry: bool) -> None:
        """History could not be read. Without retry it is left as it is until something new comes."""
        self._fetching.discard(conversation)
        track = self._tracks[conversation]
        if retry:
            self._later(track, now)
            return
        self._held -= len(track.held)
        track.held.clear()
        track.head = track.position or 0
        self._behind.discard(conversation)

    @property
    def fetching(self) -> int:
        """How many reads are under way."""
        return len(self._fetching)

    def link_lost(self) -> None:
        """What was under way is asked again on the next link, after a sync."""
        self._fetching.clear()
        self._acking.clear()
        self.sync_wanted = True

    # What the application takes ---------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        return len(self._ready) >= self.max_events

    def take(self, now: float) -> Event | None:
        """The next event, None when there is none. States first; messages and marks in turn."""
        if self._states:
            return self._states.popleft()
        self._mark_next = bool(self._marks) and (self._mark_next or not self._ready)
        if self._mark_next:
            self._mark_next = False
            conversation, user = oldest = next(iter(self._marks))
            return Delivered(conversation, user, self._marks.pop(oldest))
        return self._take_message(now)

    def acks(self, limit: int, *, final: bool = False) -> list[tuple[str, int]]:
        """(conversation, seq) to acknowledge now: one under way per conversation, limit in all.

        final: also where only own messages came after the last ack; before that they wait for company.
        """
        due = self._tracks.keys() if final else self._unacked - self._acking
        found = [(name, self._tracks[name].done) for name in due if self._tracks[name].done > self._tracks[name].acked]
        found = found[: max(0, limit - len(self._acking))]
        self._acking.update(name for name, _ in found)
        return found

    def acked(self, conversation: str, seq: int) -> None:
        """The server has the mark."""
        self._acking.discard(conversation)
        track = self._tracks.get(conversation)
        if track is not None:
            track.acked = max(track.acked, seq)
            if track.taken <= track.acked:
                self._unacked.discard(conversation)

    def ack_failed(self, conversation: str, *, retry: bool) -> None:
        """The mark did not get through; without retry it is given up until the next message."""
        self._acking.discard(conversation)
        if not retry:
            self._unacked.discard(conversation)

    def mark(self, conversation: str, user: str) -> int:
        """Up to where a user has got the conversation, as far as this client knows."""
        track = self._tracks.get(conversation)
        return track.marks.get(user, 0) if track else 0

    # The rules --------------------------------------------------------------------------------------------------------

    def _track(self, conversation: str) -> Track:
        track = self._tracks.get(conversation)
        if track is None:
            track = self._tracks[conversation] = Track()
            self._unplaced.add(conversation)
            self.sync_wanted = True
        return track

    def _place(self, conversation: str, track: Track, delivered: int) -> None:
        start = 0 if self.replay else delivered
        if track.lowest_pushed is not None:
            start = min(start, track.lowest_pushed - 1)
        track.position = track.taken = start
        track.acked = delivered
        self._unplaced.discard(conversation)
        for seq in [seq for seq in track.held if seq <= start]:
            del track.held[seq]
            self._held -= 1

    def _content(self, frame: frames.Message) -> Message | None:
        mine = frame.sender == self.user and frame.client_id.startswith(self.prefix)
        return None if mine else events.message(frame)

    def _offer(self, conversation: str, track: Track, seq: int, message: Message | None, fetch_at: float) -> None:
        track.head = max(track.head, seq)
        if seq in track.held or (track.position is not None and seq <= track.position):
            return
        if not (seq - 1 == track.position and self._next(track, message)) and self._held < self.max_events:
            track.held[seq] = message
            self._held += 1
        self._settle(conversation, track, fetch_at)

    def _settle(self, conversation: str, track: Track, fetch_at: float) -> None:
        """Queue what has become contiguous, then note whether something is still missing."""
        if track.position is None:
            return
        while track.position + 1 in track.held and self._next(track, track.held[track.position + 1]):
            del track.held[track.position]
            self._held -= 1
        if track.head <= track.position:
            self._behind.discard(conversation)
        elif conversation not in self._behind:
            self._behind.add(conversation)
            track.fetch_at = fetch_at

    def _next(self, track: Track, message: Message | None) -> bool:
        """The message at position + 1. False when there is no room for it."""
        if message is not None:
            if self.full:
                return False
            self._ready.append(message)
            track.queued += 1
        track.position = (track.position or 0) + 1
        return True

    def _take_message(self, now: float) -> Message | None:
        if not self._ready:
            return None
        message = self._ready.popleft()
        track = self._tracks[message.conversation]
        track.queued -= 1
        track.taken = message.seq
        self._unacked.add(message.conversation)
        self._mark_next = True
        self._settle_waiting(now)
        return message

    def _settle_waiting(self, now: float) -> None:
        """There is room again: queue what was held back, of any conversation."""
        if self._held:
            for conversation in [name for name in self._behind if self._tracks[name].held]:
                self._settle(conversation, self._tracks[conversation], now)

    def _mark(self, conversation: str, track: Track, user: str, seq: int) -> None:
        if seq > track.marks.get(user, 0):
            track.marks[user] = seq
            self._marks[conversation, user] = seq

    def _later(self, track: Track, now: float) -> None:
        track.fetch_at = now + min(RETRY_CAP_S, RETRY_S * 2.0 ** min(track.misses, 10))
        track.misses += 1


def wake_at(moments: Iterable[float | None]) -> float | None:
    """The earliest of some moments, None when there is none."""
    return min((moment for moment in moments if moment is not None), default=None)
