"""The operator's endpoints: GET /healthz (alive), /readyz (may get traffic), /metrics (Prometheus text).

Everything else is an error of the table, as JSON: {"error": {"code", "name", "message", "remedy", "retry"}}. Nothing
here shows users or messages, so nothing here asks who is there. Read next: server.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from longlink import errors
from longlink.errors import LonglinkError

READY_S: Final = 5.0
"""How long the readiness check may take; a store that needs longer is not ready."""
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
NO_STORE: Final = {"Cache-Control": "no-store"}


def build_http(*, ready: Callable[[], Awaitable[list[str]]], metrics: Callable[[], Awaitable[bytes]]) -> Starlette:
    """ready: why this server should get no traffic now, empty when it should.

    metrics: Prometheus text; raises the LonglinkError that is to be answered when the numbers cannot be had.
    """

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
            return _error(error)
        return Response(text, media_type=METRICS_TYPE, headers=NO_STORE)

    routes = [
        Route("/healthz", answer_alive),
        Route("/readyz", answer_ready),
        Route("/metrics", answer_metrics),
    ]
    paths = ", ".join(route.path for route in routes)

    async def answer_refused(request: Request, refusal: Exception) -> Response:
        allowed = ", ".join(sorted((getattr(refusal, "headers", None) or {}).get("Allow", "").split(", ")))
        if isinstance(refusal, HTTPException) and refusal.status_code == errors.METHOD_UNKNOWN.http:
            message = f"expected one of {allowed} for {request.url.path}, got {request.method}"
            return _error(LonglinkError(errors.METHOD_UNKNOWN, message), {"Allow": allowed})
        message = f"expected one of {paths}, got {request.url.path[:100]!r}"
        return _error(LonglinkError(errors.PATH_UNKNOWN, message))

    async def answer_defect(_: Request, __: Exception) -> Response:
        return _error(LonglinkError(errors.INTERNAL, "the request met a defect of the server; its log has the details"))

    return Starlette(routes=routes, exception_handlers={HTTPException: answer_refused, Exception: answer_defect})


async def _reasons(ready: Callable[[], Awaitable[list[str]]]) -> list[str]:
    try:
        return await asyncio.wait_for(ready(), READY_S)
    except TimeoutError:
        return [f"the check took longer than {READY_S:g} s"]


def _error(error: LonglinkError, headers: dict[str, str] | None = None) -> Response:
    body = {
        "code": error.code,
        "name": error.name,
        "message": error.message,
        "remedy": error.row.remedy,
        "retry": error.retry,
    }
    return JSONResponse({"error": body}, error.row.http, headers=NO_STORE | (headers or {}))
