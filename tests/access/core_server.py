"""A core on loopback and a client that does exactly what a test says, for the tests of core/BOUNDARY.md."""

import contextlib
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from longlink._core import BINARY, CLOSED, REPLY, Core

DEADLINE = 10.0
KEY = "dGhlIHNhbXBsZSBub25jZQ=="

LIMITS: dict[str, Any] = {
    "threads": 1,
    "max_connections": 1000,
    "max_message_bytes": 1 << 20,
    "hello_bytes": 1 << 20,
    "header_timeout_ms": 5000,
    "hello_timeout_ms": 5000,
    "idle_timeout_ms": 0,
    "stall_timeout_ms": 5000,
    "stream_heartbeat_ms": 60_000,
    "ping_ms": 0,
    "queue_bytes": 256 * 1024,
    "total_queue_bytes": 256 << 20,
    "coalesce_ms": 0,
    "message_rate": 0,
    "message_burst": 100,
    "accept_rate": 0,
    "accept_burst": 100,
    "half_open_per_address": 1000,
    "ring_events": 10_000,
    "ring_bytes": 16 << 20,
    "subprotocols": [("longlink.pb", False), ("longlink.json", True)],
    "trusted_proxies": [],
    "proxy_protocol": False,
}

DROPPED = ("dropped_low", "dropped_transient", "dropped_events")
"""What is dropped for slow readers, in the order in which it must be."""

Event = tuple[int, int, bytes | int]


def handled(counters: dict[str, int]) -> int:
    """Messages that were written, queued or dropped."""
    return counters["messages_out"] + sum(counters[name] for name in DROPPED)


class Server:
    """A core that listens on loopback, and the events it has told so far."""

    def __init__(self, **limits: Any) -> None:
        self.core = Core(**{**LIMITS, **limits})
        self.events: list[Event] = []
        self.port = 0

    def listen(self, **options: Any) -> "Server":
        self.port = self.core.listen("127.0.0.1", 0, **options)
        return self

    def wait(self, enough: Callable[[list[Event]], bool]) -> list[Event]:
        """Poll by the eventfd until enough has come; the events since the last wait."""
        end = time.monotonic() + DEADLINE
        while True:
            while events := self.core.poll():
                self.events += events
            if enough(self.events):
                taken, self.events = self.events, []
                return taken
            left = end - time.monotonic()
            assert left > 0, f"not enough in {DEADLINE} s: {self.events[:20]}"
            select.select([self.core.fileno()], [], [], left)

    def count(self, number: int) -> list[Event]:
        return self.wait(lambda events: len(events) >= number)

    def closed(self, connection: int) -> int:
        """The code with which a connection ended; it is its last event."""
        events = self.wait(lambda events: any(event[:2] == (CLOSED, connection) for event in events))
        kind, _, code = [event for event in events if event[1] == connection][-1]
        assert kind == CLOSED
        assert isinstance(code, int)
        return code

    def until(self, name: str, value: int) -> None:
        self.until_all(**{name: value})

    def until_all(self, **values: int) -> None:
        """Until all these counters have these values at once."""
        self.wait_for(lambda counters: values.items() <= counters.items(), str(values))

    def above(self, name: str, value: int) -> None:
        self.wait_for(lambda counters: counters[name] > value, f"{name} above {value}")

    def until_handled(self, messages: int) -> dict[str, int]:
        """Until so many messages have been written, queued or dropped; the counters then."""
        self.wait_for(lambda counters: handled(counters) == messages, f"{messages} handled")
        return self.core.counters()

    def wait_for(self, enough: Callable[[dict[str, int]], bool], what: str = "enough") -> None:
        """Until the counters are so."""
        end = time.monotonic() + DEADLINE
        while not enough(counters := self.core.counters()):
            assert time.monotonic() < end, f"expected {what}, got {counters}"
            time.sleep(0.005)


class Client:
    """A WebSocket client that does exactly what a test says, and nothing by itself."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self.pending = b""

    @classmethod
    def connect(
        cls,
        server: Server,
        subprotocol: str | None = None,
        tls: ssl.SSLContext | None = None,
        session: ssl.SSLSession | None = None,
    ) -> "Client":
        stream = connect(server)
        if tls:
            # The wrapped socket takes the descriptor over.
            stream = tls.wrap_socket(
                stream, server_hostname="localhost", do_handshake_on_connect=False, session=session
            )
            opened.append(stream)
            stream.do_handshake()
        client = cls(stream)
        offer = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
        client.stream.sendall(
            f"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{offer}\r\n".encode()
        )
        head = client.take_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        return client

    def take_until(self, end: bytes) -> bytes:
        while end not in self.pending:
            self.pending += self.more()
        taken, self.pending = self.pending.split(end, 1)
        return taken

    def more(self) -> bytes:
        piece = self.stream.recv(1 << 16)
        assert piece, "the server ended the connection"
        return piece

    def take(self, size: int) -> bytes:
        while len(self.pending) < size:
            self.pending += self.more()
        taken, self.pending = self.pending[:size], self.pending[size:]
        return taken

    def send(self, payload: bytes, opcode: int = 2) -> None:
        self.stream.sendall(frame(payload, opcode))

    def receive(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame."""
        first, length = self.take(2)
        if length == 126:
            length = int.from_bytes(self.take(2), "big")
        elif length == 127:
            length = int.from_bytes(self.take(8), "big")
        return first & 15, self.take(length)

    def close_code(self) -> int:
        while (got := self.receive())[0] != 8:
            pass
        return int.from_bytes(got[1][:2], "big")

    def ended(self) -> bool:
        """Has the server ended TCP, in time?"""
        with contextlib.suppress(ConnectionError):
            while self.stream.recv(1 << 16):
                pass
        return True


def frame(payload: bytes, opcode: int = 2) -> bytes:
    """A masked frame whose mask is zero, which RFC 6455 allows."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    return bytes([0x80 | opcode]) + length + bytes(4) + payload


def connect(server: Server) -> socket.socket:
    stream = socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE)
    opened.append(stream)
    return stream


opened: list[socket.socket] = []
Start = Callable[..., Server]


@pytest.fixture
def start() -> Iterator[Start]:
    servers: list[Server] = []

    def begin(tls: tuple[str, str] | None = None, shared: bool = False, **limits: Any) -> Server:
        server = Server(**limits)
        servers.append(server)
        return server.listen(tls=tls, shared=shared)

    yield begin
    for stream in opened:
        stream.close()
    opened.clear()
    for server in servers:
        server.core.stop()


def speak(server: Server, client: Client, payload: bytes = b"hello") -> int:
    """Send a message and give the number of the connection."""
    client.send(payload)
    kind, connection, data = server.count(1)[0]
    assert (kind, data) == (BINARY, payload)
    return connection


def admitted(server: Server, client: Client) -> int:
    before = server.core.counters()["admitted"]
    connection = speak(server, client)
    server.core.admit(connection)
    server.core.flush()
    server.until("admitted", before + 1)
    return connection


def deaf(server: Server) -> tuple[Client, int]:
    """An admitted client that has stopped reading and whose socket buffers are full."""
    client = Client.connect(server)
    connection = admitted(server, client)
    before = server.core.counters()["queued_bytes"]
    while server.core.counters()["queued_bytes"] == before:
        server.core.send(connection, bytes(8192), REPLY)
        server.core.flush()
        client.send(b"turn")
        server.count(1)
    return client, connection
