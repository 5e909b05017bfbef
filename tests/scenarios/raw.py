"""A client made of plain blocking sockets, for tests that must see, and be able to send, any byte.

Knows the frames of WebSocket (RFC 6455) and of TCP records (core/BOUNDARY.md) and nothing of the SDK. Never retries and
never hides anything: an answer that does not come is a TimeoutError, the end of the link is ClosedError with its code.
Read next: people.py.
"""

from __future__ import annotations

import base64
import os
import socket
import ssl
import struct
from collections import deque
from enum import Enum
from typing import Final, Protocol

from longlink.protocol.codec import Encoding, decode, decode_text
from longlink.protocol.frames import Frame

ANSWER_S: Final = 10.0
"""How long any one read may take before the test fails."""
NO_CODE: Final = 1006
"""The link ended without a close frame (RFC 6455 section 7.1.5)."""

TEXT_OPCODE: Final = 1
BINARY_OPCODE: Final = 2
CLOSE_OPCODE: Final = 8
PING_OPCODE: Final = 9
PONG_OPCODE: Final = 10

MESSAGE_RECORD: Final = 0
CLOSE_RECORD: Final = 1
PREFACES: Final = {Encoding.BINARY: b"\x00LLP", Encoding.TEXT: b"\x00LLJ"}


class ClosedError(Exception):
    """The link has ended. code: of the close frame, NO_CODE when there was none."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"closed with {code} {reason!r}")
        self.code = code
        self.reason = reason


class RefusedError(Exception):
    """The upgrade was answered with something else than 101."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text


class Kind(Enum):
    """The four ways in: transport and encoding."""

    WS_BINARY = ("ws", Encoding.BINARY)
    WS_JSON = ("ws", Encoding.TEXT)
    TCP_BINARY = ("tcp", Encoding.BINARY)
    TCP_JSON = ("tcp", Encoding.TEXT)

    @property
    def encoding(self) -> Encoding:
        return self.value[1]

    def __str__(self) -> str:
        return self.name.lower()


