"""An error of the table as an HTTP answer, in JSON: {"error": {code, name, message, remedy, retry, retry_after_ms}}."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.responses import JSONResponse, Response

from longlink.errors import LonglinkError

NO_STORE: Final = {"Cache-Control": "no-store"}


def answer_error(error: LonglinkError, headers: Mapping[str, str] | None = None) -> Response:
    """headers: beside Cache-Control."""
    body: dict[str, object] = {
        "code": error.code,
        "name": error.name,
        "message": error.message,
        "remedy": error.row.remedy,
        "retry": error.retry,
    }
    if error.retry_after_ms:
        body["retry_after_ms"] = error.retry_after_ms
    return JSONResponse({"error": body}, error.row.http, headers={**NO_STORE, **(headers or {})})
