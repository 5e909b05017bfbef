"""Where messages begin and end in one connection's bytes: WebSocket (RFC 6455) and TCP records (SPEC.md section 2).

Pure: bytes in, pieces out, and the pieces together are the same bytes. What is neither (TLS, plain HTTP) passes as one
stream without messages. Read next: network.py, which loses single pieces.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from longlink.protocol.codec import Encoding

PREFACES: Final = {b"\x00LLP": Encoding.BINARY, b"\x00LLJ": Encoding.TEXT}
PREFACE_BYTES: Final = 4
HEADER_END: Final = b"\r\n\r\n"
HEADER_MOST: Final = 16_384
"""An HTTP header that has not ended after so many bytes is not looked at any longer."""
SUBPROTOCOL: Final = re.compile(rb"\r\nsec-websocket-protocol: *(longlink\.v1(?:\.json)?) *\r\n", re.IGNORECASE)
DATA_OPCODES: Final = (1, 2)


class Piece(NamedTuple):
    """raw: as on the wire. message: its payload when it is a whole message, None when it is anything else."""

    raw: bytes
    message: bytes | None = None


@dataclass
class Shared:
    """What both directions of a connection know: how it is framed, once the client's first bytes have said so."""

    transport: str = ""
    encoding: Encoding = Encoding.BINARY


@dataclass
class Framing:
    """One direction of one connection. up: from client to server."""

    shared: Shared
    up: bool
    _buffer: bytearray = field(default_factory=bytearray)
    _begun: bool = False

    def feed(self, data: bytes) -> list[Piece]:
        """The pieces that have become whole."""
        self._buffer += data
        pieces: list[Piece] = []
        if not self._begun:
            opening = self._opening()
            if opening is None:
                return pieces
            self._begun = True
            if opening:
                pieces.append(self._take(opening))
        if self.shared.transport == "":
            if self._buffer:
                pieces.append(self._take(len(self._buffer)))
            return pieces
        size = self._records if self.shared.transport == "tcp" else self._frames
        while (found := size()) is not None:
            pieces.append(found)
        return pieces

    def rest(self) -> bytes:
        """What was begun and never became whole."""
        rest, self._buffer = bytes(self._buffer), bytearray()
        return rest

    def _opening(self) -> int | None:
        """How many bytes come before the first message; None: that cannot be said yet."""
        if self.up and self._buffer[:1] == b"\x00":
            if len(self._buffer) < PREFACE_BYTES:
                return None
            encoding = PREFACES.get(bytes(self._buffer[:PREFACE_BYTES]))
            if encoding is not None:
                self.shared.transport, self.shared.encoding = "tcp", encoding
            return PREFACE_BYTES
        if (self.up and self._buffer[:1] == b"G") or self.shared.transport == "ws":
            return self._header()
        return 0

    def _header(self) -> int | None:
        end = self._buffer.find(HEADER_END)
        if end < 0:
            return None if len(self._buffer) < HEADER_MOST else 0
        size = end + len(HEADER_END)
        if self.up and b"websocket" in self._buffer[:size].lower():
            self.shared.transport = "ws"
        if found := SUBPROTOCOL.search(self._buffer, 0, size):
            self.shared.encoding = Encoding(found[1].decode())
        return size

    def _records(self) -> Piece | None:
        if len(self._buffer) < 4:
            return None
        size = 4 + int.from_bytes(self._buffer[1:4], "big")
        if len(self._buffer) < size:
            return None
        kind, raw = self._buffer[0], self._take(size).raw
        return Piece(raw, raw[4:] if kind == 0 else None)

    def _frames(self) -> Piece | None:
        if len(self._buffer) < 2:
            return None
        first, second = self._buffer[:2]
        length, begin = second & 0x7F, 2
        if length > 125:
            begin = 4 if length == 126 else 10
            if len(self._buffer) < begin:
                return None
            length = int.from_bytes(self._buffer[2:begin], "big")
        key = begin
        begin += 4 if second & 0x80 else 0
        if len(self._buffer) < begin + length:
            return None
        raw = self._take(begin + length).raw
        whole = first & 0x80 and first & 0x0F in DATA_OPCODES
        return Piece(raw, unmasked(raw[begin:], raw[key:begin]) if whole else None)

    def _take(self, size: int) -> Piece:
        raw = bytes(self._buffer[:size])
        del self._buffer[:size]
        return Piece(raw)


def unmasked(payload: bytes, key: bytes) -> bytes:
    """RFC 6455 section 5.3; key: four bytes, or none when the payload is not masked."""
    if not key:
        return payload
    whole = (key * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(len(payload), "big")
