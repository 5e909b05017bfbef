"""The connection core through its real sockets, by the rules of core/BOUNDARY.md."""

import contextlib
import errno
import os
import random
import select
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from longlink import _core as core_module
from longlink._core import BINARY, CLOSED, EVENT, MISSED, REPLY, TEXT, TRANSIENT, Core

DEADLINE = 10.0
KEY = "dGhlIHNhbXBsZSBub25jZQ=="

LIMITS: dict[str, Any] = {
    "threads": 1,
    "max_connections": 1000,
    "max_message_bytes": 1 << 20,
    "header_timeout_ms": 5000,
    "hello_timeout_ms": 5000,
    "idle_timeout_ms": 0,
    "stall_timeout_ms": 5000,
    "queue_bytes": 256 * 1024,
    "message_rate": 0,
    "message_burst": 100,
    "accept_rate": 0,
    "accept_burst": 100,
    "half_open_per_address": 1000,
    "ring_events": 10_000,
    "ring_bytes": 16 << 20,
    "subprotocols": [("longlink.pb", False), ("longlink.json", True)],
}

Event = tuple[int, int, bytes | int]


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
        end = time.monotonic() + DEADLINE
        while self.core.counters()[name] != value:
            assert time.monotonic() < end, f"{name} is {self.core.counters()[name]}, expected {value}"
            time.sleep(0.005)


