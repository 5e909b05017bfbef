"""One link from its handshake to its end: encoding, request ids and their answers, heartbeats, and why it ended.

It knows no messages: what is not the answer to `request` goes to the owner. It never reconnects. Read next:
handshake.py, how it begins; supervisor.py, which makes one after the other; liveness.py, when it is dead.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final, NoReturn

from longlink import errors
from longlink.client.liveness import Liveness, Verdict
from longlink.client.options import Options
from longlink.client.prober import Prober
from longlink.client.transport import Transport
from longlink.errors import TABLE, LonglinkError, Row
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Adjust, Adjusted, Connected, Error, Frame, body_name

MAX_REQUEST: Final = 2**32 - 1
NORMAL: Final = 1000
COUNTED: Final = ("message", "delivered", "read")
"""Events that Connect.received counts."""
STREAM_DEAD_AFTER_S: Final = 45.0
"""On a stream the server says something every 15 s, unless set otherwise."""


class Connection:
    """One admitted link; made by `handshake`. received: events that came and that a resumption counts.

    background: whether the server was told to send no events.
    """

    def __init__(
        self,
        transport: Transport,
        options: Options,
        prober: Prober,
        connected: Connected,
        take: Callable[[Frame], None],
    ) -> None:
        self.connected = connected
        self.link = transport.link
        self.received = 0
        self._transport = transport
        self._encoding = transport.encoding
        self._prober = prober
        self._asked_s = prober.interval_s
        self.background = False
        self.take = take
        self._now = asyncio.get_running_loop().time
        self._requests = 1
        self._waiting: dict[int, asyncio.Future[Frame]] = {}
        self._ended: LonglinkError | None = None
        self._liveness = Liveness(
            self._now(),
            agreed_s=connected.heartbeat_ms / 1000,
            prober=prober,
            random=options.random,
            dead_after_s=options.dead_after_s if transport.talks else STREAM_DEAD_AFTER_S,
            talks=transport.talks,
        )
        self._adjusting: asyncio.Task[None] | None = None
        self._terms = asyncio.Lock()
        self._wrote = asyncio.Event()

    def next_request(self) -> int:
        """A fresh request id, for `write`."""
        self._requests = self._requests % MAX_REQUEST + 1
        return self._requests

    async def write(self, frame: Frame) -> None:
        """Send one frame. Raises FRAME_TOO_LARGE, and then nothing was sent, or the error that ended the link."""
        data = self._encoding.encode(frame)
        most = self.connected.max_frame_bytes
        if len(data) > most > 0:
            raise LonglinkError(
                errors.FRAME_TOO_LARGE, f"the server takes {most} bytes, this message needs {len(data)}"
            )
        self._liveness.wrote(self._now())
        self._wrote.set()
        await self._transport.send(data)

    async def request(self, frame: Frame) -> Frame:
        """Send a request and wait for its answer; the caller sets a deadline.

        Raises the error that the server answered, or the one that ended the link.
        """
        if self._ended is not None:
            raise self._ended
        frame.id = self.next_request()
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._waiting[frame.id] = answer
        try:
            await self.write(frame)
            reply = await answer
        finally:
            self._waiting.pop(frame.id, None)
            if not answer.cancel() and not answer.cancelled():
                # The link ended while the request was written, which has failed with the same error: it was told.
                answer.exception()
        if body_name(reply) == "error":
            raise error_of(reply.error)
        return reply

    async def run(self) -> NoReturn:
        """Read and keep the link alive until it ends; raises why. All waiting requests fail with the same error."""
        watch = asyncio.create_task(self._watch())
        read = asyncio.create_task(self._read())
        try:
            await asyncio.wait((watch, read), return_when=asyncio.FIRST_COMPLETED)
            for task in (read, watch):
                if task.done():
                    task.result()
            raise AssertionError("a link ended without an error")
        except LonglinkError as error:
            self._fail(error)
            raise
        finally:
            tasks: list[asyncio.Task[Any]] = [watch, read, *([self._adjusting] if self._adjusting else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._liveness.ended()
            self._fail(LonglinkError(errors.DISCONNECTED, "the client closed the link"))

    async def close(self) -> None:
        await self._transport.close(NORMAL)

    async def _read(self) -> NoReturn:
        closing: LonglinkError | None = None
        while True:
            try:
                data = await self._transport.receive()
            except LonglinkError as error:
                raise closing or error from error
            self._liveness.heard(self._now())
            if data:
                closing = self._dispatch(decoded(data, self._encoding)) or closing

    def _dispatch(self, frame: Frame) -> LonglinkError | None:
        waiting = self._waiting.get(frame.id) if frame.id else None
        name = body_name(frame)
        if waiting is not None and not waiting.done():
            waiting.set_result(frame)
        elif name == "closing":
            said = frame.closing
            return LonglinkError(row(said.code, said.name), said.message, retry_after_ms=said.reconnect_after_ms)
        else:
            if name in COUNTED:
                self.received += 1
            self.take(frame)
        return None

    async def _watch(self) -> NoReturn:
        while True:
            verdict = self._liveness.verdict(self._now())
            if verdict is Verdict.DEAD:
                raise LonglinkError(errors.DISCONNECTED, "the server has gone silent")
            if verdict is Verdict.HEARTBEAT:
                await self._heartbeat()
            self._adjust()
            self._wrote.clear()
            try:
                async with asyncio.timeout_at(self._liveness.next_due()):
                    await self._wrote.wait()
            except TimeoutError:
                continue

    async def _heartbeat(self) -> None:
        """Written with a deadline: when the socket takes no bytes any more, silence is what decides, not this wait."""
        self._liveness.tried(self._now())
        try:
            async with asyncio.timeout_at(self._liveness.next_due()):
                await self._transport.send(b"")
        except TimeoutError:
            return

    def _adjust(self) -> None:
        """When the network keeps a longer silence than was agreed, ask for it; once for each length."""
        wanted_s = self._prober.interval_s
        if wanted_s in (self._asked_s, self._liveness.agreed_s) or wanted_s < self._liveness.agreed_s:
            return
        self._asked_s = wanted_s
        if self._adjusting is None or self._adjusting.done():
            self._adjusting = asyncio.create_task(self._agree(wanted_s))

    async def _agree(self, wanted_s: float) -> None:
        with contextlib.suppress(LonglinkError):
            await self.adjust(round(wanted_s * 1000))

    async def adjust(self, heartbeat_ms: int, *, background: bool | None = None, token: str = "") -> Adjusted:
        """Other terms for this link; the caller sets a deadline. Raises what `request` raises.

        background: None leaves it as it is. One at a time, because each sets all terms.
        """
        async with self._terms:
            wanted = self.background if background is None else background
            asked = Adjust(heartbeat_ms=heartbeat_ms, background=wanted, token=token)
            reply = await self.request(Frame(adjust=asked))
            self.background = wanted
            self._liveness.agreed_s = reply.adjusted.heartbeat_ms / 1000
            return reply.adjusted

    async def renew(self, token: str) -> Adjusted:
        """Go on with a new token, on the terms that hold; the caller sets a deadline. Raises what `request` raises."""
        return await self.adjust(round(self._asked_s * 1000), token=token)

    def _fail(self, error: LonglinkError) -> None:
        self._ended = self._ended or error
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(error)


def error_of(error: Error) -> LonglinkError:
    return LonglinkError(row(error.code, error.name), error.message, retry_after_ms=error.retry_after_ms)


def row(code: int, name: str) -> Row:
    """The row of a code; one of a newer server gets a row of its own, so that its kind (retry or not) counts."""
    return TABLE.get(code) or Row(name, code, 500, "This client is older than the server and knows no more of it.")


def decoded(data: bytes, encoding: Encoding) -> Frame:
    """A server that sends rubbish is tried again: final errors are about what this client sends."""
    try:
        return encoding.decode(data, strict=False)
    except LonglinkError as error:
        raise LonglinkError(errors.DISCONNECTED, f"the server sent what is no frame: {error.message}") from error
