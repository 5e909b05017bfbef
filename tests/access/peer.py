"""A WebSocket peer made of a plain socket: writes any bytes, also wrong ones, and reads strictly.

Read next: test_rfc6455.py.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import Final, NamedTuple, Self

import pytest

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

FIN: Final = 0x80
MASK: Final = b"\x37\xfa\x21\x3d"
DEADLINE_S: Final = 20.0

LIMIT: Final = 1 << 20
"""Longest message that the server of the tests takes, in bytes."""
IDLE_MS: Final = 400
HEADER_MS: Final = 300
"""The timeouts of its impatient twin."""

KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT: Final = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
FIELDS: Final[tuple[tuple[str, str], ...]] = (
    ("Host", "localhost"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", KEY),
    ("Sec-WebSocket-Version", "13"),
)


class Heard(NamedTuple):
    """One frame of the server."""

    opcode: int
    payload: bytes


def request(line: str = "GET / HTTP/1.1", fields: tuple[tuple[str, str], ...] = FIELDS) -> bytes:
    return "\r\n".join([line, *(f"{name}: {value}" for name, value in fields), "", ""]).encode()


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, length: int | None = None) -> bytes:
    """A masked frame; length: announce so many bytes instead."""
    size = len(payload) if length is None else length
    first = (FIN if fin else 0) | rsv << 4 | opcode
    return bytes([first]) + size_field(size) + MASK + masked(payload)


def size_field(size: int) -> bytes:
    """The second byte of a client's frame and the length behind it, in its shortest form."""
    if size < 126:
        return bytes([0x80 | size])
    return struct.pack("!BH", 0xFE, size) if size < 1 << 16 else struct.pack("!BQ", 0xFF, size)


def masked(payload: bytes) -> bytes:
    key = int.from_bytes(MASK * (len(payload) // 4 + 1), "big")
    padded = payload.ljust(4 * (len(payload) // 4 + 1), b"\0")
    return (int.from_bytes(padded, "big") ^ key).to_bytes(len(padded), "big")[: len(payload)]


def fragments(opcode: int, payloads: list[bytes]) -> bytes:
    """One message in as many frames."""
    last = len(payloads) - 1
    return b"".join(
        frame(opcode if index == 0 else CONTINUATION, payload, fin=index == last)
        for index, payload in enumerate(payloads)
    )


class Peer:
    """One connection. Every wait ends after DEADLINE_S with TimeoutError."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    @classmethod
    def upgraded(cls, port: int, subprotocol: str | None = None) -> Self:
        """A connection that has passed the handshake."""
        peer = cls(port)
        offer = (("Sec-WebSocket-Protocol", subprotocol),) if subprotocol else ()
        peer.send(request(fields=FIELDS + offer))
        head = peer.head()
        assert head.startswith("HTTP/1.1 101 "), head
        assert f"Sec-WebSocket-Accept: {ACCEPT}" in head.split("\r\n"), head
        return peer

    def send(self, data: bytes, chop: int | None = None) -> None:
        """chop: in writes of so many bytes. A connection that the server has closed swallows the rest."""
        step = chop or len(data) or 1
        try:
            for start in range(0, len(data), step):
                self.socket.sendall(data[start : start + step])
        except (BrokenPipeError, ConnectionResetError):
            return

    def head(self) -> str:
        """An HTTP header, without its empty line."""
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self._receive()
        head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        return head.decode()

    def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        try:
            while True:
                self._buffer += self._receive()
        except EOFError:
            rest, self._buffer = self._buffer, b""
            return rest

    def hear(self) -> Heard:
        """The next frame, which must be as a server may write it. Raises EOFError when the connection has ended."""
        first, second = self.take(2)
        assert first & 0x70 == 0, "the server sets no reserved bit"
        assert first & FIN, "the server does not fragment"
        assert second < 0x80, "the server does not mask"
        size = second
        if second == 126:
            size = int.from_bytes(self.take(2), "big")
            assert size >= 126, "the shortest form of a length"
        elif second == 127:
            size = int.from_bytes(self.take(8), "big")
            assert size >= 1 << 16, "the shortest form of a length"
        opcode = first & 0x0F
        assert opcode in (TEXT, BINARY) or (opcode in (CLOSE, PING, PONG) and size <= 125)
        return Heard(opcode, self.take(size))

    def hear_all(self) -> list[Heard]:
        """Every frame up to the end of the connection. Answers a close as a client must; nothing may follow it."""
        heard: list[Heard] = []
        try:
            while True:
                heard.append(self.hear())
                if heard[-1].opcode == CLOSE:
                    self.send(frame(CLOSE, heard[-1].payload[:2]))
                    with contextlib.suppress(OSError):
                        self.socket.shutdown(socket.SHUT_WR)
                    assert self.rest() == b"", "nothing follows a close"
        except EOFError:
            return heard

    def take(self, size: int) -> bytes:
        """So many bytes. Raises EOFError when the connection ends before."""
        chunks, have = [self._buffer], len(self._buffer)
        while have < size:
            chunks.append(self._receive())
            have += len(chunks[-1])
        data = b"".join(chunks)
        self._buffer = data[size:]
        return data[:size]

    def _receive(self) -> bytes:
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        if not data:
            raise EOFError
        return data


def ended_with(heard: list[Heard]) -> int | None:
    """The code of the close frame at the end; 1005 if it has none, None if there is no close frame."""
    if not heard or heard[-1].opcode != CLOSE:
        return None
    payload = heard[-1].payload
    return int.from_bytes(payload[:2], "big") if payload else 1005


def fails(port: int, data: bytes, code: int, chop: int | None = None) -> list[Heard]:
    """The server must close with this code; gives what it said before."""
    with Peer.upgraded(port) as peer:
        peer.send(data, chop)
        heard = peer.hear_all()
    assert ended_with(heard) == code, heard[-1:]
    return heard[:-1]


def answers(port: int, data: bytes, expected: list[Heard], chop: int | None = None) -> None:
    """The server must say this, and then answer a ping and a close: the connection is sound."""
    with Peer.upgraded(port) as peer:
        peer.send(data, chop)
        assert [peer.hear() for _ in expected] == expected
        peer.send(frame(PING, b"still there?") + frame(CLOSE, b"\x03\xe8"))
        assert peer.hear_all() == [Heard(PONG, b"still there?"), Heard(CLOSE, b"\x03\xe8")]


CHOPS: Final = [pytest.param(None, id="whole"), pytest.param(1, id="octets"), pytest.param(997, id="chopped")]
