"""What has arrived and what is missing: positions, duplicates, gaps, and the bounded queue for the application.

Pure: no I/O, no clock (`now` is passed in, in seconds). Per conversation a position says up to where everything has
been queued for the application. A message below it is a duplicate; one above it reveals a gap, which is fetched from
history. When the queue is full nothing is queued any more, so the rest looks like a gap and is fetched once there is
room: memory stays bounded and nothing is lost. Read next: track.py, one conversation; marks.py and receipts.py, how far
the others and this user are; exchange.py, which fetches and acknowledges.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from longlink.client import events
from longlink.client.events import Event, Message, Notice, Refused, Sent, State
from longlink.client.lineage import Lineage
from longlink.client.marks import Marks
from longlink.client.receipts import Due, Receipts
from longlink.client.track import Track
from longlink.protocol import frames

GRACE_S: Final = 0.03
"""A gap seen in a push is fetched only after so long: our own message's answer or a late push usually fills it."""
RETRY_S: Final = 1.0
RETRY_CAP_S: Final = 30.0
STATES: Final = 64
"""State events and notices that wait at most; the oldest are dropped, since the newest say how things are."""


@dataclass(slots=True)
class Inbox:
    """All conversations of one client. prefix: begins every client_id that this client makes.

    auto_ack: whether what was handled is acknowledged; what was read is always told. eager: a message is handled as
    soon as it is taken; otherwise when `handled` is called.
    """

    prefix: str
    max_events: int
    replay: bool = False
    user: str = ""
    auto_ack: bool = True
    eager: bool = True
    synced_at: int = 0
    sync_wanted: bool = True
    lineage: Lineage = field(default_factory=Lineage)
    _tracks: dict[str, Track] = field(default_factory=dict)
    _unreplaced: set[str] = field(default_factory=set)
    _ready: deque[Message] = field(default_factory=deque)
    _marks: Marks = field(default_factory=Marks)
    _receipts: Receipts = field(init=False)
    _outcomes: deque[Sent | Refused] = field(default_factory=deque)
    _states: deque[State | Notice] = field(default_factory=lambda: deque(maxlen=STATES))
    _held: int = 0
    _behind: set[str] = field(default_factory=set)
    _unplaced: set[str] = field(default_factory=set)
    _fetching: set[str] = field(default_factory=set)
    _changed: set[str] = field(default_factory=set)
    _open: Message | None = None
    _gone: list[str] = field(default_factory=list)
    _mark_next: bool = False

    def __post_init__(self) -> None:
        self._receipts = Receipts(self._tracks, auto=self.auto_ack)

    # What arrives -----------------------------------------------------------------------------------------------------

    def restore(self, tracks: dict[str, Track], synced_at: int) -> None:
        """What an earlier process knew. What was not handled then is fetched again."""
        self._tracks.update(tracks)
        self.synced_at = synced_at
        self.sync_wanted = not synced_at
        for conversation, track in tracks.items():
            track.taken = track.position or 0
            if (self.auto_ack and track.done > track.acked) or track.read > track.read_acked:
                self._receipts.want(conversation)
            self._settle(conversation, track, 0.0)

    def pushed(self, frame: frames.Message, now: float) -> None:
        """A message came by itself."""
        if not self.lineage.counts():
            return
        track = self._track(frame.conversation)
        if track.position is None:
            lowest = track.lowest_pushed
            track.lowest_pushed = frame.seq if lowest is None else min(lowest, frame.seq)
        self._offer(frame.conversation, track, frame.seq, self._content(track, frame), now + GRACE_S)

    def own(self, conversation: str, seq: int, now: float, stamp: int = 0) -> None:
        """A message of this client was stored as seq; it is no event."""
        if not self.lineage.counts():
            return
        self.lineage.saw(stamp)
        track = self._tracks.get(conversation)
        if track is not None:
            self._offer(conversation, track, seq, None, now + GRACE_S)
            track.wrote(seq)

    def delivered(self, frame: frames.Delivered) -> None:
        """A user's mark moved; marks of the own user say what another device has."""
        if frame.user != self.user and self.lineage.counts():
            self._marks.delivered(frame.conversation, self._track(frame.conversation), frame.user, frame.seq)
            self._changed.add(frame.conversation)

    def read_by(self, frame: frames.Read) -> None:
        """A user has read; also the own one, on another device."""
        if not self.lineage.counts():
            return
        moved = self._marks.read_here if frame.user == self.user else self._marks.read
        moved(frame.conversation, self._track(frame.conversation), frame.user, frame.seq)
        self._changed.add(frame.conversation)

    def state(self, event: State | Notice) -> None:
        self._states.append(event)

    def outcome(self, event: Sent | Refused) -> None:
        """What became of a message that nobody waits for; the oldest are dropped when nobody takes them."""
        if len(self._outcomes) >= self.max_events:
            self._outcomes.popleft()
        self._outcomes.append(event)

    # Finding and closing gaps -----------------------------------------------------------------------------------------

    def listed(self, listed: frames.Conversation, now: float) -> None:
        """The server says how a conversation stands: its head, and the marks of its members."""
        track = self._tracks.setdefault(listed.id, Track())
        new = track.position is None
        if new:
            self._place(listed.id, track, next((m.delivered for m in listed.members if m.user == self.user), 0))
        self._marks.listed(listed, track, self.user, new=new)
        self._changed.add(listed.id)
        track.head = max(track.head, listed.head)
        track.changed = max(track.changed, listed.stamp)
        self.lineage.saw(listed.stamp)
        self._settle(listed.id, track, now)

    def seen(self, listed: frames.Conversation) -> None:
        """The server says how a conversation stands, and a sync brings what is missing: only heads and marks count."""
        track = self._tracks.setdefault(listed.id, Track())
        self._marks.listed(listed, track, self.user, new=track.position is None)
        self._changed.add(listed.id)
        track.head = max(track.head, listed.head)
        track.changed = max(track.changed, listed.stamp)
        self.lineage.saw(listed.stamp)

    def change(self, change: frames.Change, now: float) -> bool:
        """A conversation of a sync: how it stands, and its newest messages. What lies between is fetched.

        Returns whether there is something between.
        """
        conversation = change.conversation.id
        if conversation in self._unreplaced:
            self._replace(change)
        self.listed(change.conversation, now)
        track = self._tracks[conversation]
        for message in change.messages:
            self._offer(conversation, track, message.seq, self._content(track, message), now)
        return conversation in self._behind

    def synced(self, synced_at: int, now: float, epoch: str = "") -> None:
        """The last page of a sync was applied. What was pushed but never listed starts at its beginning."""
        self.synced_at = synced_at
        for conversation in list(self._unreplaced):
            self._forget(conversation)
        self.lineage.agreed(epoch)
        self.lineage.saw(synced_at)
        if self.lineage.skipped:
            self.lineage.skipped, self.sync_wanted = False, True
        for conversation in list(self._unplaced):
            track = self._tracks[conversation]
            self._place(conversation, track, 0)
            self._settle(conversation, track, now)

    def fetches(self, now: float, limit: int) -> list[tuple[str, int]]:
        """(conversation, after) to read from history now, at most limit; each is under way until fetched or failed."""
        if not self.roomy or not self.lineage.checked:
            return []
        due = [name for name in self._behind - self._fetching if self._tracks[name].fetch_at <= now][:limit]
        self._fetching.update(due)
        return [(name, self._tracks[name].position or 0) for name in due]

    def lacking(self, conversation: str) -> int:
        """How many messages such a read should bring."""
        return self._tracks[conversation].lacking

    def next_fetch(self) -> float | None:
        """When `fetches` has something to say, if nothing else happens before."""
        if not self.roomy or not self.lineage.checked:
            return None
        return min((self._tracks[name].fetch_at for name in self._behind - self._fetching), default=None)

    def fetched(self, page: frames.History, now: float) -> None:
        """A page of history that was asked for; what was seen before is dropped."""
        self._fetching.discard(page.conversation)
        track = self._tracks[page.conversation]
        before = track.position
        self.lineage.saw(page.stamp)
        track.head = max(track.head, page.head)
        for message in page.messages:
            self._offer(page.conversation, track, message.seq, self._content(track, message), now)
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
        """What was under way is asked again on the next link."""
        self._fetching.clear()
        self._receipts.link_lost()

    # What the application takes ---------------------------------------------------------------------------------------

    @property
    def roomy(self) -> bool:
        """Whether there is room for a whole page; below that nothing is asked for."""
        return len(self._ready) <= self.max_events // 2

    @property
    def full(self) -> bool:
        return len(self._ready) >= self.max_events

    def take(self, now: float) -> Event | None:
        """The next event, None when there is none. States and outcomes first; messages and marks in turn."""
        if self._states:
            return self._states.popleft()
        if self._outcomes:
            return self._outcomes.popleft()
        self._mark_next = bool(self._marks) and (self._mark_next or not self._ready)
        if self._mark_next:
            self._mark_next = False
            return self._marks.take()
        return self._take_message(now)

    def handled(self) -> Message | None:
        """The application is done with what it took last; returns that message, if there was one."""
        message, self._open = self._open, None
        if message is not None:
            track = self._tracks[message.conversation]
            if self.auto_ack:
                track.queued -= 1
                track.taken = message.seq
                self._changed.add(message.conversation)
                self._receipts.want(message.conversation)
        return message

    def settle(self, conversation: str, seq: int) -> None:
        """Without auto_ack: the application is done with everything up to seq."""
        track = self._track(conversation)
        # What was taken before the server was restored may lie beyond what is in the log.
        seq = min(seq, track.position or 0)
        if seq > track.taken:
            track.taken = seq
            self._changed.add(conversation)

    def read(self, conversation: str, seq: int) -> None:
        """The user has read everything up to seq."""
        track = self._track(conversation)
        if track.read_to(seq):
            self._receipts.want(conversation)
            self._changed.add(conversation)

    def acks(self, limit: int, *, final: bool = False) -> list[Due]:
        """See Receipts.due. None while it is not known whether the server has these messages."""
        return self._receipts.due(limit, final=final) if self.lineage.checked else []

    def acked(self, conversation: str, seq: int, read: int = 0) -> None:
        """The server has the marks."""
        self._receipts.acked(conversation, seq, read)
        if conversation in self._tracks:
            self._changed.add(conversation)

    def ack_failed(self, conversation: str, *, retry: bool) -> None:
        """See Receipts.failed."""
        self._receipts.failed(conversation, retry=retry)

    def track(self, conversation: str) -> Track | None:
        """How a conversation stands, as far as this client knows; only to look at."""
        return self._tracks.get(conversation)

    def known(self) -> list[tuple[str, Track]]:
        """Every conversation that has its place, the one that changed last at the end."""
        found = [(name, track) for name, track in self._tracks.items() if track.position is not None]
        return sorted(found, key=lambda each: each[1].changed)

    def changed(self) -> list[tuple[str, Track]]:
        """What is to be kept for the next process: what has changed since the last call and has its place."""
        found = [(name, track) for name in self._changed if (track := self._tracks[name]).position is not None]
        self._changed.clear()
        return found

    # Another log ------------------------------------------------------------------------------------------------------

    def restart(self) -> None:
        """The log of the server is another one: every place is found again by the sync from the beginning."""
        self.synced_at = 0
        self.sync_wanted = True
        self.lineage.replace()
        self._unreplaced = set(self._tracks)

    def _replace(self, change: frames.Change) -> None:
        """Go back to where the two logs part. What lies above is other messages, and the marks are the server's."""
        listed, name = change.conversation, change.conversation.id
        track = self._tracks[name]
        self._unreplaced.discard(name)
        own = next((member for member in listed.members if member.user == self.user), frames.Member())
        kept = change.kept if change.HasField("kept") else own.delivered
        self._drop_above(name, track, kept)
        if track.position is not None:
            track.position = min(track.position, kept)
            track.taken = min(track.taken, kept)
        track.go_back(listed.head, own.delivered, own.read, kept)
        others = [member for member in listed.members if member.user != self.user]
        track.delivered = {member.user: member.delivered for member in others}
        track.reads = {member.user: member.read for member in others}
        self._marks.forget(name)
        self._receipts.want(name)
        self._changed.add(name)

    def _drop_above(self, name: str, track: Track, kept: int) -> None:
        """Forget messages of the other log that the application has not finished."""
        self._ready = deque(each for each in self._ready if each.conversation != name or each.seq <= kept)
        if self._open is not None and self._open.conversation == name and self._open.seq > kept:
            self._open = None
        if self.auto_ack:
            left = sum(each.conversation == name for each in self._ready)
            track.queued = left + (self._open is not None and self._open.conversation == name)
        self._held -= len(track.held)
        track.held.clear()
        track.lowest_pushed = None
        self._behind.discard(name)

    def _forget(self, name: str) -> None:
        """A conversation that is not in the log of the server."""
        self._unreplaced.discard(name)
        self._drop_above(name, self._tracks.pop(name), 0)
        self._marks.forget(name)
        self._receipts.forget(name)
        self._unplaced.discard(name)
        self._changed.discard(name)
        self._gone.append(name)

    def gone(self) -> list[str]:
        """Conversations that were forgotten since the last call."""
        gone, self._gone = self._gone, []
        return gone

    # The rules --------------------------------------------------------------------------------------------------------

    def _track(self, conversation: str) -> Track:
        track = self._tracks.get(conversation)
        if track is None:
            track = self._tracks[conversation] = Track()
        if track.position is None and conversation not in self._unplaced:
            self._unplaced.add(conversation)
            self.sync_wanted = True
        return track

    def _place(self, conversation: str, track: Track, delivered: int) -> None:
        start = 0 if self.replay else delivered
        if track.lowest_pushed is not None:
            start = min(start, track.lowest_pushed - 1)
        track.position = track.taken = start
        track.acked = delivered
        self._changed.add(conversation)
        self._unplaced.discard(conversation)
        for seq in [seq for seq in track.held if seq <= start]:
            del track.held[seq]
            self._held -= 1

    def _content(self, track: Track, frame: frames.Message) -> Message | None:
        track.changed = max(track.changed, frame.stamp)
        self.lineage.saw(frame.stamp)
        if frame.sender == self.user:
            track.wrote(frame.seq)
            if frame.client_id.startswith(self.prefix):
                return None
        content = frame.content
        track.saw(
            frame.seq,
            mentioned=frame.sender != self.user and (content.mentions_all or self.user in content.mentions),
        )
        return events.message(frame)

    def _offer(self, conversation: str, track: Track, seq: int, message: Message | None, fetch_at: float) -> None:
        if seq > track.head:
            track.head = seq
            self._changed.add(conversation)
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
        message = self._open = self._ready.popleft()
        if self.eager:
            self.handled()
        self._mark_next = True
        self._settle_waiting(now)
        return message

    def _settle_waiting(self, now: float) -> None:
        """There is room again: queue what was held back, of any conversation."""
        if self._held:
            for conversation in [name for name in self._behind if self._tracks[name].held]:
                self._settle(conversation, self._tracks[conversation], now)

    def _later(self, track: Track, now: float) -> None:
        track.fetch_at = now + min(RETRY_CAP_S, RETRY_S * 2.0 ** min(track.misses, 10))
        track.misses += 1


def wake_at(moments: Iterable[float | None]) -> float | None:
    """The earliest of some moments, None when there is none."""
    return min((moment for moment in moments if moment is not None), default=None)
