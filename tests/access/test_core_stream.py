"""The stream, the fallback's down link: a POST that is answered by events without end, by core/BOUNDARY.md."""

import json
import ssl
import time
from pathlib import Path

import pytest

from longlink._core import BINARY, CLOSED, EVENT, LOW, MISSED, REPLY, TEXT, Core

from .core_server import DEADLINE, KEY, Client, Server, Start, connect, opened
from .test_core_tls import certificate, trust

HELLO = b'{"id":1,"connect":{"version":1}}'
PATH = "/v1/events"


def request(body: bytes = HELLO, *fields: str, method: str = "POST", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    lines = [f"{method} {PATH} HTTP/1.1", "Host: localhost", f"Content-Length: {size}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


class Stream(Client):
    """A reader of one stream that does exactly what a test says."""

    @classmethod
    def begin(cls, server: Server, tls: ssl.SSLContext | None = None) -> "Stream":
        """Post and read the header of the answer."""
        stream = connect(server)
        if tls:
            # The wrapped socket takes the descriptor over.
            stream = tls.wrap_socket(stream, server_hostname="localhost")
            opened.append(stream)
        reader = cls(stream)
        reader.stream.sendall(request())
        reader.read_head()
        return reader

    def read_head(self) -> list[str]:
        head = self.take_until(b"\r\n\r\n").decode().split("\r\n")
        assert head[0] == "HTTP/1.1 200 OK", head
        return head

    def chunk(self) -> bytes:
        data = self.take(int(self.take_until(b"\r\n"), 16))
        assert self.take(2) == b"\r\n"
        return data

    def event(self) -> str:
        """The data of the next message; comments are skipped."""
        while (chunk := self.chunk()) == b":\n\n":
            pass
        assert chunk.startswith(b"data: "), chunk
        assert chunk.endswith(b"\n\n"), chunk
        return chunk[6:-2].decode()

    def close_event(self) -> tuple[int, str]:
        """Code and reason of the close; behind it comes the end, of the chunks and of TCP. Messages are skipped."""
        while not (chunk := self.chunk()).startswith(b"event: close\n"):
            pass
        said = json.loads(chunk.removeprefix(b"event: close\ndata: "))
        assert self.chunk() == b""
        assert self.pending == b""
        assert self.stream.recv(1) == b""
        return said["code"], said["reason"]


def streaming(server: Server, tls: ssl.SSLContext | None = None) -> tuple[Stream, int]:
    """A stream that was admitted, and the number of its connection."""
    reader = Stream.begin(server, tls)
    kind, connection, data = server.count(1)[0]
    assert (kind, data) == (TEXT, HELLO)
    before = server.core.counters()["admitted"]
    server.core.admit(connection)
    server.core.flush()
    server.until("admitted", before + 1)
    return reader, connection


class PlainStream(Client):
    """A reader of one stream in HTTP/1.0, as a proxy opens it."""

    def event(self) -> str:
        return self.take_until(b"\n\n").decode()


def say(core: Core, connection: int, *texts: str, delivery: int = REPLY) -> None:
    for text in texts:
        core.send(connection, text.encode(), delivery, text=True)
    core.flush()


def answer(server: Server, data: bytes) -> tuple[int, str]:
    """The status and the whole answer to bytes after which the server closes."""
    stream = connect(server)
    stream.sendall(data)
    said = b""
    while piece := stream.recv(1 << 16):
        said += piece
    return int(said.split(b" ", 2)[1]), said.decode()


def test_a_post_is_one_message_and_its_answer_is_a_stream_of_events(start: Start) -> None:
    server = start()
    client = Stream(connect(server))
    client.stream.sendall(request())
    head = client.read_head()
    assert {
        "Content-Type: text/event-stream",
        "Cache-Control: no-store",
        "X-Accel-Buffering: no",
        "Access-Control-Allow-Origin: *",
        "Transfer-Encoding: chunked",
    } <= set(head)
    kind, connection, data = server.count(1)[0]
    assert (kind, data) == (TEXT, HELLO)
    server.core.admit(connection)
    say(server.core, connection, '{"id":1}', "Zoë")
    assert [client.event(), client.event()] == ['{"id":1}', "Zoë"]
    counters = server.core.counters()
    assert (counters["streams"], counters["handshakes"], counters["messages_in"]) == (1, 1, 1)


def test_a_request_that_comes_byte_by_byte_is_the_same(start: Start) -> None:
    server = start()
    client = Stream(connect(server))
    body = '{"name":"Zoë €"}'.encode()
    for byte in request(body):
        client.stream.sendall(bytes([byte]))
    client.read_head()
    assert server.count(1)[0][2] == body


def test_a_stream_over_tls_is_the_same(start: Start, tmp_path: Path) -> None:
    files = certificate(tmp_path, "one")
    server = start(tls=files)
    client, connection = streaming(server, trust(files[0]))
    say(server.core, connection, "x" * 100_000)
    assert client.event() == "x" * 100_000
    server.core.close(connection, 4520, "replaced")
    server.core.flush()
    assert client.close_event() == (4520, "replaced")
    assert server.closed(connection) == 4520


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request(length=1001), 413),
        (request().replace(b"Content-Length: 32\r\n", b""), 411),
        (request(HELLO, "Transfer-Encoding: chunked"), 400),
        (request(HELLO, "Content-Length: 32"), 400),
        (request(HELLO, "Expect: 100-continue"), 417),
        (request(b"\xff" * 4), 400),
        (request(b""), 400),
        (request(method="GET"), 405),
    ],
)
def test_what_is_not_plain_is_refused_with_a_word_that_pages_may_read(start: Start, data: bytes, status: int) -> None:
    server = start(max_message_bytes=1000)
    got, text = answer(server, data)
    assert got == status
    assert "Access-Control-Allow-Origin: *" in text
    server.until_all(handshake_failures=1, streams=0)
    assert server.core.poll() == []


