"""How messages travel, behind one small protocol: WebSocket (ws://, wss://), TCP records (tcp://, tcps://), or a stream
down and POST up where a proxy lets neither pass.

A transport moves whole messages of bytes, never looks into them, and never reconnects. Read next: websocket.py, tcp.py,
stream.py.
"""

from __future__ import annotations

import ssl
from typing import Final, Protocol

from longlink import errors
from longlink.client.transport.address import Address, http_beside, parse_http, parse_url
from longlink.client.transport.reasons import down
from longlink.errors import TABLE, LonglinkError
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Connected

MAX_MESSAGE_BYTES: Final = 2**24 - 1
"""Largest message taken from a server: what the length of a TCP record can say."""
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
    """Raises CONFIG_INVALID (address) or DISCONNECTED (the message says why there is no connection)."""
    address = parse_url(url)
    try:
        if address.scheme in ("ws", "wss"):
            from longlink.client.transport import websocket

            return await websocket.open_websocket(address, encoding, _context(address, tls))
        from longlink.client.transport import tcp

        return await tcp.open_tcp(address, encoding, _context(address, tls))
    # ValueError: host names that cannot be encoded, TLS contexts that cannot be used for this host.
    except (OSError, ValueError) as error:
        raise down(error, address.host) from error


async def open_fallback(url: str, http: str, tls: ssl.SSLContext | None) -> Transport:
    """The stream to the same server. http: address of its HTTP API, empty for the usual one. Raises DISCONNECTED."""
    address = parse_url(url)
    up = parse_http(http) if http else http_beside(address)
    from longlink.client.transport import stream
    from longlink.client.transport.posts import Origin

    try:
        there = Origin(address.host, address.port, _context(address, tls))
        return await stream.open_stream(there, Origin(up.host, up.port, _context(up, tls), up.path.rstrip("/")))
    except (OSError, ValueError) as error:
        raise down(error, address.host) from error


def _context(address: Address, tls: ssl.SSLContext | None) -> ssl.SSLContext | None:
    return (tls or ssl.create_default_context()) if address.secure else None


def closed(code: int, reason: str) -> LonglinkError:
    """The error that a close code stands for; codes that are not of the table are DISCONNECTED."""
    if code in TABLE:
        return LonglinkError(
            TABLE[code], reason.removeprefix(f"{TABLE[code].name}: ") or "the server closed the connection"
        )
    if code == TOO_LARGE:
        return LonglinkError(errors.FRAME_TOO_LARGE, reason or "a message was larger than the other side takes")
    return LonglinkError(errors.DISCONNECTED, f"the connection was closed with {code}{' ' + reason if reason else ''}")
