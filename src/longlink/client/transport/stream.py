"""The fallback: frames come down as server-sent events, and go up by POST. For proxies that let no WebSocket through.

The first message, Connect, opens the stream (POST /v1/events, on the port of the long link); the others go to
POST /v1/frames of the short link, under the key of the session, and their answers hold the replies. One POST is under
way at a time; whatever waits goes with the next one. A POST whose connection broke is sent once more: every request
may be repeated. Read next: posts.py, which speaks HTTP.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

from longlink import errors
from longlink.client import transport
from longlink.client.backoff import retry_after_s
from longlink.client.transport.posts import Answer, Http, Origin, open_http
from longlink.client.transport.reasons import reason
from longlink.errors import TABLE, LonglinkError
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Connected

FRAMES: Final = 64
"""Frames in one POST (proto/SPEC.md), and frames that wait for the next one."""
AROUND: Final = len(b'{"frames":[]}')
POST_S: Final = 15.0
WAIT_S: Final = 1.0
"""How long to wait when the server is asked too often and does not say how long."""
EVENT_BYTES: Final = transport.MAX_MESSAGE_BYTES
"""Largest event taken from a server: the line under way and the `data:` lines before it together."""
OK: Final = 200
TOO_MANY: Final = 429
UNAVAILABLE: Final = 503
SHOWN_BYTES: Final = 120


class Stream:
    link = "stream"
    encoding = Encoding.TEXT
    talks = False
    patient = False

    def __init__(self, down: Http, up: Origin) -> None:
        self._down = down
        self._up = up
        self._up_link: Http | None = None
        self._opened = False
        self._key = ""
        self._most = 0
        self._rest = bytearray()
        self._event: list[bytes] = []
        self._event_bytes = 0
        self._kind = b""
        # Without a bound of its own: the receiver takes at once, and what is kept then is bounded by the inbox.
        self._came: asyncio.Queue[bytes | LonglinkError] = asyncio.Queue()
        self._waiting: deque[bytes] = deque()
        self._room = asyncio.Semaphore(FRAMES)
        self._more = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def admitted(self, connected: Connected) -> None:
        self._key, self._most = connected.key, connected.max_frame_bytes

    async def send(self, data: bytes) -> None:
        if not self._opened:
            await self._open(data)
            return
        if len(data) + AROUND > self._most > 0:
            raise LonglinkError(
                errors.FRAME_TOO_LARGE, f"the server takes {self._most - AROUND} bytes, this message needs {len(data)}"
            )
        if data:
            await self._room.acquire()
            self._waiting.append(data)
            self._more.set()

    async def receive(self) -> bytes:
        came = await self._came.get()
        if isinstance(came, LonglinkError):
            self._came.put_nowait(came)
            raise came
        return came

    async def close(self, code: int) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(self._down.close(), *([self._up_link.close()] if self._up_link else []))

    # Down -------------------------------------------------------------------------------------------------------------

    async def _open(self, data: bytes) -> None:
        self._opened = True
        try:
            response = await self._down.ask("/v1/events", data, Accept="text/event-stream")
            if response.status_code != OK:
                raise _refused("the stream", await self._down.whole(response))
        except (OSError, ValueError) as error:
            raise transport.closed(transport.ABNORMAL, reason(error)) from error
        self._tasks = [asyncio.create_task(self._guarded(self._read)), asyncio.create_task(self._guarded(self._post))]

    async def _read(self) -> NoReturn:
        while part := await self._down.part():
            self._rest += part
            *lines, rest = self._rest.split(b"\n")
            self._rest = bytearray(rest)
            for line in lines:
                self._line(bytes(line.removesuffix(b"\r")))
            self._bound(len(self._rest))
        raise transport.closed(transport.ABNORMAL, "the stream has ended")

    def _line(self, line: bytes) -> None:
        """One line of server-sent events (WHATWG HTML, section 9.2.6); only what this server sends is understood."""
        if line.startswith(b":"):
            self._came.put_nowait(b"")
        elif line.startswith(b"data:"):
            # Each line counts with its end, so that empty ones are bounded too.
            self._event_bytes += len(line) + 1
            self._bound(0)
            self._event.append(line[5:].removeprefix(b" "))
        elif line.startswith(b"event:"):
            self._kind = line[6:].strip()
        elif not line and self._event:
            data, kind = b"\n".join(self._event), self._kind
            self._event, self._event_bytes, self._kind = [], 0, b""
            if kind == b"close":
                raise _closed(data)
            self._came.put_nowait(data)

    def _bound(self, more: int) -> None:
        if self._event_bytes + more > EVENT_BYTES:
            raise LonglinkError(errors.DISCONNECTED, f"the server sent an event of more than {EVENT_BYTES} bytes")

    # Up ---------------------------------------------------------------------------------------------------------------

    async def _post(self) -> NoReturn:
        while True:
            await self._more.wait()
            batch = self._batch()
            if not self._waiting:
                self._more.clear()
            for reply in await self._replies(b'{"frames":[' + b",".join(batch) + b"]}"):
                self._came.put_nowait(reply)
            for _ in batch:
                self._room.release()

    def _batch(self) -> list[bytes]:
        batch = [self._waiting.popleft()]
        size = AROUND + len(batch[0])
        while self._waiting and len(batch) < FRAMES:
            size += 1 + len(self._waiting[0])
            if size > self._most > 0:
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _replies(self, body: bytes) -> list[bytes]:
        while True:
            async with asyncio.timeout(POST_S):
                answer = await self._ask(body)
            if answer.status not in (TOO_MANY, UNAVAILABLE):
                break
            await asyncio.sleep(retry_after_s(answer.headers.get("retry-after", "")) or WAIT_S)
        if answer.status != OK:
            raise _refused("POST /v1/frames", answer)
        try:
            return [json.dumps(reply).encode() for reply in json.loads(answer.body)["frames"]]
        except (ValueError, KeyError, TypeError) as error:
            raise LonglinkError(errors.DISCONNECTED, f"POST /v1/frames: the answer has no frames: {error}") from error

    async def _ask(self, body: bytes) -> Answer:
        reused = self._up_link is not None
        try:
            return await self._ask_once(body)
        except OSError:
            # A kept connection may have ended since the last POST.
            if not reused:
                raise
        return await self._ask_once(body)

    async def _ask_once(self, body: bytes) -> Answer:
        link, self._up_link = self._up_link or await open_http(self._up), None
        try:
            answer = await link.whole(await link.ask("/v1/frames", body, Authorization=f"Longlink {self._key}"))
        except BaseException:
            await link.close()
            raise
        if link.next():
            self._up_link = link
        else:
            await link.close()
        return answer

    async def _guarded(self, work: Callable[[], Awaitable[NoReturn]]) -> None:
        """Whatever ends one of the two directions ends the link, and is what `receive` raises."""
        try:
            await work()
        except LonglinkError as error:
            self._came.put_nowait(error)
        except TimeoutError:
            self._came.put_nowait(transport.closed(transport.ABNORMAL, f"POST /v1/frames: no answer in {POST_S:.0f} s"))
        except Exception as error:
            # Not only OSError: what a server sends may be unfit for the next request, such as its resume token.
            self._came.put_nowait(transport.closed(transport.ABNORMAL, reason(error)))


async def open_stream(down: Origin, up: Origin) -> Stream:
    """Raises OSError."""
    return Stream(await open_http(down), up)


def _closed(data: bytes) -> LonglinkError:
    try:
        said = json.loads(data)
        return transport.closed(int(said["code"]), str(said.get("reason", "")))
    except (ValueError, KeyError, TypeError):
        return transport.closed(transport.ABNORMAL, "the stream was closed without a code")


def _refused(what: str, answer: Answer) -> LonglinkError:
    """The error that an answer of HTTP stands for: the server's own, or DISCONNECTED for that of something between."""
    try:
        said = json.loads(answer.body)["error"]
        row = TABLE[said["code"]]
    except (ValueError, KeyError, TypeError):
        shown = answer.body[:SHOWN_BYTES].decode("utf-8", "replace").strip()
        return LonglinkError(errors.DISCONNECTED, f"{what} was answered with HTTP {answer.status}: {shown}")
    if row in (errors.PATH_UNKNOWN, errors.METHOD_UNKNOWN):
        return LonglinkError(errors.DISCONNECTED, f"{what} is not there: {said.get('message', '')}")
    return LonglinkError(row, str(said.get("message", "")))