def test_a_page_of_another_origin_may_ask_before_it_posts(start: Start) -> None:
    server = start()
    asked = request(b"", "Origin: https://example.com", "Access-Control-Request-Method: POST", method="OPTIONS")
    status, text = answer(server, asked)
    assert status == 204
    for line in ("Allow-Origin: *", "Allow-Methods: POST", "Allow-Headers: Content-Type", "Max-Age: 86400"):
        assert f"Access-Control-{line}" in text
    assert server.core.counters()["handshake_failures"] == 0


def test_bytes_behind_the_body_close_the_stream_whenever_they_come(start: Start) -> None:
    server = start()
    at_once = Stream(connect(server))
    at_once.stream.sendall(request() + b"GET / HTTP/1.1\r\n")
    at_once.read_head()
    assert at_once.close_event() == (1002, "nothing follows the body")
    events = server.count(2)
    assert [event[0] for event in events] == [TEXT, CLOSED]
    later, connection = streaming(server)
    later.stream.sendall(b"\n")
    assert later.close_event() == (1002, "nothing follows the body")
    assert server.closed(connection) == 1002
    assert server.core.counters()["protocol_errors"] == 2


def test_a_body_that_never_ends_is_dropped_like_a_header(start: Start) -> None:
    server = start(header_timeout_ms=200)
    client = connect(server)
    client.sendall(request(length=1000))
    assert client.recv(1) == b""
    server.until("header_timeouts", 1)
    assert server.core.poll() == []


def test_a_stream_that_is_not_admitted_in_time_is_closed_with_4003(start: Start) -> None:
    server = start(hello_timeout_ms=200)
    client = Stream.begin(server)
    assert client.close_event() == (4003, "handshake_timeout")


def test_the_lifetime_of_a_stream_ends_with_4512(start: Start) -> None:
    server = start()
    client = Stream.begin(server)
    connection = server.count(1)[0][1]
    server.core.admit(connection, 200)
    server.core.flush()
    assert client.close_event() == (4512, "token_expired")
    assert server.closed(connection) == 4512


def test_a_silent_stream_gets_comments_and_is_never_idle(start: Start) -> None:
    server = start(stream_heartbeat_ms=100, idle_timeout_ms=300)
    client, connection = streaming(server)
    server.core.admit(connection, 0, 200)
    server.core.flush()
    begun = time.monotonic()
    assert [client.chunk() for _ in range(5)] == [b":\n\n"] * 5
    assert time.monotonic() - begun > 0.4, "comments come no faster than asked for"
    say(server.core, connection, "still here")
    assert client.event() == "still here"
    assert server.core.counters()["idle_closed"] == 0


