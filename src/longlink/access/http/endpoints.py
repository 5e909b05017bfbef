"""All that HTTP answers: for operators GET /healthz (alive), /readyz (may get traffic), /metrics (Prometheus text);
for clients the short link under /v1, and GET /v1/openapi.json, which describes it.

Everything else is an error of the table (exchange.py). What operators ask shows no users and no messages, so it asks
nobody who he is. Read next: calls.py, server.py.
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
from longlink.access.http.exchange import CORS, error_body
from longlink.errors import LonglinkError

READY_S: Final = 5.0
"""How long the readiness check may take; a store that needs longer is not ready."""
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
NO_STORE: Final = {"Cache-Control": "no-store"}
OPEN: Final = {name.decode(): value.decode() for name, value in CORS}
OPENAPI: Final = Path(__file__).with_name("openapi.json")
"""Made by docs/generate_openapi.py."""


def build_http(
    *, ready: Callable[[], Awaitable[list[str]]], metrics: Callable[[], Awaitable[bytes]], short_link: ShortLink
) -> ASGIApp:
    """ready: why this server should get no traffic now, empty when it should.

    metrics: Prometheus text; raises the LonglinkError that is to be answered when the numbers cannot be had.
    """
    calls = frozenset(short_link.paths)
    others = _others([*_for_operators(ready, metrics), _description()], short_link.paths)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await (short_link.answer if scope["path"] in calls else others)(scope, receive, send)

    return answer


def _others(routes: list[Route], calls: tuple[str, ...]) -> Starlette:
    """All that is no call. calls: paths to name to somebody who is lost."""
    paths = ", ".join((*(route.path for route in routes), *calls))

    async def answer_refused(request: Request, refusal: Exception) -> Response:
        allowed = ", ".join(sorted((getattr(refusal, "headers", None) or {}).get("Allow", "").split(", ")))
        if isinstance(refusal, HTTPException) and refusal.status_code == errors.METHOD_UNKNOWN.http:
            message = f"expected one of {allowed} for {request.url.path}, got {request.method}"
            return _refuse(LonglinkError(errors.METHOD_UNKNOWN, message), {"Allow": allowed})
        message = f"expected one of {paths}, got {request.url.path[:100]!r}"
        return _refuse(LonglinkError(errors.PATH_UNKNOWN, message))

    async def answer_defect(_: Request, __: Exception) -> Response:
        message = "the request met a defect of the server; its log has the details"
        return _refuse(LonglinkError(errors.INTERNAL, message))

    return Starlette(routes=routes, exception_handlers={HTTPException: answer_refused, Exception: answer_defect})


def _refuse(error: LonglinkError, headers: dict[str, str] | None = None) -> Response:
    return Response(error_body(error), error.row.http, NO_STORE | OPEN | (headers or {}), "application/json")


def _for_operators(ready: Callable[[], Awaitable[list[str]]], metrics: Callable[[], Awaitable[bytes]]) -> list[Route]:
    async def answer_alive(_: Request) -> Response:
        return JSONResponse({"status": "ok"}, headers=NO_STORE)

    async def answer_ready(_: Request) -> Response:
        reasons = await _reasons(ready)
        body = {"status": "not ready" if reasons else "ready", "reasons": reasons}
        return JSONResponse(body, 503 if reasons else 200, headers=NO_STORE)

    async def answer_metrics(_: Request) -> Response:
        try:
            text = await metrics()
        except LonglinkError as error:
            return _refuse(error)
        return Response(text, media_type=METRICS_TYPE, headers=NO_STORE)

    return [Route("/healthz", answer_alive), Route("/readyz", answer_ready), Route("/metrics", answer_metrics)]


def _description() -> Route:
    document = OPENAPI.read_bytes()

    async def answer_openapi(_: Request) -> Response:
        return Response(document, media_type="application/json", headers=OPEN)

    return Route("/v1/openapi.json", answer_openapi)


async def _reasons(ready: Callable[[], Awaitable[list[str]]]) -> list[str]:
    try:
        return await asyncio.wait_for(ready(), READY_S)
    except TimeoutError:
        return [f"the check took longer than {READY_S:g} s"]
