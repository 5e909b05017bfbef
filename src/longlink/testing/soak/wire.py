"""A cheap long link: TCP records or WebSocket, as few turns of the loop as possible, no library and no policy.

Frames in, frames out; what they mean is peer.py's business. Read next: ../framing.py, which tells messages apart.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import struct
from collections.abc import Callable
from typing import Final, cast

from longlink.errors import LonglinkError
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Frame
from longlink.testing.framing import PREFACES, Framing, Piece, Shared, unmasked

CONNECT_S: Final = 10.0


class Wire(asyncio.Protocol):
    """take: called with each frame, None for a heartbeat. ended: called once when the link is over."""

    def __init__(
        self, transport: str, encoding: Encoding, take: Callable[[Frame | None], None], ended: Callable[[], None]
    ) -> None:
        self._shared = Shared(transport, encoding)
        self._framing = Framing(self._shared, up=False)
        self._encoding = encoding
        self._take = take
        self._ended = ended
        self._socket: asyncio.Transport | None = None
        self._written: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast(asyncio.Transport, transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.write(_opening(self._shared))

    def data_received(self, data: bytes) -> None:
        for piece in self._framing.feed(data):
            if piece.message is None:
                if _is_close(piece, self._shared.transport):
                    self.abort()
                continue
            try:
                frame = self._encoding.decode(piece.message, strict=False) if piece.message else None
            except LonglinkError as error:
                raise AssertionError(f"the server sent what is no frame: {error.message}") from error
            self._take(frame)
        self.flush()

    def connection_lost(self, error: Exception | None) -> None:
        self._socket = None
        self._ended()

    def write(self, frame: Frame | None) -> None:
        """A frame, or a heartbeat; leaves with `flush`."""
        data = self._encoding.encode(frame) if frame is not None else b""
        self._written.append(_record(data) if self._shared.transport == "tcp" else _masked(data, self._encoding))

    def flush(self) -> None:
        """Everything that was written, in one go."""
        if self._written and self._socket is not None:
            self._socket.write(b"".join(self._written))
        self._written.clear()

    def abort(self) -> None:
        """Without a word, as a phone that loses its network."""
        if self._socket is not None:
            self._socket.abort()


async def open_wire(
    port: int, transport: str, encoding: Encoding, take: Callable[[Frame | None], None], ended: Callable[[], None]
) -> Wire:
    """To this machine; transport: "tcp" or "ws". Raises OSError, TimeoutError."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(CONNECT_S):
        _, wire = await loop.create_connection(lambda: Wire(transport, encoding, take, ended), "127.0.0.1", port)
    return wire


def _opening(shared: Shared) -> bytes:
    if shared.transport == "tcp":
        return next(preface for preface, encoding in PREFACES.items() if encoding is shared.encoding)
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
        f"Sec-WebSocket-Protocol: {shared.encoding.subprotocol}\r\n\r\n"
    ).encode()


def _record(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _masked(data: bytes, encoding: Encoding) -> bytes:
    first = 0x81 if encoding is Encoding.TEXT else 0x82
    head = (
        struct.pack("!BB", first, 0x80 | len(data)) if len(data) < 126 else struct.pack("!BBH", first, 0xFE, len(data))
    )
    key = os.urandom(4)
    return head + key + unmasked(data, key)


def _is_close(piece: Piece, transport: str) -> bool:
    return piece.raw[0] == 1 if transport == "tcp" else piece.raw[0] == 0x88