class Pipe:
    """A socket with what was read from it and not yet used."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = b""

    def take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._read()
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def take_until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._read()
        taken, _, self._buffer = self._buffer.partition(mark)
        return taken

    def take_rest(self) -> bytes:
        """Everything until the other end closes."""
        try:
            while True:
                self._read()
        except ClosedError:
            return self._buffer

    def _read(self) -> None:
        try:
            data = self.sock.recv(65_536)
        except (ConnectionError, ssl.SSLError) as error:
            raise ClosedError(NO_CODE, repr(error)) from None
        if not data:
            raise ClosedError(NO_CODE, "end of stream")
        self._buffer += data

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except (ConnectionError, ssl.SSLError) as error:
            raise ClosedError(NO_CODE, repr(error)) from None


class Wire(Protocol):
    """Messages over a pipe."""

    def send(self, payload: bytes) -> None: ...
    def receive(self) -> bytes: ...
    def send_close(self, code: int) -> None: ...


def websocket_frame(
    payload: bytes, opcode: int, *, final: bool = True, mask: bool = True, reserved: int = 0, length: int | None = None
) -> bytes:
    """One client frame (RFC 6455 section 5.2), wrong on request. length: what the header says, when it is to lie."""
    size = len(payload) if length is None else length
    first = final << 7 | reserved << 4 | opcode
    flag = mask << 7
    if size < 126:
        head = struct.pack("!BB", first, flag | size)
    elif size < 65_536:
        head = struct.pack("!BBH", first, flag | 126, size)
    else:
        head = struct.pack("!BBQ", first, flag | 127, size)
    if not mask:
        return head + payload
    key = os.urandom(4)
    return head + key + _masked(payload, key)


def _masked(payload: bytes, key: bytes) -> bytes:
    whole = (key * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(len(payload), "big")


def record(payload: bytes, type_: int = MESSAGE_RECORD, *, length: int | None = None) -> bytes:
    """One TCP record. length: what the header says, when it is to lie."""
    size = len(payload) if length is None else length
    return bytes([type_]) + size.to_bytes(3, "big") + payload


def upgrade_request(host: str, subprotocol: str, *, key: str | None = None) -> bytes:
    """The upgrade of a correct client."""
    key = key or base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
    ).encode()


class WebSocketWire:
    def __init__(self, pipe: Pipe, encoding: Encoding) -> None:
        self._pipe = pipe
        self._opcode = TEXT_OPCODE if encoding is Encoding.TEXT else BINARY_OPCODE
        pipe.send(upgrade_request("127.0.0.1", encoding.subprotocol))
        status, _, headers = pipe.take_until(b"\r\n\r\n").decode().partition("\r\n")
        if not status.startswith("HTTP/1.1 101 "):
            raise RefusedError(int(status.split()[1]), pipe.take_rest().decode())
        assert f"sec-websocket-protocol: {encoding.subprotocol}" in headers.lower().split("\r\n")

    def send(self, payload: bytes) -> None:
        self._pipe.send(websocket_frame(payload, self._opcode))

    def send_close(self, code: int) -> None:
        self._pipe.send(websocket_frame(struct.pack("!H", code), CLOSE_OPCODE))

    def receive(self) -> bytes:
        while True:
            first, second = self._pipe.take(2)
            assert not second & 0x80, "a server never masks (RFC 6455 section 5.1)"
            assert first & 0xF0 == 0x80, "the server sends whole frames without extensions"
            size = second
            if size == 126:
                size = int.from_bytes(self._pipe.take(2), "big")
            elif size == 127:
                size = int.from_bytes(self._pipe.take(8), "big")
            payload = self._pipe.take(size)
            if first & 0x0F == CLOSE_OPCODE:
                raise _closed(payload)
            if first & 0x0F == PING_OPCODE:
                self._pipe.send(websocket_frame(payload, PONG_OPCODE))
            elif first & 0x0F != PONG_OPCODE:
                assert first & 0x0F == self._opcode, "the subprotocol fixes the kind of message"
                return payload


class RecordWire:
    def __init__(self, pipe: Pipe, encoding: Encoding) -> None:
        self._pipe = pipe
        pipe.send(PREFACES[encoding])

    def send(self, payload: bytes) -> None:
        self._pipe.send(record(payload))

    def send_close(self, code: int) -> None:
        self._pipe.send(record(struct.pack("!H", code), CLOSE_RECORD))

    def receive(self) -> bytes:
        head = self._pipe.take(4)
        payload = self._pipe.take(int.from_bytes(head[1:], "big"))
        if head[0] == CLOSE_RECORD:
            raise _closed(payload)
        assert head[0] == MESSAGE_RECORD
        return payload


def _closed(payload: bytes) -> ClosedError:
    code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
    return ClosedError(code, payload[2:].decode())


def dial(
    port: int,
    *,
    receive_buffer: int = 0,
    tls: ssl.SSLContext | None = None,
    session: ssl.SSLSession | None = None,
) -> socket.socket:
    """A connected socket, with deadlines. receive_buffer: bytes that the kernel keeps for the reader.

    session: of an earlier TLS connection, to be resumed.
    """
    sock = socket.socket()
    try:
        sock.settimeout(ANSWER_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.connect(("127.0.0.1", port))
        return tls.wrap_socket(sock, server_hostname="localhost", session=session) if tls else sock
    except BaseException:
        sock.close()
        raise


class Link:
    """One connection that speaks frames. Events wait in `events` while answers are read, in the order of arrival."""

    def __init__(
        self,
        port: int,
        kind: Kind = Kind.WS_BINARY,
        *,
        receive_buffer: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.kind = kind
        self.events: deque[Frame] = deque()
        self._replies: dict[int, Frame] = {}
        self._requests = 0
        self.sock = dial(port, receive_buffer=receive_buffer, tls=tls)
        self.pipe = Pipe(self.sock)
        try:
            self.wire: Wire = (WebSocketWire if kind.value[0] == "ws" else RecordWire)(self.pipe, kind.encoding)
        except BaseException:
            self.sock.close()
            raise

    def post(self, frame: Frame) -> int:
        """Send a request under a new id; returns the id, for reply()."""
        self._requests += 1
        frame.id = self._requests
        self.wire.send(self.kind.encoding.encode(frame))
        return self._requests

    def ask(self, frame: Frame) -> Frame:
        """Send a request and return its answer, which may be an error."""
        return self.reply(self.post(frame))

    def reply(self, request: int) -> Frame:
        """The answer to the request with this id."""
        while request not in self._replies:
            self._take()
        return self._replies.pop(request)

    def event(self) -> Frame:
        """The next event."""
        while not self.events:
            self._take()
        return self.events.popleft()

    def read(self) -> Frame:
        """The next frame, whatever it is."""
        message = self.wire.receive()
        # Strict, so that a field which the schema does not have fails the test; but pages are longer than requests.
        return decode_text(message, most=None) if self.kind.encoding is Encoding.TEXT else decode(message)

    def end(self) -> ClosedError:
        """Read until the link ends. Events and answers on the way are kept."""
        while True:
            try:
                self._take()
            except ClosedError as closed:
                return closed

    def answered(self, request: int) -> Frame | None:
        """The answer to this request, if it has been read already."""
        return self._replies.get(request)

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self) -> None:
        frame = self.read()
        if frame.id:
            assert frame.id not in self._replies, f"request {frame.id} was answered twice"
            self._replies[frame.id] = frame
        else:
            self.events.append(frame)
