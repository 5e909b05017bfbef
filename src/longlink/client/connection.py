"""One link from its handshake to its end: encoding, request ids and their answers, heartbeats, and why it ended.

It knows no messages: what is not the answer to `request` goes to the owner. It never reconnects. Read next:
supervisor.py, which makes one connection after the other; liveness.py, which decides when a link is dead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NoReturn

from longlink import errors
from longlink.client.liveness import Liveness, Verdict
from longlink.client.options import Options
from longlink.client.transport import Transport
from longlink.errors import TABLE, LonglinkError, Row
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import VERSION, Connect, Connected, Error, Frame, body_name

AGENT: Final = "longlink-python/0.1.0"
MAX_REQUEST: Final = 2**32 - 1
NORMAL: Final = 1000


class Connection:
    """One admitted link; made by `handshake`."""

    def __init__(
        self, transport: Transport, options: Options, connected: Connected, take: Callable[[Frame], None]
    ) -> None:
        self.connected = connected
        self._transport = transport
        self._encoding = options.encoding
        self.take = take
        self._now = asyncio.get_running_loop().time
        self._requests = 1
        self._waiting: dict[int, asyncio.Future[Frame]] = {}
        self._ended: LonglinkError | None = None
        self._liveness = Liveness(
            self._now(),
            heartbeat_s=connected.heartbeat_ms / 1000,
            random=options.random,
            dead_after_s=options.dead_after_s,
        )
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
            for task in (watch, read):
                task.cancel()
            await asyncio.gather(watch, read, return_exceptions=True)
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
            self._liveness.heard()
            if data:
                closing = self._dispatch(_decode(data, self._encoding)) or closing

    def _dispatch(self, frame: Frame) -> LonglinkError | None:
        waiting = self._waiting.get(frame.id) if frame.id else None
        if waiting is not None and not waiting.done():
            waiting.set_result(frame)
        elif body_name(frame) == "closing":
            said = frame.closing
            return LonglinkError(row(said.code, said.name), said.message, retry_after_ms=said.reconnect_after_ms)
        else:
            self.take(frame)
        return None

    async def _watch(self) -> NoReturn:
        while True:
            verdict = self._liveness.verdict(self._now())
            if verdict is Verdict.DEAD:
                raise LonglinkError(errors.DISCONNECTED, "the server has gone silent")
            if verdict is Verdict.HEARTBEAT:
                await self._heartbeat()
            self._wrote.clear()
            try:
                async with asyncio.timeout_at(self._liveness.next_due()):
                    await self._wrote.wait()
            except TimeoutError:
                continue

    async def _heartbeat(self) -> None:
        """Written with a deadline: when the socket takes no bytes any more, silence is what decides, not this wait."""
        self._liveness.wrote(self._now())
        try:
            async with asyncio.timeout_at(self._liveness.next_due()):
                await self._transport.send(b"")
        except TimeoutError:
            return

    def _fail(self, error: LonglinkError) -> None:
        self._ended = self._ended or error
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(error)


async def handshake(transport: Transport, options: Options, token: str, take: Callable[[Frame], None]) -> Connection:
    """Connect and wait for Connected; the caller sets a deadline. Raises what the server answered, or DISCONNECTED."""
    connect = Connect(version=VERSION, token=token, device=options.device, agent=AGENT)
    await transport.send(options.encoding.encode(Frame(id=1, connect=connect)))
    while not (data := await transport.receive()):
        pass
    answer = _decode(data, options.encoding)
    name = body_name(answer)
    if name == "error":
        raise error_of(answer.error)
    if name != "connected":
        raise LonglinkError(errors.DISCONNECTED, f"the server answered {name} to connect, expected connected")
    return Connection(transport, options, answer.connected, take)


def error_of(error: Error) -> LonglinkError:
    return LonglinkError(row(error.code, error.name), error.message, retry_after_ms=error.retry_after_ms)


def row(code: int, name: str) -> Row:
    """The row of a code; one of a newer server gets a row of its own, so that its kind (retry or not) counts."""
    return TABLE.get(code) or Row(name, code, 500, "This client is older than the server and knows no more of it.")


def _decode(data: bytes, encoding: Encoding) -> Frame:
    """A server that sends rubbish is tried again: final errors are about what this client sends."""
    try:
        return encoding.decode(data, strict=False)
    except LonglinkError as error:
        raise LonglinkError(errors.DISCONNECTED, f"the server sent what is no frame: {error.message}") from error
