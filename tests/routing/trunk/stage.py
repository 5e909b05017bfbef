"""Both ends of trunks in one event loop, over real sockets: gateways that write down what they hear, and a logic that
answers what the test wants and can die at any moment. Read next: test_trunk.py.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

from longlink import config, errors
from longlink.errors import LonglinkError
from longlink.ops.metrics import Counts
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Frame, Send, Sent
from longlink.routing.bus.base import Ending, Parcel
from longlink.routing.calls import Call, Reply
from longlink.routing.ids import COUNTER_BITS
from longlink.routing.registrar import Registrar
from longlink.routing.registry import MemorySessions
from longlink.routing.sessions import FRESH, Arrival, Session
from longlink.routing.trunk.frames import Hello
from longlink.routing.trunk.gateway import Trunk
from longlink.routing.trunk.logic import Hub
from longlink.routing.trunk.unanswered import Bounds

SECRET = b"known to both"
WAIT_S = 10.0
BOUNDS = Bounds(calls=100, call_bytes=10_000, answer_s=8.0)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Gateway:
    """The receiver of one trunk. here: its sessions; heard: what it was told, in order.

    between: called before each part of them is told.
    """

    def __init__(self) -> None:
        self.here: list[Session] = []
        self.between: Callable[[], None] = lambda: None
        self.heard: list[Parcel | Ending | str | tuple[bytes, bytes]] = []

    def receive(self, parcels: Sequence[Parcel]) -> None:
        self.heard += parcels

    def end(self, endings: Sequence[Ending]) -> None:
        self.heard += endings

    def broadcast(self, binary: bytes, text: bytes) -> None:
        self.heard.append((binary, text))

    def sessions(self, most: int) -> Iterator[list[tuple[Session, Arrival]]]:
        for begin in range(0, len(self.here), most):
            self.between()
            yield [(each, FRESH) for each in self.here[begin : begin + most]]

    def missed(self) -> None:
        self.heard.append("missed")


class Logic:
    """One life of logic. taken: client_ids in the order in which they took effect, while the gate is open or not.

    known: how many sessions there were each time; here: what the gateways that are attached have said of themselves.
    """

    def __init__(self) -> None:
        counts = Counts()
        self.sessions = MemorySessions(config.Sessions(), counts, lambda: 0.0)
        self.taken: list[str] = []
        self.known: list[int] = []
        self.open_gate = asyncio.Event()
        self.open_gate.set()
        self.here: list[Hello] = []
        self.hub = Hub(SECRET, self)
        self.registrar = Registrar(self.sessions, self.hub, counts)

    def present(self, *users: str) -> list[Session]:
        """Who is attached."""
        return [record.session for user in users for record, _ in self.sessions.of(user) if record.attached]

    def attached(self, hello: Hello) -> None:
        self.here.append(hello)

    def gone(self, gateway: int) -> None:
        self.here = [hello for hello in self.here if hello.gateway != gateway]

    async def serve(self, listener: socket.socket) -> asyncio.Server:
        return await self.hub.serve(
            listener,
            self.handle,
            self.registrar,
            {"greeting": self._greet, "other greeting": self._greet_again, "trouble": _fail},
        )

    async def handle(self, calls: Sequence[Call]) -> list[Reply]:
        self.known += [self.sessions.count for _ in calls]
        self.taken += [call.frame.send.client_id for call in calls]
        await self.open_gate.wait()
        frames = [Frame(id=call.frame.id, sent=Sent(client_id=call.frame.send.client_id)) for call in calls]
        return [Reply(Encoding.BINARY.encode(frame), 0) for frame in frames]

    async def _greet(self) -> bytes:
        await self.open_gate.wait()
        return b"hello"

    async def _greet_again(self) -> bytes:
        await self.open_gate.wait()
        await asyncio.sleep(0)
        return b"good evening"


async def _fail() -> bytes:
    raise LonglinkError(errors.STORAGE_UNAVAILABLE, "the disk is full")


class Stage:
    """One listening socket that outlives every logic behind it, as the supervisor's does."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "trunk")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self._server: asyncio.Server | None = None
        self._trunks: list[Trunk] = []
        self.clock = Clock()
        self.logic = Logic()

    async def start_logic(self) -> Logic:
        """A new logic, which knows nothing of the one before."""
        self.logic = Logic()
        self._server = await self.logic.serve(self._listener.dup())
        return self.logic

    async def hung_logic(self) -> socket.socket:
        """The end of a trunk where nobody reads."""
        self._listener.setblocking(False)
        hung, _ = await asyncio.get_running_loop().sock_accept(self._listener)
        return hung

    async def kill_logic(self) -> None:
        """Its trunks break, and nobody listens until the next one starts."""
        assert self._server is not None
        self._server.close()
        await self.logic.hub.stop()

    async def gateway(self, number: int, bounds: Bounds = BOUNDS) -> tuple[Trunk, Gateway, Counts]:
        counts, receiver = Counts(), Gateway()
        trunk = Trunk(self.path, SECRET, number, 3, bounds, counts, lambda: b"good day", self.clock)
        trunk.start(receiver)
        self._trunks.append(trunk)
        return trunk, receiver, counts

    async def close(self) -> None:
        for trunk in self._trunks:
            await trunk.stop()
        if self._server is not None:
            await self.kill_logic()
        self._listener.close()


def play(folder: Path, story: Callable[[Stage], Awaitable[None]]) -> None:
    async def whole() -> None:
        stage = Stage(folder)
        try:
            await story(stage)
        finally:
            await stage.close()

    asyncio.run(asyncio.wait_for(whole(), 30))


async def until(holds: Callable[[], bool]) -> None:
    """Let both ends work until it holds."""
    async with asyncio.timeout(WAIT_S):
        while not holds():  # noqa: ASYNC110 - nothing announces what is waited for
            await asyncio.sleep(0)


def session(user: str, gateway: int, number: int, device: str = "phone") -> Session:
    id_ = gateway << COUNTER_BITS | number
    return Session(user, device, "", id_, id_, number, Encoding.BINARY)


def send(caller: Session, *client_ids: str) -> list[Call]:
    frames = [Frame(id=number, send=Send(client_id=id_)) for number, id_ in enumerate(client_ids, 1)]
    return [Call(caller, frame) for frame in frames]


def answers(replies: Sequence[Reply]) -> list[tuple[int, str]]:
    """Id and client_id, or the name of the error, of each reply."""
    frames = [Encoding.BINARY.decode(reply.payload) for reply in replies]
    return [(frame.id, frame.error.name or frame.sent.client_id) for frame in frames]
