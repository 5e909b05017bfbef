"""A gateway with a core that says what the test wants: the orders of events that real sockets show only by chance.

Handshake, tokens, sessions and the bus are the real ones. Read next: test_gateway.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import cast

from longlink import _core, config, errors
from longlink.access.gateway import (
    POLL_BYTES,
    Bounds,
    Gateway,
)
from longlink.access.handshake import Handshake
from longlink.access.keys import read_data_key
from longlink.access.resume import ResumeKeys
from longlink.access.tokens import Signer, Verifier
from longlink.config import Auth
from longlink.errors import LonglinkError
from longlink.ops.metrics import Counts
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import (
    Ack,
    Acked,
    Adjusted,
    Connect,
    Connected,
    Content,
    Frame,
    LoggedOut,
    Send,
    Sent,
    body_name,
    error_frame,
)
from longlink.protocol.heartbeats import Heartbeats
from longlink.routing.bus.local import LocalBus
from longlink.routing.calls import Call, Reply
from longlink.routing.ids import SessionIds
from longlink.routing.registrar import Registrar
from longlink.routing.registry import MemorySessions
from longlink.routing.sessions import Session
from longlink.routing.work import Accounts

NOW_S = 1_790_000_000.0
MISSED_PER_S = 40
Event = tuple[int, int, bytes | int]
FREE = Bounds(1_000_000, 2**30)


class ScriptedCore:
    """Yields the events that it is given, and writes down the commands."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.sent: list[tuple[int, Frame]] = []
        self.parcels: list[tuple[tuple[int, ...], bytes, int, bool]] = []
        self.topics: dict[int, list[int]] = {}
        self.admitted: dict[int, tuple[int, int]] = {}
        self.closed: list[tuple[int, int, str]] = []
        self.flushes = 0
        self.open_connections = 0
        self.polls = 0
        self.paused: list[tuple[int, int]] = []
        self.waiting_bytes = 0
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK)

    def happen(self, *events: Event) -> None:
        self.events += events
        os.eventfd_write(self._descriptor, 1)

    def fileno(self) -> int:
        return self._descriptor

    def poll(self, limit: int, max_bytes: int) -> list[Event]:
        assert max_bytes == POLL_BYTES
        self.polls += 1
        taken, self.events = self.events[:limit], self.events[limit:]
        if not taken:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._descriptor)
        return taken

    def send(self, connection: int, payload: bytes, delivery: int, text: bool = False) -> None:
        assert delivery == _core.REPLY
        self.sent.append((connection, (Encoding.TEXT if text else Encoding.BINARY).decode(payload)))

    def send_many(self, connections: Sequence[int], payload: bytes, delivery: int, text: bool = False) -> None:
        self.parcels.append((tuple(connections), payload, delivery, text))

    def subscribe(self, connection: int, topic: int) -> None:
        self.topics.setdefault(topic, []).append(connection)

    def unsubscribe(self, connection: int, topic: int) -> None:
        self.topics[topic].remove(connection)

    def publish(self, topic: int, payload: bytes, delivery: int, text: bool = False) -> None:
        self.parcels.append((tuple(self.topics.get(topic, [])), payload, delivery, text))

    def admit(self, connection: int, lifetime_ms: int, idle_ms: int) -> None:
        lifetime_ms = lifetime_ms or self.admitted[connection][0]
        self.admitted[connection] = (lifetime_ms, idle_ms)

    def close(self, connection: int, code: int, reason: str) -> None:
        self.closed.append((connection, code, reason))

    def pause(self, connection: int, ms: int) -> None:
        self.paused.append((connection, ms))

    def command_bytes(self) -> int:
        return self.waiting_bytes

    def flush(self) -> None:
        self.flushes += 1

    def peer(self, connection: int) -> str:
        return f"192.0.2.1:{connection}"

    def drain(self, duration_ms: int, code: int, reason: str) -> None:
        self.closed.append((0, code, reason))

    def stop(self) -> None:
        os.close(self._descriptor)

    def counters(self) -> dict[str, int]:
        return {"connections": self.open_connections}


