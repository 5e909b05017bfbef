"""A server in memory for the faults that a real one cannot produce on demand: no answer, a refusal, a cut, silence.

It speaks the protocol over WebSocket; a token is the user's name. What a healthy server does is tested against the real
one, in test_client.py.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from longlink import errors
from longlink.errors import LonglinkError
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import (
    Acked,
    Adjusted,
    Change,
    Closing,
    Connected,
    Conversation,
    Conversations,
    Delivered,
    Frame,
    History,
    LoggedOut,
    Marked,
    Member,
    Message,
    Missed,
    Read,
    Sent,
    Synced,
    body_name,
    error_frame,
)
from longlink.protocol.session import KEY_REFUSALS

PAGE = 2
"""Small pages, so that paging is exercised by a handful of messages."""


@dataclass(eq=False)
class Line:
    """One connection of a user."""

    link: ServerConnection
    encoding: Encoding
    user: str = ""
    sent: int = 0

    async def say(self, frame: Frame) -> None:
        self.sent += body_name(frame) in ("message", "delivered", "read")
        try:
            await self.link.send(self.encoding.encode(frame), text=self.encoding is Encoding.TEXT)
        except ConnectionClosed:
            return


@dataclass
class Double:
    """muted: bodies that get no answer. refusals: errors for the next sends, None lets one pass. deaf: reads, answers
    nothing at all. pushes: whether messages are pushed. connects: every Connect seen. seen: every request seen.
    keys: the key of each session, with the line that has it. key_refusals: for the next Connects with a key.
    lifetime_ms: of every token. token_refusals: for the next new ones."""

    heartbeat_ms: int = 60_000
    lifetime_ms: int = 0
    max_frame_bytes: int = 65_536
    muted: set[str] = field(default_factory=set)
    refusals: deque[LonglinkError | None] = field(default_factory=deque)
    connect_refusals: deque[LonglinkError] = field(default_factory=deque)
    key_refusals: deque[LonglinkError] = field(default_factory=deque)
    token_refusals: deque[LonglinkError] = field(default_factory=deque)
    keys: dict[str, Line] = field(default_factory=dict)
    reads: dict[str, dict[str, int]] = field(default_factory=dict)
    deaf: bool = False
    pushes: bool = True
    connects: list[Frame] = field(default_factory=list)
    seen: list[Frame] = field(default_factory=list)
    heartbeats: int = 0
    users: set[str] = field(default_factory=set)
    logs: dict[str, list[Message]] = field(default_factory=dict)
    members: dict[str, dict[str, int]] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    port: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def until(self, holds: object) -> None:
        """Wait, at most 5 s, until holds() is true; looked at after every frame."""
        async with asyncio.timeout(5):
            while not holds():  # type: ignore[operator]
                self.changed.clear()
                await self.changed.wait()

    def texts(self, name: str) -> list[str]:
        return [message.content.text for message in self.logs.get(name, [])]

    def cut(self) -> None:
        """Every link breaks without a word."""
        for line in self.lines:
            line.link.transport.abort()

    async def close(self, error: LonglinkError) -> None:
        """Every link is closed with a Closing and the code."""
        said = Closing(code=error.code, name=error.name, message=error.message, reconnect_after_ms=error.retry_after_ms)
        for line in list(self.lines):
            await line.say(Frame(closing=said))
            await line.link.close(error.code, error.name)

    async def missed(self) -> None:
        for line in self.lines:
            await line.say(Frame(missed=Missed(events=1)))

    def open(self, *users: str) -> str:
        name = "-".join(sorted(users))
        self.members.setdefault(name, dict.fromkeys(users, 0))
        self.reads.setdefault(name, dict.fromkeys(users, 0))
        self.logs.setdefault(name, [])
        return name

    async def write(self, name: str, sender: str, text: str, client_id: str = "") -> None:
        """A message of a user who is not connected here."""
        await self.append(name, sender, client_id or f"{sender}-{len(self.logs[name])}", text, None)

    async def append(self, name: str, sender: str, client_id: str, text: str, line: Line | None) -> tuple[int, bool]:
        log = self.logs[name]
        for old in log:
            if (old.sender, old.client_id) == (sender, client_id):
                return old.seq, True
        message = Message(conversation=name, seq=len(log) + 1, sender=sender, client_id=client_id, sent_at=1000)
        message.content.text = text
        log.append(message)
        if self.pushes:
            await self.push(Frame(message=message), set(self.members[name]), line)
        return message.seq, False

    async def push(self, frame: Frame, users: set[str], besides: Line | None) -> None:
        for line in [*self.lines, *(line for line in self.keys.values() if line not in self.lines)]:
            if line.user in users and line is not besides:
                await line.say(frame)

    async def serve(self, link: ServerConnection) -> None:
        line = Line(link, Encoding(str(link.subprotocol)))
        try:
            async for data in link:
                await self.take(line, data.encode() if isinstance(data, str) else data)
                self.changed.set()
        except ConnectionClosed:
            pass
        finally:
            if line in self.lines:
                self.lines.remove(line)
            self.changed.set()

    async def take(self, line: Line, data: bytes) -> None:
        if not data:
            self.heartbeats += 1
            if not self.deaf:
                await line.link.send(b"")
            return
        frame = line.encoding.decode(data)
        name = str(body_name(frame))
        (self.connects if name == "connect" else self.seen).append(frame)
        if self.deaf or name in self.muted:
            return
        reply = await getattr(self, name)(line, frame)
        reply.id = frame.id
        await line.say(reply)
        if name == "connect" and body_name(reply) == "error" and reply.error.name not in KEY_REFUSALS:
            await line.link.close(reply.error.code, reply.error.name)

    async def connect(self, line: Line, frame: Frame) -> Frame:
        if self.connect_refusals:
            return error_frame(self.connect_refusals.popleft(), 0)
        said = frame.connect
        before = self.keys.pop(said.key, None) if said.key else None
        if said.key and (self.key_refusals or before is None):
            refusal = self.key_refusals.popleft() if self.key_refusals else LonglinkError(errors.SESSION_UNKNOWN, "no")
            return error_frame(refusal, 0)
        line.user = before.user if before else said.token
        self.users.add(line.user)
        self.lines.append(line)
        connected = Connected(user=line.user, device=said.device, session="s", server="double")
        connected.key = f"key-{len(self.connects)}"
        self.keys[connected.key] = line
        if before is not None:
            connected.resumed = True
            # Messages written meanwhile went to nobody, and so were missed.
            connected.missed = before.sent != said.received
        connected.heartbeat_ms = self.heartbeat_ms
        connected.lifetime_ms = self.lifetime_ms
        connected.max_frame_bytes = self.max_frame_bytes
        return Frame(connected=connected)

    async def open_direct(self, line: Line, frame: Frame) -> Frame:
        return Frame(conversation=self.shown(self.open(line.user, frame.open_direct.user), line.user))

    async def send(self, line: Line, frame: Frame) -> Frame:
        refusal = self.refusals.popleft() if self.refusals else None
        if refusal is not None:
            return error_frame(refusal, 0)
        said = frame.send
        seq, duplicate = await self.append(said.conversation, line.user, said.client_id, said.content.text, line)
        sent = Sent(conversation=said.conversation, seq=seq, client_id=said.client_id, sent_at=1000)
        sent.duplicate = duplicate
        return Frame(sent=sent)

    async def ack(self, line: Line, frame: Frame) -> Frame:
        said = frame.ack
        if said.marks:
            marks = [await self.mark(line, mark.conversation, mark.seq, mark.read) for mark in said.marks]
            return Frame(acked=Acked(marks=marks))
        mark = await self.mark(line, said.conversation, said.seq, said.read)
        return Frame(acked=Acked(conversation=mark.conversation, seq=mark.seq, read=mark.read))

    async def mark(self, line: Line, name: str, seq: int, read: int) -> Marked:
        marks, reads = self.members[name], self.reads[name]
        others = set(marks) - {line.user}
        if read > reads[line.user]:
            reads[line.user] = read
            await self.push(Frame(read=Read(conversation=name, user=line.user, seq=read)), set(marks), line)
        if max(seq, read) > marks[line.user]:
            marks[line.user] = max(seq, read)
            if seq > read:
                await self.push(Frame(delivered=Delivered(conversation=name, user=line.user, seq=seq)), others, line)
        return Marked(conversation=name, seq=marks[line.user], read=reads[line.user])

    async def adjust(self, line: Line, frame: Frame) -> Frame:
        adjusted = Adjusted(heartbeat_ms=frame.adjust.heartbeat_ms)
        if frame.adjust.token:
            if self.token_refusals:
                return error_frame(self.token_refusals.popleft(), frame.id)
            adjusted.key, adjusted.lifetime_ms = f"renewed-{len(self.seen)}", self.lifetime_ms
            self.keys[adjusted.key] = line
        return Frame(adjusted=adjusted)

    async def logout(self, line: Line, frame: Frame) -> Frame:
        return Frame(logged_out=LoggedOut(sessions=1))

    async def sync(self, line: Line, frame: Frame) -> Frame:
        names = [name for name, marks in self.members.items() if line.user in marks]
        begin = int(frame.sync.cursor or 0)
        changes = []
        for name in names[begin : begin + PAGE]:
            log = self.logs[name]
            newest = log[-min(PAGE, frame.sync.messages) :]
            changes.append(
                Change(conversation=self.shown(name, line.user), messages=newest, more=len(log) > len(newest))
            )
        following = str(begin + PAGE) if begin + PAGE < len(names) else ""
        return Frame(synced=Synced(changes=changes, next=following, synced_at=1))

    async def read_history(self, line: Line, frame: Frame) -> Frame:
        said = frame.read_history
        log = self.logs[said.conversation]
        size = min(said.limit or PAGE, PAGE)
        if said.before:
            found = [message for message in log if message.seq < said.before]
            shown = found[-size:]
        else:
            found = [message for message in log if message.seq > said.after]
            shown = found[:size]
        page = History(conversation=said.conversation, messages=shown, head=len(log), more=len(found) > len(shown))
        return Frame(history=page)

    async def list_conversations(self, line: Line, frame: Frame) -> Frame:
        names = [name for name, marks in self.members.items() if line.user in marks]
        begin = int(frame.list_conversations.cursor or 0)
        shown = [self.shown(name, line.user) for name in names[begin : begin + PAGE]]
        following = str(begin + PAGE) if begin + PAGE < len(names) else ""
        return Frame(conversations=Conversations(conversations=shown, next=following, synced_at=1))

    def shown(self, name: str, user: str) -> Conversation:
        read = self.reads[name][user]
        unread = sum(message.sender != user for message in self.logs[name][read:])
        members = [
            Member(user=user, delivered=mark, read=self.reads[name][user]) for user, mark in self.members[name].items()
        ]
        return Conversation(
            id=name, kind=Conversation.DIRECT, head=len(self.logs[name]), members=members, unread=unread
        )


@asynccontextmanager
async def running(**settings: int) -> AsyncIterator[Double]:
    double = Double(**settings)  # type: ignore[arg-type]
    names = [Subprotocol(encoding.subprotocol) for encoding in Encoding]
    server: Server
    async with serve(double.serve, "127.0.0.1", 0, subprotocols=names, compression=None) as server:
        double.port = next(iter(server.sockets)).getsockname()[1]
        yield double
