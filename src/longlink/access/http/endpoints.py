"""All that HTTP answers, on two ports of its own kinds.

Clients: the calls under /v1, GET /v1/openapi.json, which describes them, and GET /healthz and /readyz in one word each,
for load balancers. Operators (listen.operations): the same two with reasons, and GET /metrics (Prometheus text).
Everything else is an error of the table (exchange.py). What operators get names no user and no message, so nothing asks
for a token there. Read next: calls.py, server.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from longlink import errors
from longlink.access.http.calls import ShortLink
from longlink.access.http.exchange import CORS, error_body, error_headers, tell
from longlink.access.http.strangers import CLOSE, StrangerError, Strangers
from longlink.errors import LonglinkError
from longlink.ops.metrics import Counts

READY_S: Final = 5.0
"""How long the readiness check may take; a store that needs longer is not ready."""
METRICS: Final = "/metrics"
STREAM: Final = "/v1/events"
"""Where streams are on the port of connections."""
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
NO_STORE: Final = {"Cache-Control": "no-store"}
OPEN: Final = {name.decode(): value.decode() for name, value in CORS}
OPENAPI: Final = Path(__file__).with_name("openapi.json")
"""Made by docs/generate_openapi.py."""

Reasons = Callable[[], Awaitable[list[str]]]
"""Why this server should get no traffic now; empty when it should."""


def build_http(
    *, ready: Reasons, short_link: ShortLink, strangers: Strangers, counts: Counts, links_port: int
) -> ASGIApp:
    """What clients may ask for. Of readiness they get the status, without the reasons.

    links_port: where connections are, for a client that looks for them here.
    strangers: for everything that needs no token; calls know by themselves who asks.
    """
    calls = frozenset(short_link.paths)
    others = _pages([_alive(), _ready(ready, reasons=False), _description()], short_link.paths, links_port)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        is_call = scope["path"] in calls
        try:
            if not is_call or scope["method"] != "POST":
                strangers.check(scope)
        except StrangerError as error:
            counts.errors[error.name] += 1
            await tell(send, error.row.http, error_body(error), (*CORS, *error_headers(error), *CLOSE))
        else:
            await (short_link.answer if is_call else others)(scope, receive, send)

    return answer


def build_operations(*, ready: Reasons, metrics: Callable[[], Awaitable[bytes]]) -> ASGIApp:
    """What operators may ask for.

    metrics: Prometheus text; raises the LonglinkError that is to be answered when the numbers cannot be had.
    """
    return _pages([_alive(), _ready(ready, reasons=True), _numbers(metrics)])


def _pages(routes: list[Route], calls: tuple[str, ...] = (), links_port: int = 0) -> Starlette:
    """All that is no call. calls: paths to name to somebody who is lost."""
    paths = ", ".join((*(route.path for route in routes), *calls))

    async def answer_refused(request: Request, refusal: Exception) -> Response:
        allowed = ", ".join(sorted((getattr(refusal, "headers", None) or {}).get("Allow", "").split(", ")))
        if isinstance(refusal, HTTPException) and refusal.status_code == errors.METHOD_UNKNOWN.http:
            message = f"expected one of {allowed} for {request.url.path}, got {request.method}"
            return _refuse(LonglinkError(errors.METHOD_UNKNOWN, message), {"Allow": allowed})
        if links_port and (request.url.path == STREAM or request.headers.get("upgrade", "").lower() == "websocket"):
            message = (
                f"this is the port of the HTTP API; connections (WebSocket, TCP, streams) are on port {links_port}"
            )
            return _refuse(LonglinkError(errors.PATH_UNKNOWN, message))
        message = f"expected one of {paths}, got {request.url.path[:100]!r}"
        if request.url.path == METRICS:
            message += "; metrics are on the address of the setting listen.operations"
        return _refuse(LonglinkError(errors.PATH_UNKNOWN, message))

    async def answer_defect(_: Request, __: Exception) -> Response:
        message = "the request met a defect of the server; its log has the details"
        return _refuse(LonglinkError(errors.INTERNAL, message))

    return Starlette(routes=routes, exception_handlers={HTTPException: answer_refused, Exception: answer_defect})


def _refuse(error: LonglinkError, headers: dict[str, str] | None = None) -> Response:
    return Response(error_body(error), error.row.http, NO_STORE | OPEN | (headers or {}), "application/json")


def _alive() -> Route:
    async def answer_alive(_: Request) -> Response:
        return JSONResponse({"status": "ok"}, headers=NO_STORE)

    return Route("/healthz", answer_alive)


def _ready(ready: Reasons, *, reasons: bool) -> Route:
    """reasons: whether to say why not."""

    async def answer_ready(_: Request) -> Response:
        found = await _reasons(ready)
        body: dict[str, object] = {"status": "not ready" if found else "ready"}
        return JSONResponse(body | ({"reasons": found} if reasons else {}), 503 if found else 200, headers=NO_STORE)

    return Route("/readyz", answer_ready)


def _numbers(metrics: Callable[[], Awaitable[bytes]]) -> Route:
    async def answer_metrics(_: Request) -> Response:
        try:
            text = await metrics()
        except LonglinkError as error:
            return _refuse(error)
        return Response(text, media_type=METRICS_TYPE, headers=NO_STORE)

    return Route(METRICS, answer_metrics)


def _description() -> Route:
    document = OPENAPI.read_bytes()

    async def answer_openapi(_: Request) -> Response:
        return Response(document, media_type="application/json", headers=OPEN)

    return Route("/v1/openapi.json", answer_openapi)


async def _reasons(ready: Reasons) -> list[str]:
    try:
        return await asyncio.wait_for(ready(), READY_S)
    except TimeoutError:
        return [f"the check took longer than {READY_S:g} s"]