class Bench:
    """A gateway, and a handler that answers at once unless it is told to hold its answers back.

    now_s: its clock; tick_s: how much later it is at each look at it.
    """

    def __init__(self, folder: Path, bounds: Bounds = FREE, units: int = 0) -> None:
        self.now_s = 0.0
        self.tick_s = 0.0
        self.core = ScriptedCore()
        self.counts = Counts()
        self.sessions = MemorySessions(config.Sessions(per_user=8), self.counts, lambda: 0.0)
        self.bus = LocalBus()
        self.batches: list[list[Call]] = []
        self.open_gate = asyncio.Event()
        self.open_gate.set()
        self.refusal: LonglinkError | None = None
        verifier = Verifier.from_config(Auth(), folder)
        self._signer = Signer(read_data_key(folder), now_s=lambda: NOW_S)
        core = cast("_core.Core", self.core)
        self.keys = ResumeKeys(b"a secret of this test")
        handshake = Handshake(verifier, self.keys, lambda: NOW_S)
        self.registrar = Registrar(self.sessions, self.bus, self.counts)
        self.detached_ms = 300_000
        beats = Heartbeats(1_000, 100, 10_000, 20_000)
        ids = SessionIds(0, 0, lambda: NOW_S)
        self.accounts = Accounts(units, max(1, units), lambda: self.now_s)
        self.gateway = Gateway(
            ids,
            core,
            handshake,
            self._handle,
            self.registrar,
            self.counts,
            beats,
            self.accounts,
            bounds,
            MISSED_PER_S,
            self._tick,
        )
        self.bus.attach(ids.gateway, self.gateway)
        self.gateway.start()

    def _tick(self) -> float:
        self.now_s += self.tick_s
        return self.now_s

    async def _handle(self, calls: Sequence[Call]) -> list[Reply]:
        self.batches.append(list(calls))
        await self.open_gate.wait()
        frames = [self._reply(call) for call in calls]
        return [Reply(Encoding.BINARY.encode(frame), frame.error.code) for frame in frames]

    def _reply(self, call: Call) -> Frame:
        if self.refusal is not None:
            return error_frame(self.refusal, call.frame.id)
        name = body_name(call.frame)
        if name == "connect":
            return self._connected(call)
        bodies = {"send": Sent(), "ack": Acked(), "adjust": Adjusted(heartbeat_ms=4_000), "logout": LoggedOut()}
        reply = {"send": "sent", "ack": "acked", "adjust": "adjusted", "logout": "logged_out"}[str(name)]
        return Frame(id=call.frame.id, **{reply: bodies[str(name)]})  # type: ignore[arg-type]

    def _connected(self, call: Call) -> Frame:
        asked, connected = call.frame.connect, Connected(user=call.session.user, heartbeat_ms=2_000)
        connected.detached_ms = self.detached_ms
        if asked.key:
            missed = self.registrar.resume(call.session, int(asked.key), asked.received)
            if missed is None:
                return error_frame(LonglinkError(errors.SESSION_UNKNOWN, "it has ended"), call.frame.id)
            connected.resumed, connected.missed = True, missed
        return Frame(id=call.frame.id, connected=connected)

    def present(self, user: str) -> list[Session]:
        """Who is attached."""
        return [record.session for record, _ in self.sessions.of(user) if record.attached]

    def resume(self, connection: int, key: str, received: int = 0, device: str = "phone", **more: object) -> Event:
        connect = Connect(version=1, device=device, key=key, received=received, **more)  # type: ignore[arg-type]
        return message(connection, Frame(id=1, connect=connect))

    def heard(self, connection: int) -> list[str | None]:
        """The names of what this connection got since the last call, parcels included."""
        found: list[str | None] = [body_name(frame) for to, frame in self.core.sent if to == connection]
        self.core.sent = [(to, frame) for to, frame in self.core.sent if to != connection]
        return found

    def connect(self, connection: int, user: str = "alice", device: str = "phone", days: float = 1 / 24) -> Event:
        """The event of a good Connect. The token lives for an hour unless it is told otherwise."""
        token = self._signer.sign(user, days=days)
        return message(connection, Frame(id=1, connect=Connect(version=1, token=token, device=device)))

    async def enter(self, connection: int, user: str = "alice", device: str = "phone") -> str:
        """Connect with a token; returns the key."""
        self.core.happen(self.connect(connection, user, device))
        await turns()
        assert connection in self.core.admitted
        key = next(frame.connected.key for to, frame in self.core.sent if to == connection)
        self.core.sent.clear()
        self.batches.clear()
        return key


async def turns(count: int = 12) -> None:
    """Let the event loop go round, which is all the time that anything here takes."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(holds: Callable[[], bool]) -> None:
    """For what a timer brings; the story fails when it takes too long."""
    while not holds():  # noqa: ASYNC110 - the gateway has no event to wait for
        await asyncio.sleep(0.001)


def message(connection: int, frame: Frame, encoding: Encoding = Encoding.BINARY) -> Event:
    kind = _core.TEXT if encoding is Encoding.TEXT else _core.BINARY
    return kind, connection, encoding.encode(frame)


def send(connection: int, id_: int) -> Event:
    return message(connection, Frame(id=id_, send=Send(conversation="d_1", client_id="1", content=Content(text="a"))))


def ack(connection: int, id_: int) -> Event:
    return message(connection, Frame(id=id_, ack=Ack(conversation="d_1", seq=1)))


def play(folder: Path, story: Callable[[Bench], Awaitable[None]], bounds: Bounds = FREE, units: int = 0) -> None:
    async def whole() -> None:
        bench = Bench(folder, bounds, units)
        try:
            await story(bench)
        finally:
            bench.gateway.stop()
            await turns(2)

    asyncio.run(asyncio.wait_for(whole(), 60))
