"""The short link (F8-2, WX-1): every request of the protocol that is not about a link, as POST with JSON.

    POST /v1/send       {"conversation": ..., ...}    ->   {"seq": "7", ...}
    POST /v1/frames     {"frames": [{"id": 1, "send": {...}}, ...]}    ->   {"frames": [{"id": 1, "sent": {...}}, ...]}

The same rules, the same handler and the same errors as over a connection. Between two calls nothing is kept but what
each user may still ask for (../../routing/work.py). Read next: exchange.py, callers.py; frames.py, many at once.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from starlette.types import Receive, Scope, Send

from longlink import errors
from longlink.access.http.callers import Callers
from longlink.access.http.exchange import CORS, Asked, GoneError, error_body, error_headers, tell
from longlink.access.http.frames import FRAMES, answer_frames, as_raised
from longlink.access.http.strangers import CLOSE, StrangerError, Strangers
from longlink.errors import LonglinkError
from longlink.ops import logs
from longlink.ops.metrics import Counts
from longlink.protocol import limits
from longlink.protocol.codec import decode
from longlink.protocol.frames import REQUESTS, Frame, RequestName
from longlink.protocol.text import decode_body, decode_list, encode_body, json_names
from longlink.routing import work
from longlink.routing.calls import Call, Handler
from longlink.routing.sessions import Session
from longlink.routing.work import Accounts

log = logs.get("http")

METHODS: Final[tuple[RequestName, ...]] = tuple(name for name in REQUESTS if name not in ("connect", "adjust"))
"""All but those that are about a link."""
ALLOW: Final = (b"allow", b"OPTIONS, POST")
PREFLIGHT: Final = (
    ALLOW,
    (b"access-control-allow-methods", b"POST"),
    (b"access-control-allow-headers", b"Authorization, Content-Type, Longlink-Device"),
    (b"access-control-max-age", b"86400"),
)
"""What a browser asks before it lets a page of another origin call (Fetch, CORS protocol)."""
OUTCOMES: Final = ("done", "refused", "later")
"""Labels of the calls that are counted: answered; the same again fails again; it may succeed later."""

Said = bytes | LonglinkError
Answer = Callable[[Session, bytes], Awaitable[Said]]


class ShortLink:
    """most_bytes: of a body."""

    def __init__(
        self,
        callers: Callers,
        accounts: Accounts,
        handler: Handler,
        counts: Counts,
        most_bytes: int,
        strangers: Strangers,
    ) -> None:
        self._callers = callers
        self._accounts = accounts
        self._handler = handler
        self._counts = counts
        self._most_bytes = most_bytes
        self._strangers = strangers
        self._answers: dict[str, tuple[str, Answer]] = {"/v1/frames": ("frames", self._many)}
        self._answers |= {f"/v1/{name}": (name, partial(self._one, name)) for name in METHODS}
        # All are there from the beginning, so that rates can be taken.
        counts.http_calls.update({f"{name},{outcome}": 0 for name, _ in self._answers.values() for outcome in OUTCOMES})

    @property
    def paths(self) -> tuple[str, ...]:
        """Those that answer is for."""
        return tuple(self._answers)

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI, for one of the paths."""
        if scope["method"] == "POST":
            await self._call(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await tell(send, 204, b"", (*CORS, *PREFLIGHT))
        else:
            message = f"expected one of OPTIONS, POST for {scope['path']}, got {scope['method']}"
            error = LonglinkError(errors.METHOD_UNKNOWN, message)
            await tell(send, error.row.http, error_body(error), (*CORS, ALLOW))

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun_s = time.perf_counter()
        name, answer = self._answers[scope["path"]]
        try:
            said = await self._say(scope, Asked(scope, receive), answer)
        except GoneError:
            return
        if isinstance(said, LonglinkError):
            outcome = "later" if said.retry else "refused"
            close = CLOSE if isinstance(said, StrangerError) else ()
            await tell(send, said.row.http, error_body(said), (*CORS, *error_headers(said), *close))
        else:
            outcome = "done"
            await tell(send, 200, said, CORS)
        self._counts.http_calls[f"{name},{outcome}"] += 1
        self._counts.http_seconds.observe(time.perf_counter() - begun_s)

    async def _say(self, scope: Scope, asked: Asked, answer: Answer) -> Said:
        """Who asks comes first, then how often: nobody else makes the server read and parse a body."""
        try:
            caller = self._identify(scope, asked)
            self._pace(caller)
            body = await asked.body(self._most_bytes)
            if body:
                _check_type(asked.field(b"content-type"))
            return await answer(caller, body)
        except LonglinkError as error:
            self._counts.errors[error.name] += 1
            return error
        except GoneError:
            raise
        except Exception as defect:
            log.error("call_defect", exc_info=defect)
            self._counts.errors[errors.INTERNAL.name] += 1
            return LonglinkError(errors.INTERNAL, "the server's log says why")

    def _identify(self, scope: Scope, asked: Asked) -> Session:
        try:
            asked.check_once(b"authorization", b"longlink-device")
            caller = self._callers.identify(asked.field(b"authorization"), asked.field(b"longlink-device"))
        except LonglinkError:
            self._strangers.check(scope)
            raise
        self._strangers.admit(scope)
        return caller

    def _pace(self, caller: Session) -> None:
        try:
            self._accounts.take(caller.user, work.HTTP_CALL)
        except LonglinkError:
            self._counts.account_refused += 1
            raise

    async def _one(self, name: RequestName, caller: Session, body: bytes) -> Said:
        self._accounts.charge(caller.user, work.read_cost(len(body), text=True))
        frame = decode_body(name, body)
        _check_fields(frame)
        [reply] = await self._handler([Call(caller, frame)])
        answer = decode(reply.payload)
        self._accounts.charge(caller.user, len(reply.payload) // work.WRITTEN_TEXT_BYTES)
        return as_raised(answer) if reply.code else encode_body(answer)

    async def _many(self, caller: Session, body: bytes) -> Said:
        frames = decode_list(body, "frames", FRAMES)
        self._accounts.charge(caller.user, work.read_cost(len(body), text=True) + work.READ_TEXT * len(frames))
        answer = await answer_frames(caller, frames, self._handler, self._counts)
        self._accounts.charge(caller.user, len(answer) // (2 * work.WRITTEN_TEXT_BYTES))
        return answer


def _check_fields(frame: Frame) -> None:
    try:
        limits.check(frame)
    except LonglinkError as error:
        error.message = json_names(error.message)
        raise


def _check_type(kind: str) -> None:
    if kind.partition(";")[0].strip().lower() != "application/json":
        raise LonglinkError(errors.FRAME_MALFORMED, f"expected Content-Type: application/json, got {kind[:60]!r}")
