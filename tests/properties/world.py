"""A world in memory: phones with the real Outbox and Inbox, a server of a few lines, and a network that does anything.

The server keeps SPEC.md to the letter and nothing more. Nothing happens by itself: each step is a call. What is on its
way is in the two lists of a Line, and may come in any order that the protocol allows, twice, or never. Read next:
test_client_world.py.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from longlink import errors
from longlink.client.events import Delivered, Message
from longlink.client.inbox import Inbox
from longlink.client.outbox import Outbox
from longlink.errors import LonglinkError
from longlink.protocol import frames
from longlink.protocol.frames import Frame, body_name, error_frame
from longlink.testing import Device, Entry, History, Marks

MAX_EVENTS: Final = 4
"""Small, so that the queue of the application fills."""
PAGE: Final = 2
FETCHES: Final = 3
ACKS: Final = 8
RESEND_S: Final = 10.0
TURN_S: Final = 0.2
QUIET_TURNS: Final = 200
MOST_TURNS: Final = 5_000


class Shelf(Protocol):
    """Where the server keeps what must survive its death."""

    def append(self, conversation: str, sender: str, client_id: str, text: str) -> tuple[int, bool]: ...
    def mark(self, conversation: str, user: str, seq: int) -> int: ...
    def log(self, conversation: str) -> list[Entry]: ...
    def marks(self, conversation: str) -> dict[str, int]: ...
    def changed(self, user: str, since: int, cursor: str) -> tuple[list[str], str, int]: ...
    def reopen(self) -> None: ...


@dataclass
class Memory:
    """A shelf of dicts. members: by conversation."""

    members: dict[str, tuple[str, ...]]
    _logs: dict[str, list[Entry]] = field(default_factory=dict)
    _marks: dict[str, dict[str, int]] = field(default_factory=dict)
    _touched: dict[str, int] = field(default_factory=dict)
    _clock: int = 1

    def append(self, conversation: str, sender: str, client_id: str, text: str) -> tuple[int, bool]:
        log = self._logs.setdefault(conversation, [])
        for entry in log:
            if (entry.sender, entry.client_id) == (sender, client_id):
                return entry.seq, True
        log.append(Entry(len(log) + 1, sender, client_id, text))
        self._touch(conversation)
        marks = self._marks.setdefault(conversation, {})
        if marks.get(sender, 0) == len(log) - 1:
            # One's own words are never unread (SPEC.md section 6.6).
            marks[sender] = len(log)
        return len(log), False

    def mark(self, conversation: str, user: str, seq: int) -> int:
        marks = self._marks.setdefault(conversation, {})
        if seq > marks.get(user, 0):
            marks[user] = seq
            self._touch(conversation)
        return marks[user]

    def log(self, conversation: str) -> list[Entry]:
        return self._logs.get(conversation, [])

    def marks(self, conversation: str) -> dict[str, int]:
        return dict.fromkeys(self.members[conversation], 0) | self._marks.get(conversation, {})

    def changed(self, user: str, since: int, cursor: str) -> tuple[list[str], str, int]:
        """A page of the conversations that changed since then, oldest change first; the next cursor; the time."""
        begun, place = map(int, (cursor or f"{self._clock}.0").split("."))
        mine = [name for name, users in self.members.items() if user in users]
        found = sorted((self._touched.get(name, 0), name) for name in mine)
        later = [(at, name) for at, name in found if at >= since and (at > place or not cursor)]
        shown = later[:PAGE]
        following = f"{begun}.{shown[-1][0]}" if len(later) > PAGE else ""
        return [name for _, name in shown], following, begun

    def reopen(self) -> None:
        """Everything here is durable."""

    def _touch(self, conversation: str) -> None:
        self._clock += 1
        self._touched[conversation] = self._clock


@dataclass(eq=False)
class Line:
    """One connection: what is on its way up and down."""

    phone: Phone
    up: deque[Frame] = field(default_factory=deque)
    down: list[Frame] = field(default_factory=list)


@dataclass
class Server:
    """taken: how many frames it has worked on. refuse: how many of the next sends are answered with "overloaded"."""

    shelf: Shelf
    members: dict[str, tuple[str, ...]]
    lines: list[Line] = field(default_factory=list)
    refuse: int = 0
    taken: int = 0

    def take(self, line: Line) -> None:
        """Work on the oldest frame of a line: store, then answer, then tell the others."""
        frame = line.up.popleft()
        self.taken += 1
        name = str(body_name(frame))
        try:
            reply = getattr(self, f"_{name}")(line, getattr(frame, name))
        except LonglinkError as error:
            reply = error_frame(error, frame.id)
        reply.id = frame.id
        line.down.append(reply)

    def _send(self, line: Line, send: frames.Send) -> Frame:
        if self.refuse:
            self.refuse -= 1
            raise LonglinkError(errors.OVERLOADED, "busy", retry_after_ms=50)
        user, name = line.phone.user, send.conversation
        seq, duplicate = self.shelf.append(name, user, send.client_id, send.content.text)
        if not duplicate:
            self._push(Frame(message=self._message(name, self.shelf.log(name)[seq - 1])), name, line)
        return Frame(sent=frames.Sent(conversation=name, seq=seq, client_id=send.client_id, duplicate=duplicate))

    def _ack(self, line: Line, ack: frames.Ack) -> Frame:
        user, name = line.phone.user, ack.conversation
        log = self.shelf.log(name)
        assert ack.seq <= len(log), "a client acknowledges what is not there"
        unseen = log[line.phone.seen.get(name, 0) : ack.seq]
        own = f"{line.phone.book.full}-"
        assert all(entry.client_id.startswith(own) for entry in unseen), "it acknowledges what nobody was shown"
        before = self.shelf.marks(name)[user]
        held = self.shelf.mark(name, user, ack.seq)
        if held > before:
            self._push(Frame(delivered=frames.Delivered(conversation=name, user=user, seq=held)), name, None, user)
        return Frame(acked=frames.Acked(conversation=name, seq=held))

    def _read_history(self, line: Line, request: frames.ReadHistory) -> Frame:
        name = request.conversation
        found = [entry for entry in self.shelf.log(name) if entry.seq > request.after]
        page = frames.History(conversation=name, head=len(self.shelf.log(name)), more=len(found) > PAGE)
        page.messages.extend(self._message(name, entry) for entry in found[:PAGE])
        return Frame(history=page)

    def _list_conversations(self, line: Line, request: frames.ListConversations) -> Frame:
        names, following, at = self.shelf.changed(line.phone.user, request.since, request.cursor)
        page = frames.Conversations(next=following, synced_at=at)
        for name in names:
            listed = page.conversations.add(id=name, head=len(self.shelf.log(name)))
            for user, mark in self.shelf.marks(name).items():
                listed.members.add(user=user, delivered=mark)
        return Frame(conversations=page)

    def _push(self, frame: Frame, conversation: str, besides: Line | None, but_user: str = "") -> None:
        for line in self.lines:
            user = line.phone.user
            if user in self.members[conversation] and line is not besides and user != but_user:
                line.down.append(frame)

    def _message(self, conversation: str, entry: Entry) -> frames.Message:
        content = frames.Content(text=entry.content)
        return frames.Message(
            conversation=conversation, seq=entry.seq, sender=entry.sender, client_id=entry.client_id, content=content
        )


@dataclass(eq=False)
class Phone:
    """One device with the real pure parts of the client; what client.py and exchange.py do around them is done here."""

    user: str
    name: str
    clock: Callable[[], float]
    history: History
    book: Device = field(init=False)
    outbox: Outbox = field(init=False)
    inbox: Inbox = field(init=False)
    line: Line | None = None
    lives: int = 0
    said: int = 0
    seen: dict[str, int] = field(default_factory=dict)
    _requests: dict[int, tuple[str, str]] = field(default_factory=dict)
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _syncing: bool = False

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """A new process of the application, which remembers nothing and wants everything again."""
        if self.lives:
            self.book.left()
        self.lives += 1
        self.seen = {}
        self.book = self.history.device(self.user, f"{self.name}#{self.lives}")
        self.outbox = Outbox(lambda: 0.5, RESEND_S)
        self.inbox = Inbox(f"{self.book.full}-", MAX_EVENTS, replay=True, user=self.user)

    # The application --------------------------------------------------------------------------------------------------

    def say(self, conversation: str) -> None:
        self.said += 1
        client_id, text = f"{self.book.full}-{self.said}", f"words {self.said}"
        self.book.asked(conversation, client_id, text)
        content = frames.Content(text=text)
        self.outbox.add(frames.Send(conversation=conversation, client_id=client_id, content=content))

    def look(self) -> bool:
        """The application takes one event; whether there was one."""
        event = self.inbox.take(self.clock())
        if isinstance(event, Message):
            self.book.saw(event.conversation, event.seq, event.sender, event.client_id, event.text)
            self.seen[event.conversation] = event.seq
        elif isinstance(event, Delivered):
            self.book.heard(event.conversation, event.user, delivered=event.seq)
        return event is not None

    # The link ---------------------------------------------------------------------------------------------------------

    def lost(self) -> None:
        self.line = None
        self._requests.clear()
        self._syncing = False
        self.outbox.link_lost()
        self.inbox.link_lost()
        # The server of this world keeps no sessions: whoever comes back has missed something.
        self.inbox.sync_wanted = True

    def work(self) -> None:
        """Write whatever is due."""
        if self.line is None:
            return
        for pending in self.outbox.due(self.clock()):
            request = self._ask("send", pending.conversation, Frame(send=pending.request_body))
            self.outbox.written(pending, request, self.clock())
        if self.inbox.sync_wanted and not self._syncing:
            self._syncing, self.inbox.sync_wanted = True, False
            self._sync("")
        if (room := FETCHES - self.inbox.fetching) > 0:
            for name, after in self.inbox.fetches(self.clock(), room):
                self._ask("history", name, Frame(read_history=frames.ReadHistory(conversation=name, after=after)))
        for due in self.inbox.acks(ACKS):
            self._ask("ack", due.conversation, Frame(ack=frames.Ack(conversation=due.conversation, seq=due.seq)))

    def take(self, frame: Frame) -> None:
        """One frame has come, an answer or an event."""
        name = str(body_name(frame))
        asked, conversation = self._requests.pop(frame.id, ("", ""))
        if name == "error":
            self._refused(frame, asked, conversation)
        elif not frame.id or asked:
            getattr(self, f"_{name}")(getattr(frame, name))

    def _ask(self, kind: str, conversation: str, frame: Frame) -> int:
        assert self.line is not None
        frame.id = next(self._ids)
        self._requests[frame.id] = (kind, conversation)
        self.line.up.append(frame)
        return frame.id

    def _sync(self, cursor: str) -> None:
        request = frames.ListConversations(since=self.inbox.synced_at, cursor=cursor)
        self._ask("sync", "", Frame(list_conversations=request))

    def _refused(self, frame: Frame, asked: str, conversation: str) -> None:
        assert asked == "send"
        self.outbox.failed(frame.id, LonglinkError(errors.OVERLOADED, "busy", retry_after_ms=50), self.clock())

    def _sent(self, sent: frames.Sent) -> None:
        self.inbox.own(sent.conversation, sent.seq, self.clock())
        pending = self.outbox.stored(sent.conversation, sent.client_id)
        if pending is not None:
            assert pending.client_id == sent.client_id, "the answer to another message"
            self.book.told(sent.conversation, sent.client_id, sent.seq)

    def _acked(self, acked: frames.Acked) -> None:
        self.book.confirmed(acked.conversation, delivered=acked.seq)
        self.inbox.acked(acked.conversation, acked.seq)

    def _history(self, page: frames.History) -> None:
        self.inbox.fetched(page, self.clock())

    def _conversations(self, page: frames.Conversations) -> None:
        for listed in page.conversations:
            self.inbox.listed(listed, self.clock())
        if page.next:
            self._sync(page.next)
            return
        self._syncing = False
        self.inbox.synced(page.synced_at, self.clock())

    def _message(self, message: frames.Message) -> None:
        self.inbox.pushed(message, self.clock())

    def _delivered(self, event: frames.Delivered) -> None:
        self.inbox.delivered(event)

    def _missed(self, _: frames.Missed) -> None:
        self.inbox.sync_wanted = True


@dataclass
class World:
    """Everything together, and what may happen to it."""

    members: dict[str, tuple[str, ...]]
    devices: tuple[tuple[str, str], ...]
    shelf: Shelf
    now: float = 0.0
    history: History = field(default_factory=History)

    def __post_init__(self) -> None:
        self.history.members = self.members
        self.server = Server(self.shelf, self.members)
        self.phones = [Phone(user, name, lambda: self.now, self.history) for user, name in self.devices]

    def connect(self, phone: Phone) -> None:
        """A new link of a device replaces the one that it had."""
        if phone.line is not None:
            self.cut(phone, 0)
        phone.line = Line(phone)
        self.server.lines.append(phone.line)
        phone.work()

    def cut(self, phone: Phone, arrive: int) -> None:
        """The link ends; so many of the frames on their way up still arrive, all others vanish."""
        line = phone.line
        if line is None:
            return
        for _ in range(min(arrive, len(line.up))):
            self.server.take(line)
        self.server.lines.remove(line)
        phone.lost()

    def crash(self, phone: Phone) -> None:
        """The application dies, and with it what it had not sent."""
        self.cut(phone, 0)
        phone.begin()

    def die(self) -> None:
        """The server dies, with everything that is not on its shelf."""
        for phone in self.phones:
            self.cut(phone, 0)
        self.shelf.reopen()

    def end(self) -> None:
        """Good weather, until all is quiet; then the books must balance."""
        self.server.refuse = 0
        # Twice, since marks that one's own messages have moved are known for sure only to the sync behind them.
        for _ in range(2):
            for phone in self.phones:
                self.cut(phone, 0)
                self.connect(phone)
            self._settle()
        assert all(len(phone.outbox) == 0 for phone in self.phones), "everything is stored"
        log = {name: self.shelf.log(name) for name in self.members}
        marks = {(name, user): Marks(mark) for name in self.members for user, mark in self.shelf.marks(name).items()}
        for phone in self.phones:
            for name, user in marks:
                if phone.user in self.members[name] and user != phone.user:
                    phone.book.stands(name, user, delivered=self._believed(phone, name, user))
        self.history.check(log, marks)
        for name, entries in log.items():
            for user in {phone.user for phone in self.phones} & set(self.members[name]):
                others = [entry for entry in entries if entry.sender != user]
                newest = others[-1].seq if others else 0
                assert marks[name, user].delivered >= newest, f"{user} has acknowledged everything in {name}"

    @staticmethod
    def _believed(phone: Phone, conversation: str, user: str) -> int:
        track = phone.inbox.track(conversation)
        return track.delivered.get(user, 0) if track else 0

    def _settle(self) -> None:
        """Until so long nothing has happened that nothing will: a read that brought nothing is repeated after 30 s."""
        quiet = 0
        for _ in range(MOST_TURNS):
            quiet = 0 if self._turn() else quiet + 1
            self.now += TURN_S
            if quiet > QUIET_TURNS:
                return
        raise AssertionError("the clients never come to rest")

    def _turn(self) -> bool:
        """Everything that can happen happens; whether anything did."""
        happened = False
        for phone in self.phones:
            phone.work()
            assert phone.line is not None
            while phone.line.up:
                self.server.take(phone.line)
                happened = True
            while phone.line.down:
                phone.take(phone.line.down.pop(0))
                happened = True
            while phone.look():
                happened = True
        return happened
