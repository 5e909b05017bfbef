"""The floor speaks the room protocol, whole and in pieces, and outlives its clients."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

import pytest
from websockets.sync.client import ClientConnection, connect

from longlink.bench.floor import floor
from longlink.bench.server import program

ANSWER_S = 10.0
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
REQUEST = f"GET / HTTP/1.1\r\nHost: floor\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n".encode()
ABC = b"\x82\x83\0\0\0\0abc"
"""A message of three bytes; its mask changes nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    made = floor()
    if made is None:
        pytest.skip("no C compiler")
    with program([made.program]) as serving:
        yield serving.port


@contextlib.contextmanager
def client(port: int) -> Iterator[ClientConnection]:
    with connect(f"ws://127.0.0.1:{port}/", compression=None, ping_interval=None) as link:
        yield link


def received(link: ClientConnection) -> str | bytes:
    return link.recv(timeout=ANSWER_S)


def joined(link: ClientConnection) -> None:
    link.send(b"+")
    link.send(b"ready")
    assert received(link) == b"ready"


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 4_000, 16_000])
def test_a_message_comes_back(port: int, size: int) -> None:
    with client(port) as link:
        link.send(b"x" * size)
        assert received(link) == b"x" * size


def test_text_comes_back_as_text_and_a_ping_is_answered(port: int) -> None:
    with client(port) as link:
        link.send("+")
        assert received(link) == "+"
        assert link.ping(b"hello").wait(ANSWER_S)


@pytest.mark.parametrize("word", [b"=", b"~"])
@pytest.mark.parametrize("size", [0, 1, 124, 125, 126, 3_000])
def test_what_is_published_reaches_every_member_once_the_sender_too(port: int, word: bytes, size: int) -> None:
    with client(port) as sender, client(port) as member, client(port) as stranger:
        joined(sender)
        joined(member)
        joined(member)
        sender.send(word + b"y" * size)
        sender.send(b"=end")
        for link in (sender, member):
            assert [received(link), received(link)] == [b"y" * size, b"end"]
        stranger.send(b"nothing else")
        assert received(stranger) == b"nothing else"


def test_a_member_that_goes_without_a_word_is_forgotten(port: int) -> None:
    with client(port) as sender, client(port) as member:
        with client(port) as leaver:
            joined(leaver)
            joined(member)
            reset = struct.pack("ii", 1, 0)
            leaver.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            leaver.socket.shutdown(socket.SHUT_RDWR)
        with client(port) as stranger:
            for number in range(100):
                sender.send(b"=%d" % number)
            assert [received(member) for _ in range(100)] == [b"%d" % number for number in range(100)]
            stranger.send(b"in its place, but no member")
            assert received(stranger) == b"in its place, but no member"


def test_requests_and_frames_may_come_in_pieces_and_together(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in REQUEST:
            link.send(bytes((byte,)))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += link.recv(1)
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
        link.sendall(ABC * 2 + ABC[:4])
        link.sendall(ABC[4:])
        answer = b""
        while len(answer) < 15:
            answer += link.recv(15)
        assert answer == b"\x82\x03abc" * 3


def test_a_client_that_stops_in_the_middle_of_a_frame_harms_nobody(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S) as link:
        link.sendall(REQUEST + ABC[:5])
    with client(port) as other:
        other.send(b"still there")
        assert received(other) == b"still there"
