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

from longlink.errors import LonglinkError
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import (
    Acked,
    Closing,
    Connected,
    Conversation,
    Conversations,
    Delivered,
    Frame,
    History,
    Member,
    Message,
    Missed,
    Sent,
    body_name,
    error_frame,
)

PAGE = 2
"""Small pages, so that paging is exercised by a handful of messages."""


@dataclass(eq=False)
class Line:
    """One connection of a user."""

    link: ServerConnection
    encoding: Encoding
    user: str = ""

    async def say(self, frame: Frame) -> None:
        try:
            await self.link.send(self.encoding.encode(frame), text=self.encoding is Encoding.TEXT)
        except ConnectionClosed:
            return


@dataclass
class Double:
    """muted: bodies that get no answer. refusals: errors for the next sends, None lets one pass. deaf: reads, answers
    nothing at all. pushes: whether messages are pushed. connects: every Connect seen. seen: every request seen."""

    heartbeat_ms: int = 60_000
    max_frame_bytes: int = 65_536
    muted: set[str] = field(default_factory=set)
    refusals: deque[LonglinkError | None] = field(default_factory=deque)
    connect_refusals: deque[LonglinkError] = field(default_factory=deque)
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
        for line in list(self.lines):
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
        if name == "connect" and body_name(reply) == "error":
            await line.link.close(reply.error.code, reply.error.name)

    async def connect(self, line: Line, frame: Frame) -> Frame:
        if self.connect_refusals:
            return error_frame(self.connect_refusals.popleft(), 0)
        line.user = frame.connect.token
        self.users.add(line.user)
        self.lines.append(line)
        connected = Connected(user=line.user, device=frame.connect.device, session="s", server="double")
        connected.heartbeat_ms = self.heartbeat_ms
        connected.max_frame_bytes = self.max_frame_bytes
        return Frame(connected=connected)

    async def open_direct(self, line: Line, frame: Frame) -> Frame:
        return Frame(conversation=self.shown(self.open(line.user, frame.open_direct.user)))

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
        marks = self.members[said.conversation]
        if said.seq > marks[line.user]:
            marks[line.user] = said.seq
            mark = Delivered(conversation=said.conversation, user=line.user, seq=said.seq)
            await self.push(Frame(delivered=mark), set(marks) - {line.user}, line)
        return Frame(acked=Acked(conversation=said.conversation, seq=marks[line.user]))

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
        shown = [self.shown(name) for name in names[begin : begin + PAGE]]
        following = str(begin + PAGE) if begin + PAGE < len(names) else ""
        return Frame(conversations=Conversations(conversations=shown, next=following, synced_at=1))

    def shown(self, name: str) -> Conversation:
        members = [Member(user=user, delivered=mark) for user, mark in self.members[name].items()]
        return Conversation(id=name, kind=Conversation.DIRECT, head=len(self.logs[name]), members=members)


@asynccontextmanager
async def running(**settings: int) -> AsyncIterator[Double]:
    double = Double(**settings)  # type: ignore[arg-type]
    names = [Subprotocol(encoding.subprotocol) for encoding in Encoding]
    server: Server
    async with serve(double.serve, "127.0.0.1", 0, subprotocols=names, compression=None) as server:
        double.port = next(iter(server.sockets)).getsockname()[1]
        yield double
