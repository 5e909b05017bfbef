"""The handshake, TCP records, and sockets that end or do not go on, over real sockets against `longlink bench serve`.

Read next: peer.py, core/BOUNDARY.md.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Final

import pytest

from .peer import (
    BINARY,
    CHOPS,
    FIELDS,
    LIMIT,
    TEXT,
    Heard,
    Peer,
    answers,
    ended_with,
    fails,
    frame,
    request,
)

# The handshake


def refused(port: int, data: bytes) -> tuple[int, str]:
    """Status and text of a refusal, which must be complete and end the connection."""
    with Peer(port) as peer:
        peer.send(data)
        head, body = peer.head(), peer.rest()
    lines = head.split("\r\n")
    assert f"Content-Length: {len(body)}" in lines
    assert any(line.startswith("Connection: close") for line in lines)
    assert body.count(b"\n") == 1
    return int(lines[0].split(" ")[1]), head + "\n" + body.decode()


def changed(name: str, value: str | None) -> bytes:
    """A good request with one field replaced, or left out."""
    kept = tuple(field for field in FIELDS if field[0] != name)
    return request(fields=kept if value is None else (*kept, (name, value)))


@pytest.mark.parametrize(
    ("data", "status", "word"),
    [
        (request("POST / HTTP/1.1"), 405, "Allow: GET"),
        (request("GET /elsewhere HTTP/1.1"), 404, "/"),
        (request("GET / HTTP/1.0"), 426, "this proxy speaks HTTP/1.0: set proxy_http_version 1.1"),
        (request(fields=FIELDS[:1] + FIELDS[3:]), 426, "no Upgrade field: the proxy must pass Upgrade and Connection"),
        (request("GET /healthz HTTP/1.1"), 404, "listen.operations"),
        (request("POST /v1/send HTTP/1.1"), 404, "listen.http"),
        (request("GET / HTTP/3.0"), 400, "HTTP/1.1"),
        (request(fields=FIELDS[:1]), 426, "Upgrade: websocket"),
        (changed("Host", None), 400, "Host"),
        (changed("Upgrade", "h2c"), 426, "websocket"),
        (changed("Connection", "keep-alive"), 400, "Connection"),
        (changed("Sec-WebSocket-Version", "8"), 426, "Sec-WebSocket-Version: 13"),
        (changed("Sec-WebSocket-Version", None), 426, "Sec-WebSocket-Version: 13"),
        (changed("Sec-WebSocket-Key", None), 400, "Sec-WebSocket-Key"),
        (changed("Sec-WebSocket-Key", "c2hvcnQ="), 400, "Sec-WebSocket-Key"),
        (request(fields=(*FIELDS, FIELDS[0])), 400, "Host"),
        (request(fields=(*FIELDS, ("Content-Length", "3"))), 400, "body"),
        (request(fields=(*FIELDS, ("Transfer-Encoding", "chunked"))), 400, "body"),
        (request(fields=(*FIELDS, ("Sec-WebSocket-Protocol", "mqtt"))), 400, "longlink.v1"),
        (request(fields=(*FIELDS, ("Cookie", "x" * 9_000))), 431, "8192"),
        (request(fields=FIELDS + (("X", "y"),) * 100), 431, "fields"),
        (request().replace(b"\r\n", b"\n"), 400, "CR LF"),
        (b"\x01\x02\x03\x04\r\n\r\n", 400, "HTTP/1.1"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", 400, "HTTP/1.1"),
    ],
)
def test_a_bad_request_is_refused_with_a_word_of_help(port: int, data: bytes, status: int, word: str) -> None:
    came, text = refused(port, data)
    assert came == status, text
    assert word in text


@pytest.mark.parametrize("chop", CHOPS)
def test_a_request_may_come_in_pieces_with_a_frame_behind_it(port: int, chop: int | None) -> None:
    with Peer(port) as peer:
        peer.send(request() + frame(TEXT, b"early"), chop)
        assert peer.head().startswith("HTTP/1.1 101 ")
        assert peer.hear() == Heard(TEXT, b"early")


def test_an_extension_is_not_negotiated(port: int) -> None:
    with Peer(port) as peer:
        peer.send(request(fields=(*FIELDS, ("Sec-WebSocket-Extensions", "permessage-deflate"))))
        assert "Extensions" not in peer.head()


@pytest.mark.parametrize(
    ("subprotocol", "good", "bad"), [("longlink.v1", BINARY, TEXT), ("longlink.v1.json", TEXT, BINARY)]
)
def test_a_subprotocol_fixes_the_kind_of_message(port: int, subprotocol: str, good: int, bad: int) -> None:
    with Peer.upgraded(port, f"other, {subprotocol}") as peer:
        peer.send(frame(good, b"{}"))
        assert peer.hear() == Heard(good, b"{}")
        peer.send(frame(bad, b"{}"))
        assert ended_with(peer.hear_all()) == 1003


# TCP records


def record(payload: bytes, kind: int = 0, length: int | None = None) -> bytes:
    return struct.pack("!I", kind << 24 | (len(payload) if length is None else length)) + payload


BINARY_PREFACE: Final = b"\0LLP"
TEXT_PREFACE: Final = b"\0LLJ"


def take_record(peer: Peer) -> tuple[int, bytes]:
    head = int.from_bytes(peer.take(4), "big")
    return head >> 24, peer.take(head & 0xFFFFFF)


@pytest.mark.parametrize("preface", [BINARY_PREFACE, TEXT_PREFACE])
@pytest.mark.parametrize("chop", CHOPS)
def test_records_come_back_on_the_same_port(port: int, preface: bytes, chop: int | None) -> None:
    payloads = [b"one", b"x" * 3_000, "drei \u20ac".encode()]
    with Peer(port) as peer:
        peer.send(preface + b"".join(record(payload) for payload in payloads), chop)
        assert [take_record(peer) for _ in payloads] == [(0, payload) for payload in payloads]
        peer.send(record(b""))
        assert take_record(peer) == (0, b"")


def test_a_record_up_to_the_limit_comes_back(port: int) -> None:
    payload = b"0123456789abcdef" * (LIMIT // 16)
    with Peer(port) as peer:
        peer.send(BINARY_PREFACE + record(payload))
        assert take_record(peer) == (0, payload)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (BINARY_PREFACE + b"\x02", 1002),
        (BINARY_PREFACE + record(b"", length=LIMIT + 1), 1009),
        (BINARY_PREFACE + record(b"\x03", kind=1), 1002),
        (BINARY_PREFACE + record(b"", kind=1, length=126), 1002),
        (BINARY_PREFACE + record(b"\x03\xec", kind=1), 1002),
        (TEXT_PREFACE + record(b"bad \xff"), 1007),
        (TEXT_PREFACE + record(b"bad \xff", length=1_000), 1007),
        (BINARY_PREFACE + record(b"\x03\xe8bye", kind=1), 1000),
        (TEXT_PREFACE + record(b"\x0f\xa0", kind=1), 4000),
    ],
)
@pytest.mark.parametrize("chop", [None, 1])
def test_a_record_connection_ends_with_a_close_record(port: int, data: bytes, code: int, chop: int | None) -> None:
    with Peer(port) as peer:
        peer.send(data, chop)
        kind, payload = take_record(peer)
        assert (kind, int.from_bytes(payload[:2], "big")) == (1, code)
        assert peer.rest() == b""


@pytest.mark.parametrize("preface", [b"\0LLX", b"\0\0\0\0", b"\0LLp"])
def test_an_unknown_preface_gets_no_service(port: int, preface: bytes) -> None:
    with Peer(port) as peer:
        peer.send(preface + record(b"hello"))
        assert b"hello" not in peer.rest()


# Sockets that end, or do not go on


def test_a_client_that_goes_without_a_word_harms_nobody(port: int) -> None:
    for cut in range(1, 40):
        with Peer.upgraded(port) as peer:
            peer.send((frame(TEXT, b"half a message") * 2)[:cut])
    answers(port, frame(TEXT, b"a"), [Heard(TEXT, b"a")])


def test_a_client_that_resets_harms_nobody(port: int) -> None:
    for _ in range(20):
        with Peer.upgraded(port) as peer:
            peer.send(frame(BINARY, b"x" * 100_000))
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    answers(port, frame(TEXT, b"a"), [Heard(TEXT, b"a")])


@pytest.mark.parametrize("sent", [b"", b"GET / HT", request(), request() + frame(TEXT, b"a"), BINARY_PREFACE])
def test_a_socket_that_is_half_closed_is_closed(port: int, sent: bytes) -> None:
    with Peer(port) as peer:
        peer.send(sent)
        peer.socket.shutdown(socket.SHUT_WR)
        peer.rest()


@pytest.mark.parametrize("sent", [b"", b"\0", b"\0LL", b"G", request()[:-2]])
def test_a_header_that_does_not_come_ends_the_connection(impatient_port: int, sent: bytes) -> None:
    with Peer(impatient_port) as peer:
        peer.send(sent)
        assert not peer.rest().startswith(b"HTTP/1.1 101")


@pytest.mark.parametrize("sent", [b"", frame(TEXT, b"half", fin=False), frame(TEXT, b"a", length=9)])
def test_a_silent_connection_is_closed_as_idle(impatient_port: int, sent: bytes) -> None:
    assert fails(impatient_port, sent, 4002) == []


def test_an_idle_record_connection_is_told_so(impatient_port: int) -> None:
    with Peer(impatient_port) as peer:
        peer.send(BINARY_PREFACE)
        kind, payload = take_record(peer)
        assert (kind, payload[:2]) == (1, struct.pack("!H", 4002))


def test_a_client_that_does_not_read_gets_everything_later(port: int) -> None:
    payload = os.urandom(200_000)
    with Peer.upgraded(port) as peer:
        for _ in range(10):
            peer.send(frame(BINARY, payload))
        assert [peer.hear() for _ in range(10)] == [Heard(BINARY, payload)] * 10
