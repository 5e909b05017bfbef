"""One request and its answer, straight on ASGI: a framework between them would cost as much as the call itself.

Bodies are bounded while they come. Every error of the table is an answer in JSON, written as in a frame, with two words
more: {"error": {code, name, message, retryAfterMs, remedy, retry}}. A 401 names the scheme too. Read next: calls.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.types import Receive, Scope, Send

from longlink import errors
from longlink.errors import LonglinkError

JSON: Final = b"application/json"
NO_STORE: Final = (b"cache-control", b"no-store")
CORS: Final = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"Retry-After, WWW-Authenticate, Allow"),
)
"""Nothing here goes by cookies, so a page of another origin can do no more than any program could."""

DESCRIBED: Final = 200
"""Characters of a message in WWW-Authenticate."""
_UNAUTHORIZED: Final = 401
_undescribable: Final = re.compile(r"[^\x20-\x21\x23-\x5B\x5D-\x7E]")
"""Characters that RFC 6750 does not allow there."""

Headers = Sequence[tuple[bytes, bytes]]


class GoneError(Exception):
    """The client has gone before its request was whole; there is nobody to answer."""


class Asked:
    """One request, whose body has not been read."""

    __slots__ = ("_fields", "_headers", "_receive")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._fields: Sequence[tuple[bytes, bytes]] = scope["headers"]
        self._headers: dict[bytes, bytes] = dict(self._fields)
        self._receive = receive

    def check_once(self, *names: bytes) -> None:
        """Of a field that comes twice a proxy may have believed the other one. Raises FIELD_INVALID."""
        for name in names:
            if name in self._headers and sum(field == name for field, _ in self._fields) > 1:
                raise LonglinkError(
                    errors.FIELD_INVALID, f"expected the field {name.decode().title()} once, got it twice"
                )

    def field(self, name: bytes) -> str:
        """A header field, by its name in lower case; empty when it is not there."""
        return self._headers.get(name, b"").decode("latin-1")

    async def body(self, most: int) -> bytes:
        """All of it. Raises FRAME_TOO_LARGE, as soon as it is known, above `most` bytes; GoneError."""
        said = self._headers.get(b"content-length", b"0")
        if not said.isdigit() or len(said) > 18 or int(said) > most:
            raise _too_large(most)
        whole = bytearray()
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                raise GoneError
            whole += message.get("body", b"")
            if len(whole) > most:
                raise _too_large(most)
            if not message.get("more_body", False):
                return bytes(whole)


async def tell(send: Send, status: int, body: bytes, headers: Headers = ()) -> None:
    """The whole answer. body: JSON, or nothing."""
    told = [NO_STORE, *headers]
    if body:
        told += ((b"content-type", JSON), (b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": body})


def error_body(error: LonglinkError) -> bytes:
    """The error as JSON."""
    return msgspec.json.encode({"error": error_fields(error)})


def error_fields(error: LonglinkError) -> dict[str, object]:
    """The fields of an error, by their names in JSON."""
    told: dict[str, object] = {"code": error.code, "name": error.name, "message": error.message}
    if error.retry_after_ms:
        told["retryAfterMs"] = error.retry_after_ms
    return told | {"remedy": error.row.remedy, "retry": error.retry}


def error_headers(error: LonglinkError) -> Headers:
    """What an error says outside its body: when to try again, and for a 401 which proof is expected."""
    return (*retry_after(error), *_challenge(error))


def _challenge(error: LonglinkError) -> Headers:
    """WWW-Authenticate of a 401 (RFC 9110 section 11.6.1), as RFC 6750 section 3 has it for bearer tokens."""
    if error.row.http != _UNAUTHORIZED:
        return ()
    code = "invalid_request" if error.row is errors.TOKEN_MISSING else "invalid_token"
    said = _undescribable.sub("'", error.message[:DESCRIBED])
    value = f'Bearer realm="longlink", error="{code}", error_description="{said}"'
    return ((b"www-authenticate", value.encode("ascii")),)


def retry_after(error: LonglinkError) -> Headers:
    """Retry-After (RFC 9110 section 10.2.3), in whole seconds, where the error names a wait."""
    if not error.retry_after_ms:
        return ()
    return ((b"retry-after", b"%d" % math.ceil(error.retry_after_ms / 1000)),)


def _too_large(most: int) -> LonglinkError:
    message = f"expected a body of at most {most} bytes (connection.max_message_bytes)"
    return LonglinkError(errors.FRAME_TOO_LARGE, message)
