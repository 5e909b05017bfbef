"""How messages travel: WebSocket (ws://, wss://) or TCP records (tcp://, tcps://), behind one small protocol.

A transport moves whole messages of bytes, never looks into them, and never reconnects. The address says which one.
Read next: websocket.py, tcp.py.
"""

from __future__ import annotations

import ssl
from typing import Final, Protocol
from urllib.parse import SplitResult, urlsplit

from longlink import errors
from longlink.errors import TABLE, LonglinkError
from longlink.protocol.codec import Encoding

DEFAULT_PORT: Final = 7700
MAX_MESSAGE_BYTES: Final = 2**24 - 1
"""Largest message taken from a server: what the length of a TCP record can say."""
SECURE: Final = {"ws": False, "wss": True, "tcp": False, "tcps": True}
TOO_LARGE: Final = 1009
"""Close code "message too big" (RFC 6455 section 7.4.1)."""


class Transport(Protocol):
    """One open link. After any of its methods has raised, only close is of use."""

    async def send(self, data: bytes) -> None:
        """One message; empty is a heartbeat. Waits while the link is busy. Raises the error that ended the link."""

    async def receive(self) -> bytes:
        """The next message; empty is a heartbeat. Raises the error that ended the link."""

    async def close(self, code: int) -> None:
        """Say goodbye and free the socket. Idempotent, never raises, takes a second at most."""


async def open_transport(url: str, encoding: Encoding, tls: ssl.SSLContext | None) -> Transport:
    """Raises CONFIG_INVALID (address) or DISCONNECTED (no link; the message says why)."""
    parts = check_url(url)
    context = (tls or ssl.create_default_context()) if SECURE[parts.scheme] else None
    host, port = parts.hostname or "", parts.port or DEFAULT_PORT
    try:
        if parts.scheme in ("ws", "wss"):
            from longlink.client.transport import websocket

            return await websocket.open_websocket(url, host, port, encoding, context)
        from longlink.client.transport import tcp

        return await tcp.open_tcp(host, port, encoding, context)
    except OSError as error:
        raise LonglinkError(errors.DISCONNECTED, f"no link to {url}: {error}") from error


def check_url(url: str) -> SplitResult:
    """The parts of an address. Raises CONFIG_INVALID."""
    parts = urlsplit(url)
    try:
        good = parts.scheme in SECURE and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good:
        raise LonglinkError(errors.CONFIG_INVALID, f"address: expected {'|'.join(SECURE)}://HOST[:PORT], got {url!r}")
    return parts


def closed(code: int, reason: str) -> LonglinkError:
    """The error that a close code stands for; codes that are not of the table are DISCONNECTED."""
    if code in TABLE:
        return LonglinkError(TABLE[code], reason.removeprefix(f"{TABLE[code].name}: ") or "the server closed the link")
    if code == TOO_LARGE:
        return LonglinkError(errors.FRAME_TOO_LARGE, reason or "a message was larger than the other side takes")
    return LonglinkError(errors.DISCONNECTED, f"the link was closed with {code}{' ' + reason if reason else ''}")
