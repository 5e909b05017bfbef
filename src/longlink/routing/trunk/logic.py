"""Logic's end of all trunks: the bus to gateways in other processes, and the way in for their calls and sessions.

A gateway whose trunk ends is forgotten, and its sessions wait for their clients; one that comes back announces its own
anew, and is only welcomed once none of before is attached. Parcels for a gateway that does not keep up are dropped, and
it is told so once it does again. Read next: gateway.py, the other end; ../registrar.py.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from longlink import errors
from longlink.errors import LonglinkError
from longlink.ops import logs
from longlink.ops.tasks import Tasks
from longlink.protocol.frames import Frame
from longlink.routing.bus.base import Ending, Parcel
from longlink.routing.calls import Call, Handler
from longlink.routing.ids import worker_of
from longlink.routing.sessions import Arrival, Session
from longlink.routing.trunk.frames import (
    Ask,
    Broadcast,
    Calls,
    Came,
    Endings,
    Hello,
    Lost,
    Parcels,
    Replies,
    Told,
    TrunkFrame,
    Welcome,
    Went,
)
from longlink.routing.trunk.stream import Stream

log = logs.get("trunk")

WAITING_BYTES: Final = 16 * 2**20
"""What may wait for one gateway before its parcels are dropped."""


Answers = Mapping[str, Callable[[], Awaitable[bytes]]]
"""What is answered to each question. May raise LonglinkError, which is the answer then."""


class Members(Protocol):
    """The registry of this process."""

    async def add(self, session: Session, arrival: Arrival) -> None: ...
    async def restore(self, session: Session, arrival: Arrival) -> None: ...
    async def remove(self, session: Session) -> None: ...
    async def forget(self, gateway: int) -> None: ...


@dataclass(slots=True)
class Attached:
    """One gateway that is there. lost: parcels were dropped, and it does not know yet."""

    stream: Stream
    hello: Hello
    lost: bool = False
    asked: dict[int, asyncio.Future[bytes]] = field(default_factory=dict)

    @property
    def gateway(self) -> int:
        return self.hello.gateway


class Watcher(Protocol):
    """Who keeps account of the gateways."""

    def attached(self, hello: Hello) -> None:
        """This gateway is there now."""

    def gone(self, gateway: int) -> None:
        """It is there no longer."""


class Hub:
    """secret: what a gateway must know."""

    def __init__(self, secret: bytes, watcher: Watcher) -> None:
        self._secret = secret
        self._watcher = watcher
        self._handler: Handler
        self._members: Members
        self._answers: Answers
        self._known: dict[Stream, Attached] = {}
        self._gateways: dict[int, Attached] = {}
        self._forgetting: dict[int, asyncio.Task[None]] = {}
        self._tasks = Tasks(log)
        self._questions = itertools.count(1)
        self._dropped = 0
        self._alone = asyncio.Event()
        self._alone.set()

    async def serve(
        self, listener: socket.socket, handler: Handler, members: Members, answers: Answers
    ) -> asyncio.Server:
        """Take trunks from this listening socket until the server that is returned is closed.

        handler, members: of this process. answers: to what a gateway may ask.
        """
        self._handler, self._members, self._answers = handler, members, answers
        loop = asyncio.get_running_loop()
        return await loop.create_unix_server(lambda: Stream(self._take, self._lose, holds_back=True), sock=listener)

    async def stop(self) -> None:
        """End all trunks."""
        for stream in list(self._known):
            stream.close()
        for task in self._tasks.under_way:
            task.cancel()
        await asyncio.gather(*self._tasks.under_way, return_exceptions=True)

    async def alone(self) -> None:
        """Returns when no gateway is attached, at once if so now."""
        await self._alone.wait()

    @property
    def gateways(self) -> list[int]:
        """Those that are attached."""
        return list(self._gateways)

    def numbers(self) -> dict[str, int]:
        """Counters and gauges by the names of ops.catalogue.TRUNK."""
        waiting = sum(attached.stream.waiting for attached in self._gateways.values())
        return {"dropped_parcels": self._dropped, "waiting_bytes": waiting}

    # The bus ----------------------------------------------------------------------------------------------------------

    def publish(self, gateway: int, parcels: Sequence[Parcel]) -> None:
        """As routing.bus.base.Bus."""
        attached = self._gateways.get(gateway)
        if attached is None:
            return
        if attached.stream.waiting <= WAITING_BYTES and not attached.lost:
            attached.stream.send(Parcels(list(parcels)))
            return
        self._dropped += len(parcels)
        if not attached.lost:
            attached.lost = True
            self._tasks.begin(self._tell_lost(attached))

    def end(self, gateway: int, endings: Sequence[Ending]) -> None:
        """As routing.bus.base.Bus."""
        attached = self._gateways.get(gateway)
        if attached is not None:
            attached.stream.send(Endings(list(endings)))

    def broadcast(self, binary: bytes, text: bytes) -> int:
        """As routing.bus.base.Bus."""
        keeping_up = [each for each in self._gateways.values() if each.stream.waiting <= WAITING_BYTES]
        for attached in keeping_up:
            attached.stream.send(Broadcast(binary, text))
        self._dropped += len(self._gateways) - len(keeping_up)
        return len(keeping_up)

    async def ask(self, gateway: int, what: str) -> bytes:
        """What this gateway answers. Raises LOGIC_UNAVAILABLE when it is not there or goes before it has answered."""
        attached = self._gateways.get(gateway)
        if attached is None:
            raise LonglinkError(errors.LOGIC_UNAVAILABLE, f"gateway {worker_of(gateway)} is not there")
        number = next(self._questions)
        asked: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        attached.asked[number] = asked
        attached.stream.send(Ask(number, what))
        try:
            return await asked
        finally:
            del attached.asked[number]

    @staticmethod
    async def _tell_lost(attached: Attached) -> None:
        await attached.stream.easy()
        attached.lost = False
        attached.stream.send(Lost())

    # Gateways come and go ---------------------------------------------------------------------------------------------

    def _take(self, stream: Stream, frames: list[TrunkFrame]) -> None:
        for frame in frames:
            attached = self._known.get(stream)
            if attached is not None:
                self._serve(attached, frame)
            elif not (isinstance(frame, Hello) and hmac.compare_digest(frame.secret, self._secret)):
                log.error("trunk_stranger")
                stream.close()
                return
            else:
                self._greet(stream, frame)

    def _greet(self, stream: Stream, hello: Hello) -> None:
        before = self._gateways.get(hello.gateway)
        if before is not None:
            self._lose(before.stream)
            before.stream.close()
        self._known[stream] = Attached(stream, hello)
        self._tasks.begin(self._welcome(self._known[stream]))

    async def _welcome(self, attached: Attached) -> None:
        """Once the sessions of before are detached: what is announced from now on stays."""
        forgetting = self._forgetting.get(attached.gateway)
        if forgetting is not None:
            await asyncio.wait([forgetting])
        if self._known.get(attached.stream) is attached:
            self._gateways[attached.gateway] = attached
            self._alone.clear()
            self._watcher.attached(attached.hello)
            attached.stream.send(Welcome())
            log.info("gateway_attached", gateway=worker_of(attached.gateway))

    def _lose(self, stream: Stream) -> None:
        attached = self._known.pop(stream, None)
        if attached is None:
            return
        gone = LonglinkError(errors.LOGIC_UNAVAILABLE, f"gateway {worker_of(attached.gateway)} has gone")
        for asked in attached.asked.values():
            if not asked.done():
                asked.set_exception(gone)
        if self._gateways.get(attached.gateway) is attached:
            del self._gateways[attached.gateway]
            self._watcher.gone(attached.gateway)
            log.info("gateway_gone", gateway=worker_of(attached.gateway))
            self._forgetting[attached.gateway] = self._tasks.begin(self._members.forget(attached.gateway))
        if not self._gateways:
            self._alone.set()

    # What a gateway says ----------------------------------------------------------------------------------------------

    def _serve(self, attached: Attached, frame: TrunkFrame) -> None:
        """Tasks begin in the order in which they were made, and that is all that calls and sessions need."""
        match frame:
            case Calls():
                self._tasks.begin(self._answer(attached, frame))
            case Came():
                self._tasks.begin(self._came(frame))
            case Went(sessions):
                self._tasks.begin(self._went(sessions))
            case Ask():
                self._tasks.begin(self._tell(attached, frame))
            case Told(number, answer) if number in attached.asked and not attached.asked[number].done():
                attached.asked[number].set_result(answer)

    async def _answer(self, attached: Attached, batch: Calls) -> None:
        calls = [Call(session, Frame.FromString(request)) for session, request in batch.calls]
        attached.stream.send(Replies(batch.number, await self._handler(calls)))

    async def _came(self, came: Came) -> None:
        enter = self._members.restore if came.again else self._members.add
        for session, arrival in came.sessions:
            await enter(session, arrival)

    async def _went(self, sessions: list[Session]) -> None:
        for session in sessions:
            await self._members.remove(session)

    async def _tell(self, attached: Attached, asked: Ask) -> None:
        try:
            told = Told(asked.number, await self._answers[asked.what](), 0)
        except LonglinkError as error:
            told = Told(asked.number, error.message.encode(), error.code)
        attached.stream.send(told)
