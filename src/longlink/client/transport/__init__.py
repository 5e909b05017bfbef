"""How messages travel, behind one small protocol: WebSocket (ws://, wss://), TCP records (tcp://, tcps://), or a stream
down and POST up where a proxy lets neither pass.

A transport moves whole messages of bytes, never looks into them, and never reconnects. Read next: websocket.py, tcp.py,
stream.py.
"""

from __future__ import annotations

import ssl
from typing import Final, Protocol
from urllib.parse import SplitResult, urlsplit

from longlink import errors
from longlink.errors import TABLE, LonglinkError
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Connected

DEFAULT_PORT: Final = 7700
SHORT_PORT: Final = 7701
MAX_MESSAGE_BYTES: Final = 2**24 - 1
"""Largest message taken from a server: what the length of a TCP record can say."""
SECURE: Final = {"ws": False, "wss": True, "tcp": False, "tcps": True}
ABNORMAL: Final = 1006
"""No close came (RFC 6455 section 7.1.5)."""
TOO_LARGE: Final = 1009
"""Close code "message too big" (RFC 6455 section 7.4.1)."""


class Transport(Protocol):
    """One open link. After any of its methods has raised, only close is of use.

    link: "websocket", "tcp" or "stream". talks: whether the client may write heartbeats; on a stream only the server
    does. patient: whether it lives on after a refusal of Connect.key.
    """

    link: str
    encoding: Encoding
    talks: bool
    patient: bool

    def admitted(self, connected: Connected) -> None:
        """The session has begun: its key and its limits."""

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


async def open_fallback(url: str, http: str, tls: ssl.SSLContext | None) -> Transport:
    """The stream to the same server. http: address of its short link, see `short_link`. Raises DISCONNECTED."""
    parts = check_url(url)
    context = (tls or ssl.create_default_context()) if SECURE[parts.scheme] else None
    from longlink.client.transport import stream
    from longlink.client.transport.posts import Origin

    try:
        down = Origin(parts.hostname or "", parts.port or DEFAULT_PORT, context)
        up = urlsplit(http or short_link(url))
        port = up.port or (443 if up.scheme == "https" else 80)
        secure = (tls or ssl.create_default_context()) if up.scheme == "https" else None
        return await stream.open_stream(down, Origin(up.hostname or "", port, secure, up.path.rstrip("/")))
    except OSError as error:
        raise LonglinkError(errors.DISCONNECTED, f"no stream from {url}: {error}") from error


def short_link(url: str) -> str:
    """Where the short link is unless the application says: port 7701 beside 7700, otherwise the same origin, for a
    proxy that stands on another port serves both."""
    parts = check_url(url)
    port = parts.port or DEFAULT_PORT
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"http{'s' if SECURE[parts.scheme] else ''}://{host}:{SHORT_PORT if port == DEFAULT_PORT else port}"


def check_http(url: str) -> str:
    """Raises CONFIG_INVALID unless it is empty or an http address."""
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise LonglinkError(errors.CONFIG_INVALID, f"http: expected http|https://HOST[:PORT], got {url!r}")
    return url


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
