"""The gateway's end of the trunk: handler and registry of a gateway whose logic is another process.

Every call waits here until it is answered. When the trunk breaks it is opened again; all sessions are announced, then
all that is unanswered is sent again, in order, before anything newer. That does no harm: each call may be done twice.
Sessions must sync afterwards, because parcels may have been lost. Read next: unanswered.py, logic.py.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Final

from longlink import errors
from longlink.errors import LonglinkError
from longlink.ops import logs
from longlink.ops.metrics import Counts
from longlink.routing.bus.base import Receiver
from longlink.routing.calls import Call, Reply, refusal
from longlink.routing.sessions import Arrival, Session
from longlink.routing.trunk.frames import (
    Ask,
    Broadcast,
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
from longlink.routing.trunk.stream import HIGH_BYTES, Stream
from longlink.routing.trunk.unanswered import Bounds, Unanswered

log = logs.get("trunk")

AGAIN_S: Final = 0.05
"""Between the end of a trunk and the next attempt: less than logic needs to be there again."""
ANNOUNCED: Final = 500
"""Sessions of one record when all are announced; between two of them the loop does other work."""
ASKED_S: Final = 4.0
"""How long a question to logic may take: longer than logic asks the gateways, shorter than /readyz waits."""


class Trunk:
    """path: the socket on which logic listens. numbers: what this process has counted. now_s: any monotonic clock.

    restarts, hangs: what happened to this gateway before, for the metrics.
    """

    def __init__(
        self,
        path: str,
        secret: bytes,
        gateway: int,
        restarts: int,
        bounds: Bounds,
        counts: Counts,
        numbers: Callable[[], bytes],
        now_s: Callable[[], float] | None = None,
        *,
        hangs: int = 0,
    ) -> None:
        self._path = path
        self._hangs = hangs
        self._secret = secret
        self._gateway = gateway
        self._restarts = restarts
        self._bounds = bounds
        self._counts = counts
        self._read_numbers = numbers
        self._now_s = now_s or asyncio.get_running_loop().time
        self._unanswered = Unanswered(bounds)
        self._questions = itertools.count(1)
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        self._stream: Stream | None = None
        self._attached = False
        self._welcome = asyncio.Event()
        self._gone = asyncio.Event()
        self._first = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._receiver: Receiver
        self._numbers = dict.fromkeys(("attached", "resent_calls", "refused_calls", "expired_calls", "late_replies"), 0)

    def start(self, receiver: Receiver) -> None:
        """Open the trunk for this gateway, and open it again whenever it breaks."""
        self._receiver = receiver
        self._keeping = asyncio.get_running_loop().create_task(self._keep())

    async def stop(self) -> None:
        """End the trunk; logic detaches the sessions of this gateway."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        # What ends now is not lost.
        self._attached = False
        if self._stream is not None:
            self._stream.close()
            await self._gone.wait()
        if self._timer is not None:
            self._timer.cancel()

    def numbers(self) -> dict[str, int]:
        """Counters and gauges by the names of ops.catalogue.TRUNK."""
        waiting = {"unanswered_calls": self._unanswered.calls, "unanswered_bytes": self._unanswered.bytes}
        return self._numbers | waiting

    # What the gateway uses --------------------------------------------------------------------------------------------

    async def handle(self, calls: Sequence[Call]) -> list[Reply]:
        """As routing.calls.Handler; what cannot be answered in time gets OVERLOADED or LOGIC_UNAVAILABLE."""
        answer: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()
        clogged = self._unread > max(self._bounds.call_bytes, HIGH_BYTES)
        batch = None if clogged else self._unanswered.add(calls, answer, self._now_s())
        if batch is None:
            self._numbers["refused_calls"] += len(calls)
            message = f"{self._unanswered.calls} calls of this gateway are waiting for logic"
            message += f", and {self._unread} bytes on the way to it" if clogged else ""
            return self._refuse(calls, LonglinkError(errors.OVERLOADED, message))
        if self._attached:
            self._send(batch.frame)
        self._arm()
        return await answer

    @property
    def _unread(self) -> int:
        """Bytes on the way to logic. A logic that hangs takes none, and calls that were given up stay among them."""
        return 0 if self._stream is None else self._stream.waiting

    async def add(self, session: Session, arrival: Arrival) -> None:
        """As routing.sessions.Registry. Order does it: whatever this gateway sends later meets the session.

        While all are announced it is one of them: a logic that is new cannot know what this one resumes.
        """
        self._send(Came([(session, arrival)], again=not self._attached))

    async def remove(self, session: Session) -> None:
        """As routing.sessions.Registry."""
        self._send(Went([session]))

    async def attached(self) -> None:
        """Returns when the trunk has been opened once."""
        await self._first.wait()

    async def ask(self, what: str) -> bytes:
        """Logic's answer to a question. Raises its error, or LOGIC_UNAVAILABLE."""
        if not self._attached:
            raise LonglinkError(errors.LOGIC_UNAVAILABLE, "logic is not there")
        number = next(self._questions)
        self._asked[number] = asyncio.get_running_loop().create_future()
        self._send(Ask(number, what))
        try:
            return await asyncio.wait_for(self._asked[number], ASKED_S)
        except TimeoutError:
            raise LonglinkError(errors.LOGIC_UNAVAILABLE, f"logic has not answered for {ASKED_S:g} s") from None
        finally:
            del self._asked[number]

    # Opening and keeping ----------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        while True:
            try:
                await self._open()
            except OSError as error:
                log.warning("trunk_refused", error=error.strerror or str(error))
            else:
                if await self._first_of(self._welcome, self._gone) is self._welcome:
                    await self._attach()
                await self._gone.wait()
            await asyncio.sleep(AGAIN_S)

    async def _open(self) -> None:
        self._welcome.clear()
        self._gone.clear()
        stream = Stream(self._take, self._lose)
        await asyncio.get_running_loop().create_unix_connection(lambda: stream, self._path)
        self._stream = stream
        again = self._numbers["attached"] > 0
        stream.send(Hello(self._secret, self._gateway, again, self._restarts, self._read_numbers(), self._hangs))

    @staticmethod
    async def _first_of(*events: asyncio.Event) -> asyncio.Event:
        waits = {asyncio.ensure_future(event.wait()): event for event in events}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return next(waits[wait] for wait in waits if wait in done)

    async def _attach(self) -> None:
        """All sessions, then all that is unanswered; from then on calls go straight through."""
        announced = 0
        for part in self._receiver.sessions(ANNOUNCED):
            self._send(Came(part, again=True))
            announced += len(part)
            await asyncio.sleep(0)
            if self._stream is not None:
                await self._stream.easy()
        if self._gone.is_set():
            return
        self._attached = True
        resent = 0
        for batch in self._unanswered:
            self._send(batch.frame)
            resent += len(batch.calls)
        if self._numbers["attached"]:
            self._numbers["resent_calls"] += resent
            self._receiver.missed()
        self._numbers["attached"] += 1
        self._first.set()
        log.info("trunk_attached", sessions=announced, unanswered=resent)

    def _lose(self, _: Stream) -> None:
        if self._attached:
            log.warning("trunk_lost", unanswered=self._unanswered.calls)
        self._stream = None
        self._attached = False
        self._gone.set()
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(LonglinkError(errors.LOGIC_UNAVAILABLE, "logic has gone"))

    # What logic says --------------------------------------------------------------------------------------------------

    def _take(self, stream: Stream, frames: list[TrunkFrame]) -> None:
        for frame in frames:
            match frame:
                case Replies(number, replies):
                    self._answered(number, replies)
                case Parcels(parcels):
                    self._receiver.receive(parcels)
                case Endings(endings):
                    self._receiver.end(endings)
                case Broadcast(binary, text):
                    self._receiver.broadcast(binary, text)
                case Lost():
                    self._receiver.missed()
                case Welcome():
                    self._welcome.set()
                case Ask(number):
                    stream.send(Told(number, self._read_numbers(), 0))
                case Told(number) if number in self._asked and not self._asked[number].done():
                    self._told(self._asked[number], frame)

    def _answered(self, number: int, replies: list[Reply]) -> None:
        batch = self._unanswered.pop(number)
        if batch is None:
            self._numbers["late_replies"] += len(replies)
        elif not batch.answer.done():
            batch.answer.set_result(replies)

    @staticmethod
    def _told(asked: asyncio.Future[bytes], told: Told) -> None:
        if told.code:
            asked.set_exception(LonglinkError(errors.TABLE[told.code], told.answer.decode()))
        else:
            asked.set_result(told.answer)

    # What is given up -------------------------------------------------------------------------------------------------

    def give_up(self) -> None:
        """Answer what has waited too long; its late answer will be dropped."""
        self._timer = None
        message = f"logic has not answered for {self._bounds.answer_s:g} s"
        for batch in self._unanswered.expired(self._now_s()):
            self._numbers["expired_calls"] += len(batch.calls)
            if not batch.answer.done():
                error = LonglinkError(errors.LOGIC_UNAVAILABLE, message)
                batch.answer.set_result(self._refuse(batch.calls, error))
        self._arm()

    def _arm(self) -> None:
        until_s = self._unanswered.next_until_s
        if self._timer is None and until_s is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, until_s - self._now_s()), self.give_up)

    def _refuse(self, calls: Sequence[Call], error: LonglinkError) -> list[Reply]:
        self._counts.errors[error.name] += len(calls)
        return [refusal(error, call.frame.id) for call in calls]

    def _send(self, frame: TrunkFrame) -> None:
        if self._stream is not None and self._welcome.is_set():
            self._stream.send(frame)
