"""Where messages begin and end, however the bytes are cut."""

from __future__ import annotations

import os
import struct
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from longlink.protocol.codec import Encoding
from longlink.testing.framing import Framing, Piece, Shared

UPGRADE = b"GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nSec-WebSocket-Protocol: longlink.v1.json\r\nHost: x\r\n\r\n"
ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nsec-websocket-protocol: longlink.v1.json\r\n\r\n"

payloads = st.lists(st.one_of(st.binary(max_size=300), st.integers(0, 70_000).map(bytes)), max_size=6)


def record(payload: bytes, kind: int = 0) -> bytes:
    return bytes([kind]) + len(payload).to_bytes(3, "big") + payload


def websocket(payload: bytes, first: int, key: bytes) -> bytes:
    flag = 0x80 if key else 0
    if len(payload) < 126:
        head = struct.pack("!BB", first, flag | len(payload))
    elif len(payload) < 65_536:
        head = struct.pack("!BBH", first, flag | 126, len(payload))
    else:
        head = struct.pack("!BBQ", first, flag | 127, len(payload))
    masked = bytes(byte ^ key[index % 4] for index, byte in enumerate(payload)) if key else payload
    return head + key + masked


def cut(data: bytes, at: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in at)})
    return [data[begin:end] for begin, end in pairwise(places)]


def fed(framing: Framing, parts: list[bytes]) -> list[Piece]:
    return [piece for part in parts for piece in framing.feed(part)]


@given(payloads, st.lists(st.integers(0, 1_000_000), max_size=8))
def test_records_are_told_apart_and_nothing_is_changed(messages: list[bytes], at: list[int]) -> None:
    shared = Shared()
    up, down = Framing(shared, up=True), Framing(shared, up=False)
    data = b"\x00LLJ" + b"".join(map(record, messages)) + record(b"\x03\xe8", 1)
    pieces = fed(up, cut(data, at))
    assert b"".join(piece.raw for piece in pieces) == data
    assert [piece.message for piece in pieces] == [None, *messages, None]
    assert (shared.transport, shared.encoding) == ("tcp", Encoding.TEXT)
    back = b"".join(map(record, messages))
    assert [piece.message for piece in fed(down, cut(back, at))] == messages


@given(payloads, st.lists(st.integers(0, 1_000_000), max_size=8))
def test_frames_of_websocket_are_told_apart_and_nothing_is_changed(messages: list[bytes], at: list[int]) -> None:
    shared = Shared()
    up, down = Framing(shared, up=True), Framing(shared, up=False)
    key = os.urandom(4)
    data = UPGRADE + b"".join(websocket(each, 0x81, key) for each in messages) + websocket(b"ping", 0x89, key)
    pieces = fed(up, cut(data, at))
    assert b"".join(piece.raw for piece in pieces) == data
    assert [piece.message for piece in pieces] == [None, *messages, None]
    assert (shared.transport, shared.encoding) == ("ws", Encoding.TEXT)
    back = ANSWER + b"".join(websocket(each, 0x82, b"") for each in messages)
    assert [piece.message for piece in fed(down, cut(back, at))] == [None, *messages]


def test_what_never_became_whole_is_given_back() -> None:
    framing = Framing(Shared(), up=True)
    assert framing.feed(b"\x00LLP" + record(b"whole") + b"\x00\x00\x00\x09half")[1].message == b"whole"
    assert framing.rest() == b"\x00\x00\x00\x09half"
    assert framing.rest() == b""