def test_a_stream_that_talks_needs_no_comments(start: Start) -> None:
    server = start(stream_heartbeat_ms=600)
    client, connection = streaming(server)
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        say(server.core, connection, "tick")
        assert client.chunk() == b"data: tick\n\n"
        time.sleep(0.05)


def test_a_drain_ends_streams_with_its_reason(start: Start) -> None:
    server = start()
    client, connection = streaming(server)
    say(server.core, connection, "last words")
    server.core.drain(0, 4000, 'draining: "soon" back')
    assert client.event() == "last words"
    assert client.close_event() == (4000, 'draining: "soon" back')
    assert server.closed(connection) == 4000


def test_a_client_that_goes_ends_its_stream(start: Start) -> None:
    server = start()
    client, connection = streaming(server)
    client.stream.close()
    assert server.closed(connection) == 1006


def test_events_for_a_slow_reader_are_dropped_and_told_as_missed(start: Start) -> None:
    server = start(stall_timeout_ms=60_000)
    client, connection = streaming(server)
    text = "x" * 8192
    while server.core.counters()["dropped_events"] == 0:
        say(server.core, connection, text, delivery=EVENT)
    say(server.core, connection, "end")
    while client.event() != "end":
        pass
    # A queue that drained between two drops has been told twice.
    dropped = server.core.counters()["dropped_events"]
    missed = server.wait(lambda events: sum(int(event[2]) for event in events) >= dropped)
    assert {event[:2] for event in missed} == {(MISSED, connection)}
    assert sum(int(event[2]) for event in missed) == dropped


def test_a_reply_that_does_not_fit_closes_with_4001(start: Start) -> None:
    server = start(stall_timeout_ms=60_000)
    client, connection = streaming(server)
    while server.core.counters()["slow_closed"] == 0:
        say(server.core, connection, "x" * 8192)
    assert client.close_event() == (4001, "slow_consumer")
    assert server.closed(connection) == 4001


def test_topics_reach_a_stream_as_text_and_binary_ones_are_left_out(start: Start) -> None:
    server = start()
    client, connection = streaming(server)
    socket = Client.connect(server, "longlink.pb")
    socket.send(b"hello")
    other = server.count(1)[0]
    assert other[0] == BINARY
    for member in (connection, other[1]):
        server.core.subscribe(member, 7)
    server.core.publish(7, b"binary", EVENT)
    server.core.publish(7, b'{"form":"text"}', EVENT, text=True)
    server.core.flush()
    assert client.event() == '{"form":"text"}'
    assert socket.receive() == (2, b"binary")
    server.until("other_kind", 2)
    server.core.send_many([connection, other[1]], b"only binary", LOW)
    server.core.flush()
    assert socket.receive() == (2, b"only binary")
    server.until("other_kind", 3)


def test_upgrades_are_as_before_on_the_same_port(start: Start) -> None:
    server = start()
    streaming(server)
    stream = connect(server)
    stream.sendall(
        f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n".encode()
    )
    assert stream.recv(1 << 16).startswith(b"HTTP/1.1 405 ")
    assert Client.connect(server).stream.gettimeout() == DEADLINE


def test_a_stream_in_http_1_0_has_no_chunks_and_ends_with_tcp(start: Start) -> None:
    server = start(stream_heartbeat_ms=300)
    client = PlainStream(connect(server))
    client.stream.sendall(b"POST /v1/events HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(HELLO) + HELLO)
    head = client.take_until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Transfer-Encoding" not in head
    assert b"\r\nConnection: close\r\n" in head
    ((_, connection, data),) = server.count(1)
    assert data == HELLO
    server.core.admit(connection)
    server.core.subscribe(connection, 7)
    server.core.flush()
    server.until("subscriptions", 1)
    say(server.core, connection, '{"id":1}')
    assert client.event() == 'data: {"id":1}'
    server.core.publish(7, b"to all", EVENT, text=True)
    server.core.publish(7, b"binary", EVENT)
    server.core.send(connection, b"binary", REPLY)
    server.core.flush()
    assert client.event() == "data: to all"
    assert client.event() == ":"
    server.core.close(connection, 4000, "bye")
    server.core.flush()
    assert client.event() == 'event: close\ndata: {"code":4000,"reason":"bye"}'
    assert client.pending == b""
    assert client.stream.recv(1) == b""
    assert server.core.counters()["other_kind"] == 2
