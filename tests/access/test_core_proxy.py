"""Connections through trusted proxies, by core/BOUNDARY.md: whose they are, and what counts against whom."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from longlink._core import Core

from .core_server import LIMITS, Client, Server, Start, admitted, connect, frame
from .test_core_pings import upgraded
from .test_core_tls import certificate, trust

HERE = ["127.0.0.0/8"]
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LINE = b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n"
BINARY_HEADER = SIGNATURE + b"\x21\x11\0\x0c" + bytes([203, 0, 113, 7, 192, 0, 2, 1]) + b"\xdc\x04\x01\xbb"
LOCAL = SIGNATURE + b"\x20\0\0\0"
UNKNOWN = b"PROXY UNKNOWN\r\n"


def behind(server: Server, header: bytes, *, pieces: int = 1 << 16) -> Client:
    """A TCP client whose proxy wrote this header first."""
    stream = connect(server)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data = header + b"\0LLP" + b"\0\0\0\5hello"
    for begin in range(0, len(data), pieces):
        stream.sendall(data[begin : begin + pieces])
    return Client(stream)


def peer(server: Server) -> str | None:
    """Where the connection comes from that has said something."""
    return server.core.peer(server.count(1)[0][1])


def address_of(client: Client) -> str:
    host, port = client.stream.getsockname()
    return f"{host}:{port}"


@pytest.mark.parametrize("header", [LINE, BINARY_HEADER], ids=["version 1", "version 2"])
@pytest.mark.parametrize("pieces", [1 << 16, 1], ids=["at once", "byte by byte"])
def test_a_header_of_the_proxy_protocol_says_whose_connection_it_is(start: Start, header: bytes, pieces: int) -> None:
    server = start(trusted_proxies=HERE, proxy_protocol=True)
    behind(server, header, pieces=pieces)
    assert peer(server) == "203.0.113.7:56324"
    assert server.core.counters()["proxied"] == 1


@pytest.mark.parametrize("header", [LOCAL, UNKNOWN])
def test_a_proxy_that_speaks_for_itself_keeps_its_address(start: Start, header: bytes) -> None:
    server = start(trusted_proxies=HERE, proxy_protocol=True)
    client = behind(server, header)
    assert peer(server) == address_of(client)
    assert server.core.counters()["proxied"] == 0


@pytest.mark.parametrize(
    "data", [b"\0LLP", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", LINE[:-2] + b"\n", b"PROXY TCP4 x\r\n"]
)
def test_without_a_header_a_trusted_proxy_is_closed_without_a_word(start: Start, data: bytes) -> None:
    server = start(trusted_proxies=HERE, proxy_protocol=True)
    stream = connect(server)
    stream.sendall(data)
    assert stream.recv(1) == b""
    server.until("proxy_failures", 1)
    server.until("connections", 0)


def test_half_a_header_does_not_outlive_the_header_timeout(start: Start) -> None:
    server = start(trusted_proxies=HERE, proxy_protocol=True, header_timeout_ms=300)
    stream = connect(server)
    stream.sendall(BINARY_HEADER[:-1])
    assert stream.recv(1) == b""
    server.until("header_timeouts", 1)


def test_the_header_comes_before_tls(start: Start, tmp_path: Path) -> None:
    chain, key = certificate(tmp_path, "server")
    server = start(tls=(chain, key), trusted_proxies=HERE, proxy_protocol=True)
    stream = connect(server)
    stream.sendall(LINE)
    secure = trust(chain).wrap_socket(stream, server_hostname="localhost")
    assert isinstance(secure, ssl.SSLSocket)
    secure.sendall(b"\0LLP\0\0\0\5hello")
    assert peer(server) == "203.0.113.7:56324"
    secure.close()


@pytest.mark.parametrize("header", [LINE, BINARY_HEADER])
def test_a_header_from_anyone_else_is_just_bad_bytes(start: Start, header: bytes) -> None:
    server = start(trusted_proxies=["192.0.2.0/24"], proxy_protocol=True)
    stream = connect(server)
    stream.sendall(header)
    assert stream.recv(1 << 16).startswith(b"HTTP/1.1 400 ")
    assert server.core.counters()["proxied"] == 0
    admitted(server, Client.connect(server))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["X-Forwarded-For: 198.51.100.1, 203.0.113.7, 127.0.0.9"], "203.0.113.7"),
        (["X-Forwarded-For: 203.0.113.7:4711"], "203.0.113.7:4711"),
        (['Forwarded: for="[2001:db8::7]";proto=https'], "2001:db8::7"),
        (["Forwarded: for=198.51.100.1", "X-Forwarded-For: 203.0.113.7"], "203.0.113.7"),
    ],
)
def test_fields_of_http_say_whose_connection_it_is(start: Start, fields: list[str], expected: str) -> None:
    server = start(trusted_proxies=HERE)
    client = upgraded(server, *fields)
    client.send(b"hello")
    assert peer(server) == expected


@pytest.mark.parametrize("field", ["X-Forwarded-For: unknown", "X-Forwarded-For: 127.0.0.2", "Forwarded: for=_x"])
def test_a_field_that_names_nobody_leaves_the_proxys_address(start: Start, field: str) -> None:
    server = start(trusted_proxies=HERE)
    client = upgraded(server, field)
    client.send(b"hello")
    assert peer(server) == address_of(client)


def test_fields_from_anyone_else_are_ignored(start: Start) -> None:
    server = start(trusted_proxies=["192.0.2.0/24"])
    client = upgraded(server, "X-Forwarded-For: 203.0.113.7")
    client.send(b"hello")
    assert peer(server) == address_of(client)


def test_the_rate_counts_clients_and_not_the_proxy(start: Start) -> None:
    server = start(trusted_proxies=HERE, accept_rate=1, accept_burst=2)
    for last in range(10):
        upgraded(server, f"X-Forwarded-For: 203.0.113.{last}")
    upgraded(server, "X-Forwarded-For: 203.0.113.1")
    refused = Client(connect(server))
    refused.stream.sendall(
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.1\r\nContent-Length: 2\r\n\r\n"
    )
    assert refused.take_until(b"\r\n") == b"HTTP/1.1 429 Too Many Requests"
    assert refused.ended()
    counters = server.core.counters()
    assert (counters["refused_rate"], counters["handshakes"], counters["proxied"]) == (1, 11, 11)


def test_half_open_connections_count_for_the_client_until_they_are_admitted_or_gone(start: Start) -> None:
    server = start(trusted_proxies=HERE, proxy_protocol=True, half_open_per_address=1)
    first = behind(server, LINE)
    connection = server.count(1)[0][1]
    assert behind(server, LINE).ended()
    server.until("refused_half_open", 1)
    server.core.admit(connection)
    server.core.flush()
    server.until("admitted", 1)
    second = behind(server, LINE)
    server.count(1)
    second.stream.close()
    server.until("connections", 1)
    behind(server, LINE)
    server.count(1)
    first.stream.close()


def test_a_websocket_behind_the_proxy_protocol_gets_pings(start: Start) -> None:
    server = start(trusted_proxies=HERE, proxy_protocol=True, ping_ms=100)
    stream = connect(server)
    stream.sendall(LINE)
    client = Client(stream)
    client.stream.sendall(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" + frame(b"hello")
    )
    client.take_until(b"\r\n\r\n")
    assert client.receive() == (9, b"")


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"trusted_proxies": ["10.0.0.0/8", "proxy"]}, 'trusted_proxies: .*got "proxy"'),
        ({"proxy_protocol": True}, "proxy_protocol: expected trusted_proxies beside it"),
    ],
)
def test_a_setting_of_proxies_that_cannot_be_is_refused(limits: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Core(**{**LIMITS, **limits})
