"""The short link (F8-2, WX-1): every request of the protocol that is not about a link, as POST with JSON.

    POST /v1/send       {"conversation": ..., ...}    ->   {"seq": "7", ...}
    POST /v1/frames     {"frames": [{"id": 1, "send": {...}}, ...]}    ->   {"frames": [{"id": 1, "sent": {...}}, ...]}

The same rules, the same handler and the same errors as on the long link. Nothing is kept between two calls. Read next:
callers.py, rates.py; ../gateway.py, which does this for the long link.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from longlink import errors
from longlink.access.http.answers import NO_STORE, answer_error
from longlink.access.http.callers import Callers
from longlink.access.http.rates import Rates
from longlink.errors import TABLE, LonglinkError
from longlink.ops.metrics import Counts
from longlink.protocol import limits, session
from longlink.protocol.codec import decode
from longlink.protocol.frames import REQUESTS, Frame, RequestName, body_name, error_frame
from longlink.protocol.session import State
from longlink.protocol.text import body_fields, decode_body, decode_list, frame_fields
from longlink.routing.calls import Call, Handler
from longlink.routing.sessions import Session

ABOUT_A_LINK: Final = ("connect", "adjust")
METHODS: Final[tuple[RequestName, ...]] = tuple(name for name in REQUESTS if name not in ABOUT_A_LINK)
FRAMES: Final = 64
"""Frames in one POST /v1/frames."""
CORS: Final = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Retry-After"}
"""Nothing here goes by cookies, so a page of another origin can do no more than any program could."""
PREFLIGHT: Final = CORS | {
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Longlink-Device",
    "Access-Control-Max-Age": "86400",
}


class ShortLink(NamedTuple):
    """What the short link needs. most_bytes: of a body."""

    callers: Callers
    rates: Rates
    handler: Handler
    counts: Counts
    most_bytes: int

    def routes(self) -> list[Route]:
        """One for each method, and one for many frames at once."""
        named = [Route(f"/v1/{name}", self._guarded(self._method(name)), methods=["POST"]) for name in METHODS]
        every = [Route("/v1/frames", self._guarded(self._frames), methods=["POST"]), *named]
        return [*every, *(Route(route.path, answer_preflight, methods=["OPTIONS"]) for route in every)]

    def _guarded(self, answer: Callable[[Request], Awaitable[object]]) -> Callable[[Request], Awaitable[Response]]:
        """Errors become answers, and both are counted."""

        async def guarded(request: Request) -> Response:
            begun_s = time.perf_counter()
            self.counts.http_calls += 1
            try:
                return Response(msgspec.json.encode(await answer(request)), 200, NO_STORE | CORS, "application/json")
            except LonglinkError as error:
                self.counts.errors[error.name] += 1
                return answer_error(error, CORS | _retry_after(error))
            finally:
                self.counts.http_seconds.observe(time.perf_counter() - begun_s)

        return guarded

    def _method(self, name: RequestName) -> Callable[[Request], Awaitable[object]]:
        async def call(request: Request) -> object:
            caller, body = await self._admit(request)
            self._pace(caller, 1)
            frame = decode_body(name, body)
            limits.check(frame)
            reply = decode((await self.handler([Call(caller, frame)]))[0].payload)
            if body_name(reply) == "error":
                raise _as_raised(reply)
            return body_fields(reply)

        return call

    async def _frames(self, request: Request) -> object:
        caller, body = await self._admit(request)
        frames = decode_list(body, "frames")
        limits.check_range(len(frames), "frames: number", 1, FRAMES)
        self._pace(caller, len(frames))
        return {"frames": [frame_fields(reply) for reply in await self._answer(caller, frames)]}

    async def _admit(self, request: Request) -> tuple[Session, bytes]:
        """Who asks comes first: nobody else makes the server read a body."""
        headers = request.headers
        caller = self.callers.identify(headers.get("authorization", ""), headers.get("longlink-device", ""))
        kind = headers.get("content-type", "")
        if kind.partition(";")[0].strip().lower() != "application/json":
            message = f"expected Content-Type: application/json, got {kind[:60]!r}"
            raise LonglinkError(errors.FRAME_MALFORMED, message)
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > self.most_bytes:
                message = f"expected a body of at most {self.most_bytes} bytes (connection.max_message_bytes)"
                raise LonglinkError(errors.FRAME_TOO_LARGE, message)
        return caller, bytes(body)

    def _pace(self, caller: Session, calls: int) -> None:
        wait_s = self.rates.take(caller.user, calls)
        if wait_s:
            self.counts.http_limited += 1
            message = "this user calls more often than http.call_rate allows"
            raise LonglinkError(errors.RATE_LIMITED, message, retry_after_ms=math.ceil(wait_s * 1000))

    async def _answer(self, caller: Session, frames: Sequence[Frame | LonglinkError]) -> list[Frame]:
        """One reply per frame, in order. Those of one body go to the handler together, as on the long link."""
        replies: list[Frame] = [Frame()] * len(frames)
        groups: dict[str, list[int]] = {}
        for place, frame in enumerate(frames):
            try:
                groups.setdefault(_checked(frame), []).append(place)
            except LonglinkError as error:
                self.counts.errors[error.name] += 1
                replies[place] = error_frame(error, frame.request if isinstance(frame, LonglinkError) else frame.id)

        async def answer(places: list[int]) -> None:
            calls = [Call(caller, frame) for place in places if isinstance(frame := frames[place], Frame)]
            for place, reply in zip(places, await self.handler(calls), strict=True):
                replies[place] = decode(reply.payload)

        await asyncio.gather(*(answer(places) for places in groups.values()))
        return replies


def _checked(frame: Frame | LonglinkError) -> str:
    if isinstance(frame, LonglinkError):
        raise frame
    name = session.check(State.CONNECTED, frame)
    if name in ABOUT_A_LINK:
        raise LonglinkError(errors.FRAME_UNEXPECTED, f"{name} is about a long link, and this is none")
    limits.check(frame)
    return name


def _as_raised(reply: Frame) -> LonglinkError:
    error = reply.error
    return LonglinkError(TABLE[error.code], error.message, retry_after_ms=error.retry_after_ms)


def _retry_after(error: LonglinkError) -> dict[str, str]:
    """RFC 9110 section 10.2.3, in whole seconds."""
    return {"Retry-After": str(math.ceil(error.retry_after_ms / 1000))} if error.retry_after_ms else {}


async def answer_preflight(_: Request) -> Response:
    """What a browser asks before it lets a page of another origin call (Fetch, CORS protocol)."""
    return Response(status_code=204, headers=PREFLIGHT)