class Client:
    """A WebSocket client that does exactly what a test says, and nothing by itself."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self.pending = b""

    @classmethod
    def connect(cls, server: Server, subprotocol: str | None = None, tls: ssl.SSLContext | None = None) -> "Client":
        stream = connect(server)
        if tls:
            # The wrapped socket takes the descriptor over.
            stream = tls.wrap_socket(stream, server_hostname="localhost", do_handshake_on_connect=False)
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


# Messages


def test_messages_come_in_order_and_replies_go_back_in_order(start: Start) -> None:
    server = start()
    client = Client.connect(server)
    for number in range(500):
        client.send(b"%d" % number)
    events = server.count(500)
    connection = events[0][1]
    assert events == [(BINARY, connection, b"%d" % number) for number in range(500)]
    for _, _, data in events:
        assert isinstance(data, bytes)
        server.core.send(connection, data, REPLY)
    server.core.flush()
    assert [client.receive() for _ in range(500)] == [(2, b"%d" % number) for number in range(500)]
    counters = server.core.counters()
    assert (counters["messages_in"], counters["messages_out"]) == (500, 500)
    assert counters["writes"] < 20, "frames of one flush should share a write"


@pytest.mark.parametrize("size", [1, 125, 126, 65_535, 65_536, 1 << 20])
def test_a_message_of_any_size_comes_back_whole(start: Start, size: int) -> None:
    server = start(queue_bytes=4 << 20)
    client = Client.connect(server)
    payload = os.urandom(size)
    connection = speak(server, client, payload)
    server.core.send(connection, payload, REPLY)
    server.core.flush()
    assert client.receive() == (2, payload)


def test_nothing_happens_before_a_flush(start: Start) -> None:
    server = start()
    client = Client.connect(server)
    connection = speak(server, client)
    server.core.send(connection, b"reply", REPLY)
    client.send(b"again")
    server.count(1)
    assert server.core.counters()["messages_out"] == 0
    server.core.flush()
    assert client.receive() == (2, b"reply")


def test_one_payload_goes_to_many_in_every_framing(start: Start) -> None:
    server = start(threads=2)
    clients = [Client.connect(server) for _ in range(20)]
    connections = [speak(server, client) for client in clients]
    record = connect(server)
    record.sendall(b"\0LLP" + b"\0\0\0\x02hi")
    _, other, data = server.count(1)[0]
    assert data == b"hi"
    server.core.send_many([*connections, other], b"news", EVENT)
    server.core.flush()
    assert [client.receive() for client in clients] == [(2, b"news")] * 20
    assert Client(record).take(8) == b"\0\0\0\x04news"


def test_a_record_connection_speaks_its_kind_and_closes_with_a_record(start: Start) -> None:
    server = start()
    stream = connect(server)
    stream.sendall(b"\0L")
    stream.sendall(b"LJ\0\0\0\x07")
    stream.sendall('"grüß"'.encode()[:7])
    kind, connection, data = server.count(1)[0]
    assert (kind, data) == (TEXT, '"grüß"'.encode()[:7])
    server.core.close(connection, 4000, "bye")
    server.core.flush()
    client = Client(stream)
    assert client.take(9) == b"\x01\0\0\x05" + (4000).to_bytes(2, "big") + b"bye"
    assert client.ended()
    assert server.closed(connection) == 4000


def test_a_heartbeat_is_answered_in_its_kind_and_not_told(start: Start) -> None:
    server = start()
    client = Client.connect(server)
    client.send(b"", 1)
    client.send(b"", 2)
    client.send(b"ping", 9)
    assert [client.receive() for _ in range(3)] == [(1, b""), (2, b""), (10, b"ping")]
    speak(server, client)
    counters = server.core.counters()
    assert (counters["heartbeats"], counters["pings"], counters["messages_in"]) == (2, 1, 1)


def test_the_wrong_kind_closes_with_1003(start: Start) -> None:
    server = start()
    client = Client.connect(server, "longlink.json")
    client.send(b"binary")
    assert client.close_code() == 1003
    server.until("protocol_errors", 1)


def test_what_is_not_http_nor_a_preface_gets_a_line_and_an_end(start: Start) -> None:
    server = start()
    for first in (b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", b"\0LLX", b"\xff\xff\r\n\r\n"):
        stream = connect(server)
        stream.sendall(first)
        answer = Client(stream).take_until(b"\r\n")
        assert answer.startswith(b"HTTP/1.1 4"), (first, answer)
        assert Client(stream).ended()
    server.until("handshake_failures", 3)


# Ends


def test_a_close_of_the_peer_is_echoed_and_told_once(start: Start) -> None:
    server = start()
    client = Client.connect(server)
    connection = admitted(server, client)
    client.send((3001).to_bytes(2, "big") + b"gone", 8)
    assert client.close_code() == 3001
    assert client.ended()
    assert server.closed(connection) == 3001
    server.until("connections", 0)
    assert server.core.poll() == []


def test_a_close_of_the_server_leaves_behind_what_is_queued(start: Start) -> None:
    server = start()
    client = Client.connect(server)
    connection = admitted(server, client)
    server.core.send(connection, b"last words", REPLY)
    server.core.close(connection, 4000, "done")
    server.core.send(connection, b"too late", REPLY)
    server.core.flush()
    assert client.receive() == (2, b"last words")
    assert client.receive() == (8, (4000).to_bytes(2, "big") + b"done")
    assert server.closed(connection) == 4000
    client.send((4000).to_bytes(2, "big"), 8)
    assert client.ended()
    assert server.core.counters()["stale_commands"] == 1


def test_a_connection_that_gave_no_message_ends_in_silence(start: Start) -> None:
    server = start()
    quiet = Client.connect(server)
    quiet.stream.close()
    server.until("closed", 1)
    talker = Client.connect(server)
    connection = speak(server, talker)
    talker.stream.close()
    assert server.closed(connection) == 1006


def test_a_connection_that_had_gone_before_admit_has_one_closed(start: Start) -> None:
    server = start()
    client = Client.connect(server)
    client.send(b"hello")
    client.stream.close()
    events = server.count(2)
    connection = events[0][1]
    assert events == [(BINARY, connection, b"hello"), (CLOSED, connection, 1006)]
    server.core.admit(connection)
    server.core.flush()
    server.until("stale_commands", 1)
    assert server.core.poll() == []


def test_without_a_hello_timeout_every_upgrade_counts_as_admitted(start: Start) -> None:
    server = start(hello_timeout_ms=0)
    client = Client.connect(server)
    server.until("admitted", 1)
    client.stream.close()
    assert server.count(1)[0][2] == 1006


def test_an_old_number_never_reaches_a_new_connection(start: Start) -> None:
    server = start()
    first = Client.connect(server)
    old = speak(server, first)
    first.stream.close()
    server.closed(old)
    others = [Client.connect(server) for _ in range(300)]
    connections = {speak(server, other) for other in others}
    assert old not in connections
    server.core.send(old, b"lost", REPLY)
    server.core.send(0, b"lost", REPLY)
    server.core.flush()
    server.until("stale_commands", 2)
    assert server.core.counters()["messages_out"] == 0


def test_peer_names_the_other_end_until_it_has_gone(start: Start) -> None:
    server = start()
    client = Client.connect(server)
    connection = speak(server, client)
    address, port = client.stream.getsockname()
    assert server.core.peer(connection) == f"{address}:{port}"
    client.stream.close()
    server.closed(connection)
    assert server.core.peer(connection) is None
    assert server.core.peer(0) is None
    assert server.core.peer(1 << 60) is None


# Time


def test_one_byte_at_a_time_does_not_outlive_the_header_timeout(start: Start) -> None:
    server = start(header_timeout_ms=400)
    stream = connect(server)
    begun = time.monotonic()
    with pytest.raises(ConnectionError):  # noqa: PT012 - the byte that fails is any of them
        while time.monotonic() - begun < DEADLINE:
            stream.sendall(b"A")
            time.sleep(0.05)
    assert 0.3 < time.monotonic() - begun < 3
    server.until("header_timeouts", 1)


def test_an_upgrade_without_hello_is_closed_with_4003(start: Start) -> None:
    server = start(hello_timeout_ms=200)
    assert Client.connect(server).close_code() == 4003
    server.until("hello_timeouts", 1)


def test_silence_is_closed_with_4002_and_a_heartbeat_is_no_silence(start: Start) -> None:
    server = start(idle_timeout_ms=600)
    quiet, alive = Client.connect(server), Client.connect(server)
    connection = admitted(server, quiet)
    admitted(server, alive)
    end = time.monotonic() + 1.2
    while time.monotonic() < end:
        alive.send(b"")
        time.sleep(0.1)
    assert quiet.close_code() == 4002
    assert server.closed(connection) == 4002
    assert server.core.counters()["idle_closed"] == 1


def test_a_lifetime_ends_with_4512_unless_a_later_admit_renews_it(start: Start) -> None:
    server = start()
    mortal, renewed = Client.connect(server), Client.connect(server)
    first, second = speak(server, mortal), speak(server, renewed)
    server.core.admit(first, 200)
    server.core.admit(second, 200)
    server.core.admit(second)
    server.core.flush()
    assert mortal.close_code() == 4512
    assert server.closed(first) == 4512
    renewed.send(b"still here")
    assert server.count(1) == [(BINARY, second, b"still here")]
    assert server.core.counters()["lifetime_closed"] == 1


# Load


def deaf(server: Server) -> tuple[Client, int]:
    """An admitted client that has stopped reading and whose socket buffers are full."""
    client = Client.connect(server)
    connection = admitted(server, client)
    while server.core.counters()["queued_bytes"] == 0:
        server.core.send(connection, bytes(8192), REPLY)
        server.core.flush()
        client.send(b"turn")
        server.count(1)
    return client, connection


def test_events_for_a_slow_reader_are_dropped_counted_and_told_once_it_reads(start: Start) -> None:
    server = start(stall_timeout_ms=60_000)
    client, connection = deaf(server)
    for _ in range(100):
        server.core.send(connection, bytes(8192), EVENT)
        server.core.send(connection, bytes(8192), TRANSIENT)
    server.core.send(connection, b"end", REPLY)
    server.core.flush()
    client.send(b"turn")
    server.count(1)
    counters = server.core.counters()
    dropped = counters["dropped_events"]
    assert dropped > 0
    assert counters["dropped_transient"] > dropped / 2
    assert counters["queued_bytes"] <= LIMITS["queue_bytes"] / 2 + 8192
    while client.receive()[1] != b"end":
        pass
    assert server.count(1) == [(MISSED, connection, dropped)]
    assert server.core.counters()["queued_bytes"] == 0


def test_replies_beyond_the_queue_close_with_4001(start: Start) -> None:
    server = start(stall_timeout_ms=300)
    _, connection = deaf(server)
    for _ in range(100):
        server.core.send(connection, bytes(8192), REPLY)
    server.core.flush()
    assert server.closed(connection) == 4001
    assert server.core.counters()["slow_closed"] >= 1


def test_a_reader_that_never_reads_is_dropped_after_the_stall_timeout(start: Start) -> None:
    server = start(stall_timeout_ms=300)
    _, connection = deaf(server)
    assert server.closed(connection) == 4001
    assert server.core.counters()["stalled"] == 1
    server.until("connections", 0)
    assert server.core.counters()["queued_bytes"] == 0


def test_a_flood_is_slowed_to_the_rate_and_nothing_is_lost(start: Start) -> None:
    server = start(message_rate=100, message_burst=10)
    client = Client.connect(server)
    begun = time.monotonic()
    for number in range(60):
        client.send(b"%d" % number)
    events = server.count(60)
    assert [data for _, _, data in events] == [b"%d" % number for number in range(60)]
    assert time.monotonic() - begun > 0.4
    assert server.core.counters()["throttled"] > 0


def test_a_throttled_connection_can_be_closed(start: Start) -> None:
    server = start(message_rate=1, message_burst=1)
    client = Client.connect(server)
    client.stream.sendall(frame(b"one") + frame(b"two") + frame((1000).to_bytes(2, "big"), 8))
    _, connection, _ = server.count(1)[0]
    server.core.close(connection, 4000)
    server.core.flush()
    assert client.close_code() == 4000
    assert client.ended()
    assert server.closed(connection) == 4000
    server.until("connections", 0)


@pytest.mark.parametrize(("ring_events", "ring_bytes"), [(50, 1 << 20), (10_000, 2000), (1, 1 << 20)])
def test_a_full_ring_stops_reading_and_loses_nothing(start: Start, ring_events: int, ring_bytes: int) -> None:
    server = start(ring_events=ring_events, ring_bytes=ring_bytes, threads=2)
    clients = [Client.connect(server) for _ in range(4)]
    expected = [b"%06d" % number + bytes(94) for number in range(500)]
    for client in clients:
        client.stream.sendall(b"".join(map(frame, expected)))
    end = time.monotonic() + DEADLINE
    while server.core.counters()["ring_full"] == 0:
        assert time.monotonic() < end
        time.sleep(0.005)
    time.sleep(0.05)
    counters = server.core.counters()
    assert counters["ring_events"] <= ring_events + 2 * 128
    assert counters["ring_bytes"] <= ring_bytes + 2 * 128 * 100
    by_connection: dict[int, list[bytes | int]] = {}
    for _, connection, data in server.count(2000):
        by_connection.setdefault(connection, []).append(data)
    assert list(by_connection.values()) == [expected] * 4


def test_too_many_unadmitted_connections_of_an_address_are_refused(start: Start) -> None:
    server = start(half_open_per_address=3)
    clients = [Client.connect(server) for _ in range(3)]
    assert Client(connect(server)).ended()
    server.until("refused_half_open", 1)
    connection = speak(server, clients[0])
    server.core.admit(connection)
    server.core.flush()
    server.until("half_open", 2)
    Client.connect(server)


def test_connections_faster_than_the_rate_are_refused(start: Start) -> None:
    server = start(accept_rate=5, accept_burst=2)
    for _ in range(2):
        Client.connect(server)
    assert Client(connect(server)).ended()
    server.until("refused_rate", 1)
    time.sleep(0.4)
    Client.connect(server)


def test_a_full_server_answers_503(start: Start) -> None:
    server = start(max_connections=2)
    for _ in range(2):
        Client.connect(server)
    assert Client(connect(server)).take_until(b"\r\n").startswith(b"HTTP/1.1 503 ")
    server.until("refused_full", 1)


# Ports


def test_a_port_that_another_process_shares_is_still_taken(start: Start) -> None:
    server = start()
    code = (
        "import socket; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1);"
        "s.bind(('127.0.0.1', 0)); s.listen(); print(s.getsockname()[1], flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdin
        port = int(other.stdout.readline())
        with pytest.raises(OSError, match="in use") as caught:
            server.core.listen("127.0.0.1", port)
        assert caught.value.errno == errno.EADDRINUSE
        assert server.core.listen("127.0.0.1", port, shared=True) == port
        other.communicate(b"\n")
    with pytest.raises(OSError, match="in use"):
        server.core.listen("127.0.0.1", server.port)


def test_it_listens_on_ipv6(start: Start) -> None:
    server = start()
    try:
        port = server.core.listen("::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with socket.create_connection(("::1", port), timeout=DEADLINE) as stream:
        stream.sendall(b"\0LLP\0\0\0\x01x")
        _, connection, data = server.count(1)[0]
        assert data == b"x"
        assert server.core.peer(connection) == f"[::1]:{stream.getsockname()[1]}"


def test_a_port_can_be_had_again_after_stop(start: Start) -> None:
    server = start()
    client = Client.connect(server)
    connection = admitted(server, client)
    server.core.stop()
    server.core.stop()
    assert server.closed(connection) == 1006
    assert client.ended()
    again = Server()
    assert again.core.listen("127.0.0.1", server.port) == server.port
    again.core.stop()
    with pytest.raises(OSError, match="stopped"):
        server.core.listen("127.0.0.1", 0)


def test_a_core_that_never_listened_can_be_used_and_stopped() -> None:
    core = Core(**LIMITS)
    core.send(1 << 44, b"x", REPLY)
    core.flush()
    assert core.poll() == []
    core.drain(0, 1001, "")
    core.stop()


def test_draining_closes_all_evenly_and_takes_no_new_ones(start: Start) -> None:
    server = start()
    clients = [Client.connect(server) for _ in range(20)]
    for client in clients:
        admitted(server, client)
    begun = time.monotonic()
    server.core.drain(1000, 1001, "moving")
    ends: list[float] = []
    while len(ends) < 20:
        events = server.count(1)
        ends += [time.monotonic() - begun] * len(events)
        assert all(event[0] == CLOSED and event[2] == 1001 for event in events)
    assert 0.8 < ends[-1] < 3
    assert 0.3 < ends[9] < 0.8
    assert [client.close_code() for client in clients] == [1001] * 20
    with pytest.raises(ConnectionError):
        connect(server)


# TLS


def certificate(folder: Path, name: str) -> tuple[str, str]:
    chain, key = str(folder / f"{name}.pem"), str(folder / f"{name}.key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    subprocess.run([*command, "-keyout", key, "-out", chain, *names], check=True, capture_output=True)
    return chain, key


def trust(chain: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=chain)


def test_tls_carries_messages_of_any_size_both_ways(start: Start, tmp_path: Path) -> None:
    files = certificate(tmp_path, "one")
    server = start(tls=files, queue_bytes=4 << 20)
    client = Client.connect(server, tls=trust(files[0]))
    for size in (5, 20_000, 1 << 20):
        payload = os.urandom(size)
        connection = speak(server, client, payload)
        server.core.send(connection, payload, REPLY)
        server.core.flush()
        assert client.receive() == (2, payload)
    server.core.close(connection, 4000)
    server.core.flush()
    assert client.close_code() == 4000
    assert server.closed(connection) == 4000
    assert server.core.counters()["accepted_tls"] == 1


def test_new_handshakes_use_the_new_certificate_and_bad_files_change_nothing(start: Start, tmp_path: Path) -> None:
    one, two = certificate(tmp_path, "one"), certificate(tmp_path, "two")
    server = start(tls=one)
    before = Client.connect(server, tls=trust(one[0]))
    with pytest.raises(ValueError, match=r"one\.pem"):
        server.core.reload_tls(one[0], two[1])
    with pytest.raises(ValueError, match="nowhere"):
        server.core.reload_tls(str(tmp_path / "nowhere"), one[1])
    Client.connect(server, tls=trust(one[0]))
    server.core.reload_tls(*two)
    Client.connect(server, tls=trust(two[0]))
    with pytest.raises(ssl.SSLError):
        Client.connect(server, tls=trust(one[0]))
    speak(server, before)


def test_a_tls_port_refuses_plain_text(start: Start, tmp_path: Path) -> None:
    server = start(tls=certificate(tmp_path, "one"))
    http, record = connect(server), connect(server)
    http.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    record.sendall(b"\0LLP")
    assert b"TLS" in Client(http).take_until(b"TLS") + b"TLS"
    assert Client(record).ended()
    server.until("handshake_failures", 2)


def test_a_certificate_that_is_none_is_refused_with_its_name(start: Start, tmp_path: Path) -> None:
    server = start()
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    with pytest.raises(ValueError, match=r"empty\.pem"):
        server.core.listen("127.0.0.1", 0, tls=(str(empty), str(empty)))
    with pytest.raises(ValueError, match="no port listens with TLS"):
        server.core.reload_tls(str(empty), str(empty))


def test_slow_tls_readers_get_everything_in_order(start: Start, tmp_path: Path) -> None:
    files = certificate(tmp_path, "one")
    server = start(tls=files, queue_bytes=64 << 20)
    client = Client.connect(server, tls=trust(files[0]))
    connection = admitted(server, client)
    for number in range(2000):
        server.core.send(connection, b"%08d" % number + bytes(8192), REPLY)
    server.core.flush()
    speak(server, client, b"turn")
    assert server.core.counters()["queued_bytes"] > 0
    assert [client.receive()[1][:8] for _ in range(2000)] == [b"%08d" % number for number in range(2000)]
    server.until("queued_bytes", 0)


# Arguments and figures


@pytest.mark.parametrize("name", ["threads", "max_connections", "queue_bytes", "ring_events", "max_message_bytes"])
def test_a_limit_out_of_range_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Core(**{**LIMITS, name: 0})


def test_arguments_out_of_range_are_refused(start: Start) -> None:
    server = start()
    with pytest.raises(ValueError, match="delivery"):
        server.core.send(1, b"x", 3)
    with pytest.raises(ValueError, match="code"):
        server.core.close(1, 1006)
    with pytest.raises(ValueError, match="reason"):
        server.core.close(1, 4000, "x" * 124)
    with pytest.raises(ValueError, match="payload"):
        server.core.send(1, bytes(1 << 24), REPLY)


def test_poll_takes_no_more_than_its_limit_and_keeps_the_order(start: Start) -> None:
    server = start()
    client = Client.connect(server)
    client.stream.sendall(b"".join(frame(b"%d" % number) for number in range(10)))
    server.until("messages_in", 10)
    got: list[bytes | int] = []
    while len(got) < 10:
        events = server.core.poll(3)
        assert len(events) <= 3
        got += [data for _, _, data in events]
    assert got == [b"%d" % number for number in range(10)]
    assert server.core.poll() == []


def test_counters_and_histograms_have_the_names_of_the_contract(start: Start) -> None:
    server = start()
    speak(server, Client.connect(server))
    text = (Path(__file__).parents[2] / "core" / "BOUNDARY.md").read_text().split("## Counters")[1]
    names = {name for name in text.split("`")[1::2] if name.isidentifier()}
    histograms = server.core.histograms()
    assert {*server.core.counters(), *histograms} == names
    for bounds, counts, total in histograms.values():
        assert len(counts) == len(bounds) + 1
        assert counts == sorted(counts)
        assert counts[-1] >= 1
        assert total > 0
    assert core_module.__version__


def test_memory_held_returns_to_the_table_when_all_have_gone(start: Start) -> None:
    server = start(threads=1)
    first = Client.connect(server)
    admitted(server, first)
    before = server.core.counters()["core_bytes"]
    clients = [Client.connect(server) for _ in range(100)]
    for client in clients:
        client.stream.sendall(frame(bytes(1000))[:-1])
    server.until("connections", 101)
    for client in clients:
        client.stream.close()
    server.until("connections", 1)
    assert server.core.counters()["core_bytes"] < before + 8192


STRESS_ENDS = 400


def test_every_admitted_connection_ends_exactly_once_whatever_both_sides_do(start: Start) -> None:
    server = start(threads=2, ring_events=64)
    chance = random.Random(7)
    living: list[Client] = []
    begun, told, ended = 0, set[int](), dict[int, int]()
    end = time.monotonic() + 3 * DEADLINE
    while len(ended) < STRESS_ENDS:
        assert time.monotonic() < end, f"{len(told)} spoke, {len(ended)} ended"
        if begun < STRESS_ENDS and len(living) < 50:
            living.append(Client.connect(server))
            living[-1].send(b"hello")
            begun += 1
        elif living:
            leaver = living.pop(chance.randrange(len(living)))
            if chance.random() < 0.5:
                leaver.send((1000).to_bytes(2, "big"), 8)
            leaver.stream.close()
        for kind, connection, _ in server.core.poll(chance.randrange(1, 20)):
            assert connection not in ended, "an event after CLOSED"
            if kind == CLOSED:
                ended[connection] = ended.get(connection, 0) + 1
                continue
            told.add(connection)
            server.core.admit(connection)
            server.core.send(connection, b"welcome", REPLY)
            if chance.random() < 0.3:
                server.core.close(connection, 4000)
        if chance.random() < 0.5:
            server.core.flush()
    for client in living:
        client.stream.close()
    assert set(ended) == told
    server.until("connections", 0)
    assert (server.core.counters()["admitted"], server.core.counters()["half_open"]) == (0, 0)
    assert server.core.poll() == []


def test_without_descriptors_it_waits_idly_and_goes_on_when_there_are_some(tmp_path: Path) -> None:
    code = """
import resource, sys
from test_core import LIMITS
from longlink._core import Core
core = Core(**LIMITS)
port = core.listen("127.0.0.1", 0)
print(port, flush=True)
sys.stdin.readline()
used = resource.getrusage(resource.RUSAGE_SELF)
sys.stdin.readline()
now = resource.getrusage(resource.RUSAGE_SELF)
print(now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime, core.counters()["refused_full"], flush=True)
sys.stdin.readline()
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    command = ["sh", "-c", 'ulimit -n 64; exec "$0" "$@"', sys.executable, str(script)]
    paths = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen(command, env=paths, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin
        assert other.stdout
        server = Server()
        server.port = int(other.stdout.readline())
        streams = [connect(server) for _ in range(80)]
        for line in ("\n", "\n"):
            other.stdin.write(line)
            other.stdin.flush()
            time.sleep(0.6)
        seconds, times = other.stdout.readline().split()
        assert float(seconds) < 0.2
        assert int(times) > 0
        for stream in streams[:40]:
            stream.close()
        streams[-1].sendall(b"\0LLP\0\0\0\0")
        assert Client(streams[-1]).take(4) == bytes(4)
        for stream in streams:
            stream.close()
        other.communicate("\n")
