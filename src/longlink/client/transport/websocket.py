"""WebSocket (RFC 6455) by the `websockets` library: compression off, its own pings off (the heartbeat is ours)."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from longlink import errors
from longlink.client import transport
from longlink.errors import LonglinkError
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Connected

CLOSE_S: Final = 1.0
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


async def open_websocket(url: str, host: str, port: int, encoding: Encoding, tls: ssl.SSLContext | None) -> WebSocket:
    """Raises DISCONNECTED or OSError."""
    parts = urlsplit(url)
    address = parts._replace(netloc=f"{f'[{host}]' if ':' in host else host}:{port}", path=parts.path or "/").geturl()
    try:
        link = await connect(
            address,
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
        shown = bytes(error.response.body or b"")[:SHOWN_BYTES].decode("utf-8", "replace").strip()
        status = error.response.status_code
        raise LonglinkError(errors.DISCONNECTED, f"{url} answered HTTP {status}: {shown or 'no reason'}") from error
    except (InvalidHandshake, EOFError) as error:
        raise LonglinkError(errors.DISCONNECTED, f"{url} did not take the WebSocket handshake: {error}") from error
    return WebSocket(link, encoding)


def _ended(error: ConnectionClosed) -> LonglinkError:
    code, reason = (error.rcvd.code, error.rcvd.reason) if error.rcvd else (ABNORMAL, "")
    if not error.rcvd and error.sent and error.sent.code != ABNORMAL:
        code, reason = error.sent.code, error.sent.reason
    return transport.closed(code, reason)
