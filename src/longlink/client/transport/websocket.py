"""WebSocket (RFC 6455) by the `websockets` library: compression off, its own pings off (the heartbeat is ours)."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from longlink import errors
from longlink.client import transport
from longlink.client.transport.address import Address
from longlink.errors import LonglinkError
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Connected

CLOSE_S: Final = 1.0
NORMAL: Final = 1000
ABNORMAL: Final = 1006
"""No close frame came (RFC 6455 section 7.1.5)."""
SHOWN_BYTES: Final = 120
"""How much of an HTTP refusal an error repeats."""


class WebSocket:
    link = "websocket"
    talks = True
    patient = True

    def __init__(self, link: ClientConnection, encoding: Encoding) -> None:
        self.encoding = encoding
        self._link = link
        self._text = encoding is Encoding.TEXT

    def admitted(self, connected: Connected) -> None:
        """Nothing to remember: what follows comes over the same connection."""

    async def send(self, data: bytes) -> None:
        try:
            await self._link.send(data, text=self._text)
        except ConnectionClosed as error:
            raise _ended(error) from error

    async def receive(self) -> bytes:
        try:
            return bytes(await self._link.recv(decode=False))
        except ConnectionClosed as error:
            raise _ended(error) from error

    async def close(self, code: int) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._link.close(code)
        except TimeoutError:
            self._link.transport.abort()


async def open_websocket(address: Address, encoding: Encoding, tls: ssl.SSLContext | None) -> WebSocket:
    """Raises DISCONNECTED, OSError or ValueError."""
    try:
        link = await connect(
            f"{address.scheme}://{address.origin}{address.path or '/'}",
            subprotocols=[Subprotocol(encoding.subprotocol)],
            ssl=tls,
            # The address is what was asked for: a proxy of the environment would see tokens on ws:// links.
            proxy=None,
            compression=None,
            ping_interval=None,
            open_timeout=None,
            close_timeout=CLOSE_S,
            max_size=transport.MAX_MESSAGE_BYTES,
        )
    except InvalidStatus as error:
        raise LonglinkError(errors.DISCONNECTED, _answered(error, address)) from error
    except (WebSocketException, EOFError) as error:
        hint = "" if tls else "; if this port expects TLS, use wss://"
        said = f"the WebSocket handshake failed: {error or 'the connection was closed'}{hint}"
        raise LonglinkError(errors.DISCONNECTED, said) from error
    if link.subprotocol != encoding.subprotocol:
        await WebSocket(link, encoding).close(NORMAL)
        said = f"the server does not speak {encoding.subprotocol}; it is not Longlink, or a proxy removed the header"
        raise LonglinkError(errors.DISCONNECTED, said)
    return WebSocket(link, encoding)


def _answered(error: InvalidStatus, address: Address) -> str:
    status, body = error.response.status_code, bytes(error.response.body or b"")
    if f'"{errors.PATH_UNKNOWN.name}"'.encode() in body:
        return f"port {address.port} is the server's HTTP port; connections go to another one, 7700 unless configured"
    shown = body[:SHOWN_BYTES].decode("utf-8", "replace").strip()
    return f"the WebSocket handshake was answered with HTTP {status}: {shown or 'no reason given'}"


def _ended(error: ConnectionClosed) -> LonglinkError:
    code, reason = (error.rcvd.code, error.rcvd.reason) if error.rcvd else (ABNORMAL, "")
    if not error.rcvd and error.sent and error.sent.code != ABNORMAL:
        code, reason = error.sent.code, error.sent.reason
    return transport.closed(code, reason)
