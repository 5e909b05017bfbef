"""One device of the crowd: a raw client that follows SPEC.md section 6 and writes everything into its book.

It lives through any number of links; when it must sync, resend or give a link up is decided in `tick`, which one ticker
calls for the whole crowd. Read next: place.py, crowd.py.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from longlink import errors
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import (
    VERSION,
    Ack,
    Acked,
    Connect,
    Connected,
    Content,
    Delivered,
    Frame,
    History,
    Message,
    Missed,
    Read,
    ReadHistory,
    Send,
    Sent,
    Sync,
    Synced,
    body_name,
)
from longlink.protocol.session import KEY_REFUSALS
from longlink.testing.facts import Device
from longlink.testing.soak.place import Place
from longlink.testing.soak.wire import Wire, open_wire

RESEND_S: Final = 3.0
DEAD_S: Final = 3.0
"""An answer that did not come is asked for again, and a silent link given up, sooner than SPEC.md says (10 s and 15 s):
a soak is in a hurry."""
QUIET_S: Final = 1.0
PAUSE_S: Final = 0.4
PAGE: Final = 200
READS: Final = 0.5
"""How often a user reads at once what has come."""
FINAL: Final = 4500


@dataclass(frozen=True)
class Way:
    """How a device reaches the server: its port, how messages travel, and the name under which it is known."""

    port: int
    transport: str
    encoding: Encoding
    device: str
    token: str


class Peer:
    """book: what it has seen and done. places: its conversations. complaints: answers that must never come."""

    def __init__(self, way: Way, book: Device, conversations: list[str], lottery: random.Random) -> None:
        self.book = book
        self.places = {name: Place(name) for name in conversations}
        self.marks: dict[tuple[str, str], tuple[int, int]] = {}
        self.complaints: list[str] = []
        self.links = 0
        self.resumed = 0
        self.connected = False
        self.shown: Callable[[Message], None] = _nothing
        self._way = way
        self._lottery = lottery
        self._wire: Wire | None = None
        self._over = asyncio.Event()
        self._now = asyncio.get_running_loop().time
        self._requests: dict[int, tuple[str, Place | None, float]] = {}
        self._last_id = 0
        self._heard_at = 0.0
        self._unanswered_since: float | None = None
        self._said = 0
        self._key = ""
        self._received = 0
        self._synced_at = 0
        self._sync_wanted = True
        self._syncing = False
        self._sync_at = 0.0

    # What the crowd asks ----------------------------------------------------------------------------------------------

    @property
    def settled(self) -> bool:
        """Everything is sent, seen and acknowledged, as far as this device can know."""
        return (
            self.connected
            and not self._sync_wanted
            and not self._syncing
            and all(not p.outgoing and not p.behind and p.acked >= p.have for p in self.places.values())
        )

    @property
    def unanswered(self) -> int:
        """Messages that are not stored, as far as this device knows."""
        return sum(len(place.outgoing) for place in self.places.values())

    def say(self, conversation: str) -> None:
        """Send a message of a few words."""
        self._said += 1
        client_id, text = f"{self.book.full}-{self._said}", f"{self.book.full} says {self._said}"
        self.book.asked(conversation, client_id, text)
        place = self.places[conversation]
        place.outgoing.append((client_id, text))
        self._send(place)
        self._flush()

    def sync(self) -> None:
        """Ask what has changed, though nothing says that it must: only a sync knows every mark (SPEC.md 6.6)."""
        self._sync_wanted = True

    async def live(self) -> None:
        """One link after the other, until it is cancelled."""
        while True:
            self._over.clear()
            way = self._way
            try:
                self._wire = await open_wire(way.port, way.transport, way.encoding, self._take, self._lost)
            except (OSError, TimeoutError):
                await asyncio.sleep(self._lottery.uniform(PAUSE_S / 4, PAUSE_S))
                continue
            self._begin()
            try:
                await self._over.wait()
            finally:
                self._wire.abort()
            await asyncio.sleep(self._lottery.uniform(0, PAUSE_S))

    def tick(self) -> None:
        """Ten times a second or so: acks, gaps, heartbeats, and a link that is dead."""
        now = self._now()
        if self._wire is None or self._over.is_set():
            return
        if self._unanswered_since is not None and now - self._unanswered_since > DEAD_S:
            self._wire.abort()
            return
        if self.connected:
            self._give_up_requests(now)
            for place in self.places.values():
                self._send(place)
                self._ack(place)
                self._fetch(place)
            self._sync()
            if self._unanswered_since is None and now - self._heard_at > QUIET_S:
                self._write(None)
        self._flush()

    # Links ------------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self.links += 1
        self._heard_at, self._unanswered_since = self._now(), None
        connect = Connect(version=VERSION, device=self._way.device, agent="soak/1")
        if self._key:
            connect.key, connect.received = self._key, self._received
        else:
            connect.token = self._way.token
        self._ask("connect", None, Frame(connect=connect))
        self._flush()

    def _lost(self) -> None:
        self.connected = False
        self._over.set()
        self._requests.clear()
        self._sync_failed(0.0)
        for place in self.places.values():
            place.link_lost()

    def _take(self, frame: Frame | None) -> None:
        self._heard_at, self._unanswered_since = self._now(), None
        if frame is None:
            return
        name = body_name(frame)
        asked, place, _ = self._requests.pop(frame.id, ("", None, 0.0))
        if name == "error":
            self._refused(frame, asked, place)
        elif name is not None and (handle := getattr(self, f"_on_{name}", None)):
            handle(getattr(frame, name))

    def _on_connected(self, connected: Connected) -> None:
        self.connected = True
        self.resumed += connected.resumed
        self._key, self._received = connected.key, 0
        if not connected.resumed or connected.missed:
            self._sync_wanted = True
        self._sync()
        for place in self.places.values():
            self._send(place)

    def _refused(self, frame: Frame, name: str, place: Place | None) -> None:
        error = frame.error
        if error.name in KEY_REFUSALS:
            self._key = ""
            self._begin()
        if error.code >= FINAL and error.code != errors.SESSION_UNKNOWN.code:
            self.complaints.append(f"{self.book.full}: {error.code} {error.name}: {error.message}")
        not_before = self._now() + max(error.retry_after_ms / 1000, PAUSE_S)
        if name == "sync":
            self._sync_failed(not_before)
        if place is not None:
            place.not_before = not_before
            for work in ("sending", "acking", "fetching"):
                if getattr(place, work) == frame.id:
                    setattr(place, work, 0)

    # Sending ----------------------------------------------------------------------------------------------------------

    def _send(self, place: Place) -> None:
        """Only the oldest of a conversation is under way (SPEC.md section 6.2, rule 5)."""
        if self.connected and place.outgoing and not place.sending and place.not_before <= self._now():
            client_id, text = place.outgoing[0]
            send = Send(conversation=place.id, client_id=client_id, content=Content(text=text))
            place.sending = self._ask("send", place, Frame(send=send))

    def _on_sent(self, sent: Sent) -> None:
        place = self.places[sent.conversation]
        self.book.told(place.id, sent.client_id, sent.seq)
        if place.outgoing and place.outgoing[0][0] == sent.client_id:
            place.outgoing.popleft()
            place.sending = 0
        self._offer(place, sent.seq, None)
        self._send(place)

    def _give_up_requests(self, now: float) -> None:
        for request, (name, place, posted_at) in list(self._requests.items()):
            if now - posted_at < RESEND_S:
                break
            del self._requests[request]
            if name == "sync":
                self._sync_failed(0.0)
            if place is not None:
                place.link_lost()

    # Receiving --------------------------------------------------------------------------------------------------------

    def _on_message(self, message: Message) -> None:
        self._received += 1
        if place := self.places.get(message.conversation):
            self._offer(place, message.seq, message)

    def _on_delivered(self, event: Delivered) -> None:
        self._received += 1
        self._mark(event.conversation, event.user, event.seq, 0)

    def _on_read(self, event: Read) -> None:
        self._received += 1
        self._mark(event.conversation, event.user, event.seq, event.seq)

    def _on_missed(self, _: Missed) -> None:
        self._sync_wanted = True
        self._sync()

    def _offer(self, place: Place, seq: int, message: Message | None) -> None:
        own = message is not None and message.client_id.startswith(f"{self.book.full}-")
        for shown in place.offer(seq, None if own else message):
            self.book.saw(place.id, shown.seq, shown.sender, shown.client_id, shown.content.text)
            self.shown(shown)

    def _fetch(self, place: Place) -> None:
        if place.behind and not place.fetching and place.not_before <= self._now():
            request = ReadHistory(conversation=place.id, after=place.have, limit=PAGE)
            place.fetching = self._ask("read_history", place, Frame(read_history=request))

    def _on_history(self, page: History) -> None:
        place = self.places[page.conversation]
        place.fetching = 0
        place.head = max(place.head, page.head)
        for message in page.messages:
            self._offer(place, message.seq, message)
        if page.more:
            self._fetch(place)

    def _sync(self, cursor: str = "") -> None:
        if cursor or (self._sync_wanted and not self._syncing and self._sync_at <= self._now()):
            self._sync_wanted, self._syncing = False, True
            self._ask("sync", None, Frame(sync=Sync(since=self._synced_at, limit=PAGE, cursor=cursor)))

    def _sync_failed(self, not_before: float) -> None:
        self._sync_wanted, self._syncing = self._sync_wanted or self._syncing, False
        self._sync_at = not_before

    def _on_synced(self, page: Synced) -> None:
        for change in page.changes:
            listed = change.conversation
            if place := self.places.get(listed.id):
                place.head = max(place.head, listed.head)
                for member in listed.members:
                    self._mark(listed.id, member.user, member.delivered, member.read)
                for message in change.messages:
                    self._offer(place, message.seq, message)
                self._fetch(place)
        if page.next:
            self._sync(page.next)
            return
        self._syncing = False
        self._synced_at = page.synced_at

    # Marks ------------------------------------------------------------------------------------------------------------

    def _ack(self, place: Place) -> None:
        if place.have > place.acked and not place.acking and place.not_before <= self._now():
            read = place.have if self._lottery.random() < READS else 0
            place.acking = self._ask("ack", place, Frame(ack=Ack(conversation=place.id, seq=place.have, read=read)))

    def _on_acked(self, acked: Acked) -> None:
        place = self.places[acked.conversation]
        place.acking = 0
        place.acked = max(place.acked, acked.seq)
        self.book.confirmed(place.id, delivered=acked.seq, read=acked.read)
        self._mark(place.id, self.book.user, acked.seq, acked.read)

    def _mark(self, conversation: str, user: str, delivered: int, read: int) -> None:
        before = self.marks.get((conversation, user), (0, 0))
        after = self.marks[conversation, user] = (max(before[0], delivered), max(before[1], read))
        if after != before:
            self.book.heard(conversation, user, delivered=after[0], read=after[1])

    # Frames -----------------------------------------------------------------------------------------------------------

    def _ask(self, name: str, place: Place | None, frame: Frame) -> int:
        self._last_id += 1
        frame.id = self._last_id
        self._requests[frame.id] = (name, place, self._now())
        self._write(frame)
        return frame.id

    def _write(self, frame: Frame | None) -> None:
        if self._wire is not None:
            if self._unanswered_since is None:
                self._unanswered_since = self._now()
            self._wire.write(frame)

    def _flush(self) -> None:
        if self._wire is not None:
            self._wire.flush()


def _nothing(_: Message) -> None:
    """Nobody wants to know what was shown."""
