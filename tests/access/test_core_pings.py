"""Pings of the core for WebSockets of browsers and behind proxies, by core/BOUNDARY.md."""

from __future__ import annotations

import time

import pytest

from longlink._core import REPLY

from .core_server import KEY, Client, Server, Start, admitted, connect

PING, PONG = 9, 10
FIELDS = ["Origin: https://chat.example", "X-Forwarded-For: 192.0.2.7", "Forwarded: for=192.0.2.7", "Via: 1.1 proxy"]


def upgraded(server: Server, *fields: str) -> Client:
    client = Client(connect(server))
    lines = [
        "GET / HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {KEY}",
        *fields,
    ]
    client.stream.sendall("\r\n".join([*lines, "", ""]).encode())
    assert client.take_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
    return client


@pytest.mark.parametrize("field", FIELDS)
def test_a_browser_or_proxy_gets_a_ping_after_each_silence(start: Start, field: str) -> None:
    server = start(ping_ms=200)
    client = upgraded(server, field)
    admitted(server, client)
    begun = time.monotonic()
    assert [client.receive() for _ in range(3)] == [(PING, b"")] * 3
    assert 0.5 < time.monotonic() - begun < 3
    assert server.core.counters()["pings_sent"] >= 3


def test_others_get_none_and_no_stream_does(start: Start) -> None:
    server = start(ping_ms=100)
    client, browser = Client.connect(server), upgraded(server, FIELDS[0])
    connection = admitted(server, client)
    admitted(server, browser)
    assert [browser.receive() for _ in range(3)] == [(PING, b"")] * 3
    server.core.send(connection, b"the first that it gets", REPLY)
    server.core.flush()
    assert client.receive() == (2, b"the first that it gets")


def test_zero_switches_pings_off(start: Start) -> None:
    server = start(ping_ms=0)
    browser = upgraded(server, FIELDS[0])
    connection = admitted(server, browser)
    time.sleep(0.2)
    server.core.send(connection, b"first", REPLY)
    server.core.flush()
    assert browser.receive() == (2, b"first")
    assert server.core.counters()["pings_sent"] == 0


def test_what_was_written_spares_the_ping(start: Start) -> None:
    server = start(ping_ms=400)
    browser = upgraded(server, FIELDS[0])
    connection = admitted(server, browser)
    for _ in range(12):
        time.sleep(0.05)
        server.core.send(connection, b"news", REPLY)
        server.core.flush()
        assert browser.receive() == (2, b"news")
    assert server.core.counters()["pings_sent"] == 0


def test_a_pong_is_a_sign_of_life_and_a_peer_without_pongs_is_idle(start: Start) -> None:
    server = start(ping_ms=200, idle_timeout_ms=700)
    living, dead = upgraded(server, FIELDS[0]), upgraded(server, FIELDS[0])
    admitted(server, living)
    gone = admitted(server, dead)
    for _ in range(6):
        assert living.receive() == (PING, b"")
        living.send(b"", PONG)
    assert server.closed(gone) == 4002
    assert server.core.counters()["idle_closed"] == 1
