"""What a connection may send before it is admitted, by core/BOUNDARY.md: small messages, and few of them."""

from __future__ import annotations

import pytest

from longlink._core import BINARY, TEXT

from .core_server import Client, Start, admitted, connect, frame

LIMITS = {"hello_bytes": 1000, "max_message_bytes": 5000}
HEADERS = {
    "a WebSocket message": (b"", b"\x82\xfe" + (1001).to_bytes(2, "big") + bytes(4)),
    "fragments": (
        b"",
        b"\x02\xfe" + (600).to_bytes(2, "big") + bytes(604) + b"\x80\xfe" + (401).to_bytes(2, "big") + bytes(4),
    ),
    "a record": (b"\0LLP", b"\0" + (1001).to_bytes(3, "big")),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_first_message_that_is_too_long_is_refused_by_its_header(start: Start, case: str) -> None:
    server = start(**LIMITS)
    preface, header = HEADERS[case]
    client = Client(connect(server)) if preface else Client.connect(server)
    client.stream.sendall(preface + header)
    if preface:
        kind, length = client.take(1), int.from_bytes(client.take(3), "big")
        assert (kind, client.take(length)[:2]) == (b"\1", (1009).to_bytes(2, "big"))
    else:
        opcode, payload = client.receive()
        assert (opcode, payload[:2]) == (8, (1009).to_bytes(2, "big"))
        assert b"connection.hello_bytes" in payload
    assert client.ended()
    server.until("connections", 0)
    assert server.core.counters()["hello_too_long"] == 1
    assert server.core.poll() == []


def test_a_stream_whose_body_is_too_long_is_refused_by_its_header(start: Start) -> None:
    server = start(**LIMITS)
    client = Client(connect(server))
    client.stream.sendall(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n")
    assert client.take_until(b"\r\n").startswith(b"HTTP/1.1 413 ")
    client.take_until(b"\r\n\r\n")
    assert client.take_until(b"\n") == b"the body is longer than 1000 bytes"
    server.until("hello_too_long", 1)


def test_the_longest_first_message_is_taken_and_longer_ones_once_it_is_admitted(start: Start) -> None:
    server = start(**LIMITS)
    client = Client.connect(server)
    client.send(bytes(1000))
    ((_, connection, data),) = server.count(1)
    assert data == bytes(1000)
    server.core.admit(connection)
    server.core.flush()
    server.until("admitted", 1)
    client.send(bytes(5000))
    assert server.count(1) == [(BINARY, connection, bytes(5000))]
    client.send(bytes(5001))
    assert client.close_code() == 1009
    assert server.core.counters()["hello_too_long"] == 0


@pytest.mark.parametrize("limits", [{"hello_bytes": 9000}, {"hello_bytes": 10, "hello_timeout_ms": 0}])
def test_the_bound_of_all_messages_holds_where_it_is_less_and_where_there_is_no_hello(
    start: Start, limits: dict[str, int]
) -> None:
    server = start(max_message_bytes=5000, **limits)
    client = Client.connect(server)
    client.send(bytes(5000))
    assert len(server.count(1)) == 1
    client.send(bytes(5001))
    assert client.close_code() == 1009


def test_a_connection_that_is_not_admitted_is_read_four_times_and_then_when_it_is(start: Start) -> None:
    server = start()
    client = Client.connect(server)
    sent = [b"%d" % number for number in range(10)]
    client.stream.sendall(b"".join(frame(payload) + frame(b"") for payload in sent))
    server.until("hello_held", 1)
    events = server.count(4)
    admitted(server, Client.connect(server))
    assert [data for _, _, data in events] == sent[:4]
    connection = events[0][1]
    server.core.admit(connection)
    server.core.flush()
    assert server.count(6) == [(BINARY, connection, payload) for payload in sent[4:]]
    assert [client.receive() for _ in sent] == [(2, b"")] * 10


def test_a_connection_that_waits_to_be_admitted_is_closed_when_its_time_is_over(start: Start) -> None:
    server = start(hello_timeout_ms=300)
    client = Client.connect(server, "longlink.json")
    client.stream.sendall(frame(b"x", 1) * 5)
    events = server.wait(lambda events: len(events) >= 5)
    assert [(kind, data) for kind, _, data in events[:4]] == [(TEXT, b"x")] * 4
    assert events[4][2] == 4003
    assert client.close_code() == 4003
