"""Conformance of the connection core to RFC 6455, over real sockets against `longlink bench serve`.

The chapters follow the Autobahn test suite, whose numbers stand in the comments. Read next: test_sockets.py for the
handshake and TCP records; core/engine/tests/parsers for the same rules without sockets.
"""

from __future__ import annotations

import asyncio
import random
import struct
from itertools import pairwise
from typing import Final

import pytest
from websockets.asyncio.client import connect

from .peer import (
    BINARY,
    CHOPS,
    CLOSE,
    CONTINUATION,
    DEADLINE_S,
    LIMIT,
    PING,
    PONG,
    TEXT,
    Heard,
    Peer,
    answers,
    ended_with,
    fails,
    fragments,
    frame,
    masked,
    size_field,
)

# 1.*: messages


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", [1, 2, 125, 126, 127, 128, 1000])
@pytest.mark.parametrize("chop", CHOPS)
def test_a_message_comes_back(port: int, opcode: int, size: int, chop: int | None) -> None:
    payload = b"*" * size if opcode == TEXT else bytes(index % 256 for index in range(size))
    answers(port, frame(opcode, payload), [Heard(opcode, payload)], chop)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", [65_535, 65_536, 70_000])
@pytest.mark.parametrize("chop", [None, 997])
def test_a_long_message_comes_back(port: int, opcode: int, size: int, chop: int | None) -> None:
    payload = (b"0123456789" * 7_000)[:size]
    answers(port, frame(opcode, payload), [Heard(opcode, payload)], chop)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("chop", [None, 1])
def test_an_empty_message_comes_back_empty_and_of_the_same_kind(port: int, opcode: int, chop: int | None) -> None:
    answers(port, frame(opcode), [Heard(opcode, b"")], chop)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_an_empty_message_in_fragments_comes_back_empty(port: int, opcode: int) -> None:
    answers(port, fragments(opcode, [b"", b"", b""]), [Heard(opcode, b"")])


def test_messages_sent_at_once_come_back_in_order(port: int) -> None:
    payloads = [f"message {number}".encode() for number in range(2_000)]
    stream = b"".join(frame(TEXT, payload) for payload in payloads)
    answers(port, stream, [Heard(TEXT, payload) for payload in payloads])


def test_a_mask_of_zeros_is_a_mask(port: int) -> None:
    answers(port, b"\x82\x83\0\0\0\0abc", [Heard(BINARY, b"abc")])


# 2.*: pings and pongs


@pytest.mark.parametrize("payload", [b"", b"Hello", bytes(range(0xF0, 0x100)), b"\xfe" * 125])
@pytest.mark.parametrize("chop", [None, 1])
def test_a_ping_is_answered_with_its_payload(port: int, payload: bytes, chop: int | None) -> None:
    answers(port, frame(PING, payload), [Heard(PONG, payload)], chop)


@pytest.mark.parametrize("chop", [None, 1])
def test_ten_pings_are_answered_in_order(port: int, chop: int | None) -> None:
    payloads = [f"ping {number}".encode() for number in range(10)]
    answers(port, b"".join(frame(PING, payload) for payload in payloads), [Heard(PONG, p) for p in payloads], chop)


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
@pytest.mark.parametrize("size", [126, 65_536])
def test_a_control_frame_takes_at_most_125_bytes(port: int, opcode: int, size: int) -> None:
    fails(port, frame(opcode, b"\x03\xe8".ljust(size, b"x")), 1002)


@pytest.mark.parametrize("payload", [b"", b"unsolicited", b"x" * 125])
def test_a_pong_that_nobody_asked_for_is_passed_over(port: int, payload: bytes) -> None:
    answers(port, frame(PONG, payload) + frame(PING, b"p"), [Heard(PONG, b"p")])


# 3.*: reserved bits


@pytest.mark.parametrize("rsv", range(1, 8))
@pytest.mark.parametrize("opcode", [TEXT, BINARY, CLOSE, PING, PONG])
def test_a_reserved_bit_ends_the_connection(port: int, rsv: int, opcode: int) -> None:
    assert fails(port, frame(opcode, rsv=rsv) + frame(PING), 1002) == []


@pytest.mark.parametrize("rsv", range(1, 8))
def test_a_reserved_bit_on_a_continuation_ends_the_connection(port: int, rsv: int) -> None:
    data = frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"b", rsv=rsv)
    assert fails(port, data, 1002, chop=1) == []


@pytest.mark.parametrize("rsv", [1, 2, 4])
def test_nothing_behind_a_reserved_bit_is_answered(port: int, rsv: int) -> None:
    before = fails(port, frame(TEXT, b"a") + frame(TEXT, b"b", rsv=rsv) + frame(PING, b"c"), 1002)
    assert before in ([], [Heard(TEXT, b"a")])


# 4.*: opcodes

RESERVED: Final = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]


@pytest.mark.parametrize("opcode", RESERVED)
@pytest.mark.parametrize("payload", [b"", b"payload"])
@pytest.mark.parametrize("chop", [None, 1])
def test_a_reserved_opcode_ends_the_connection(port: int, opcode: int, payload: bytes, chop: int | None) -> None:
    assert fails(port, frame(opcode, payload), 1002, chop) == []


@pytest.mark.parametrize("opcode", RESERVED)
def test_nothing_behind_a_reserved_opcode_is_answered(port: int, opcode: int) -> None:
    before = fails(port, frame(TEXT, b"a") + frame(opcode, b"b") + frame(PING, b"c"), 1002)
    assert before in ([], [Heard(TEXT, b"a")])


# 5.*: fragmentation


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("count", [2, 3, 100])
@pytest.mark.parametrize("chop", CHOPS)
def test_fragments_come_back_as_one_message(port: int, opcode: int, count: int, chop: int | None) -> None:
    pieces = [f"fragment {number} ".encode() for number in range(count)]
    answers(port, fragments(opcode, pieces), [Heard(opcode, b"".join(pieces))], chop)


@pytest.mark.parametrize("chop", [None, 1])
def test_pings_between_fragments_are_answered_at_once(port: int, chop: int | None) -> None:
    with Peer.upgraded(port) as peer:
        peer.send(frame(TEXT, b"one", fin=False) + frame(PING, b"first"), chop)
        assert peer.hear() == Heard(PONG, b"first")
        peer.send(frame(CONTINUATION, b"two", fin=False) + frame(PING, b"second"), chop)
        assert peer.hear() == Heard(PONG, b"second")
        peer.send(frame(CONTINUATION, b"three"), chop)
        assert peer.hear() == Heard(TEXT, b"onetwothree")


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
@pytest.mark.parametrize("chop", [None, 1])
def test_a_fragmented_control_frame_ends_the_connection(port: int, opcode: int, chop: int | None) -> None:
    assert fails(port, frame(opcode, b"", fin=False) + frame(CONTINUATION, b""), 1002, chop) == []


@pytest.mark.parametrize("fin", [True, False])
@pytest.mark.parametrize("chop", [None, 1])
def test_a_continuation_of_nothing_ends_the_connection(port: int, fin: bool, chop: int | None) -> None:
    assert fails(port, frame(CONTINUATION, b"a", fin=fin) + frame(TEXT, b"b"), 1002, chop) == []


@pytest.mark.parametrize("fin", [True, False])
def test_a_continuation_after_a_whole_message_ends_the_connection(port: int, fin: bool) -> None:
    data = fragments(TEXT, [b"a", b"b"]) + frame(CONTINUATION, b"c", fin=fin)
    assert fails(port, data, 1002) in ([], [Heard(TEXT, b"ab")])


@pytest.mark.parametrize("first", [TEXT, BINARY])
@pytest.mark.parametrize("second", [TEXT, BINARY])
@pytest.mark.parametrize("fin", [True, False])
def test_a_new_message_inside_another_ends_the_connection(port: int, first: int, second: int, fin: bool) -> None:
    assert fails(port, frame(first, b"a", fin=False) + frame(second, b"b", fin=fin), 1002) == []


# 6.*: UTF-8

VALID_TEXTS: Final = [
    "Hello-\u00b5@\u00df\u00f6\u00e4\u00fc\u00e0\u00e1-UTF-8!!",
    "\u03ba\u1f79\u03c3\u03bc\u03b5",
    "\x00",
    "\x7f",
    "\u0080",
    "\u07ff",
    "\u0800",
    "\ud7ff",
    "\ue000",
    "\ufeff",
    "\ufffd",
    "\ufffe",
    "\uffff",
    "\U00010000",
    "\U0001f600",
    "\U0010ffff",
]


@pytest.mark.parametrize("text", VALID_TEXTS, ids=ascii)
@pytest.mark.parametrize("chop", [None, 1])
def test_a_text_of_any_character_comes_back(port: int, text: str, chop: int | None) -> None:
    payload = text.encode()
    answers(port, frame(TEXT, payload), [Heard(TEXT, payload)], chop)


@pytest.mark.parametrize("text", VALID_TEXTS, ids=ascii)
def test_a_character_may_be_cut_between_fragments(port: int, text: str) -> None:
    payload = text.encode()
    pieces = [payload[index : index + 1] for index in range(len(payload))]
    answers(port, fragments(TEXT, pieces), [Heard(TEXT, payload)])


# The first impossible byte is the last of each, so that every one of them must fail without more to come.
BAD_TEXTS: Final = [
    b"\x80",
    b"\xbf",
    b"\xc0",
    b"\xc1",
    b"\xf5",
    b"\xfe",
    b"\xff",
    b"\xc2\x41",
    b"\xce\xce",
    b"\xe0\x80",
    b"\xe0\x9f",
    b"\xe2\x82\x41",
    b"\xed\xa0",
    b"\xed\xbf",
    b"\xf0\x80",
    b"\xf0\x8f",
    b"\xf0\x9f\x98\x41",
    b"\xf4\x90",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0",
]


@pytest.mark.parametrize("bad", BAD_TEXTS, ids=bytes.hex)
@pytest.mark.parametrize("chop", [None, 1])
def test_a_text_that_is_not_utf8_ends_the_connection(port: int, bad: bytes, chop: int | None) -> None:
    assert fails(port, frame(TEXT, b"before " + bad + b" after"), 1007, chop) == []


@pytest.mark.parametrize("bad", BAD_TEXTS, ids=bytes.hex)
def test_a_bad_text_fails_before_its_frame_is_complete(port: int, bad: bytes) -> None:
    payload = b"before " + bad
    assert fails(port, frame(TEXT, payload, length=len(payload) + 1_000), 1007) == []


@pytest.mark.parametrize("bad", BAD_TEXTS, ids=bytes.hex)
def test_a_bad_text_fails_in_an_early_fragment(port: int, bad: bytes) -> None:
    pieces = [frame(TEXT, b"one ", fin=False), frame(CONTINUATION, bad, fin=False)]
    assert fails(port, b"".join(pieces), 1007) == []


@pytest.mark.parametrize("cut", [b"\xc2", b"\xe2\x82", b"\xf0\x9f\x98", b"good \xf0\x9f"], ids=bytes.hex)
def test_a_text_must_not_end_within_a_character(port: int, cut: bytes) -> None:
    assert fails(port, frame(TEXT, cut), 1007) == []
    assert fails(port, fragments(TEXT, [cut[:1], cut[1:], b""]), 1007) == []


def test_binary_messages_may_hold_anything(port: int) -> None:
    payload = b"".join(BAD_TEXTS)
    answers(port, frame(BINARY, payload), [Heard(BINARY, payload)])


# 7.*: close


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999])
def test_a_close_is_answered_with_its_code(port: int, code: int) -> None:
    assert fails(port, frame(CLOSE, struct.pack("!H", code)), code) == []


@pytest.mark.parametrize("code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535])
@pytest.mark.parametrize("reason", [b"", b"reason"])
def test_a_close_code_that_must_not_be_sent_is_a_violation(port: int, code: int, reason: bytes) -> None:
    assert fails(port, frame(CLOSE, struct.pack("!H", code) + reason), 1002) == []


@pytest.mark.parametrize("chop", [None, 1])
def test_a_close_without_code_is_answered(port: int, chop: int | None) -> None:
    with Peer.upgraded(port) as peer:
        peer.send(frame(CLOSE), chop)
        heard = peer.hear_all()
    assert ended_with(heard) in (1000, 1005)
    assert len(heard) == 1


def test_a_close_payload_of_one_byte_is_a_violation(port: int) -> None:
    assert fails(port, frame(CLOSE, b"\x03"), 1002) == []


@pytest.mark.parametrize("reason", ["", "bye", "\u03ba\u1f79\u03c3\u03bc\u03b5", "x" * 123])
@pytest.mark.parametrize("chop", [None, 1])
def test_a_close_may_have_a_reason(port: int, reason: str, chop: int | None) -> None:
    assert fails(port, frame(CLOSE, b"\x03\xe8" + reason.encode()), 1000, chop) == []


@pytest.mark.parametrize("bad", BAD_TEXTS, ids=bytes.hex)
def test_a_close_reason_must_be_utf8(port: int, bad: bytes) -> None:
    assert fails(port, frame(CLOSE, b"\x03\xe8" + bad), 1007) == []


@pytest.mark.parametrize("behind", [frame(PING, b"p"), frame(TEXT, b"t"), frame(CLOSE, b"\x03\xe9"), b"\xff" * 50])
def test_nothing_behind_a_close_is_heard(port: int, behind: bytes) -> None:
    assert fails(port, frame(CLOSE, b"\x03\xe8") + behind, 1000) == []


def test_a_close_inside_a_fragmented_message_drops_the_message(port: int) -> None:
    data = frame(TEXT, b"half", fin=False) + frame(CLOSE, b"\x03\xe8") + frame(CONTINUATION, b"other")
    assert fails(port, data, 1000) == []


# 9.*: limits


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", [LIMIT // 4, LIMIT])
@pytest.mark.parametrize("chop", [None, 65_537])
def test_a_message_up_to_the_limit_comes_back(port: int, opcode: int, size: int, chop: int | None) -> None:
    payload = b"0123456789abcdef" * (size // 16)
    answers(port, frame(opcode, payload), [Heard(opcode, payload)], chop)


@pytest.mark.parametrize("piece", [64, 1024, 65_536])
def test_a_message_up_to_the_limit_may_come_in_fragments(port: int, piece: int) -> None:
    payload = b"0123456789abcdef" * (LIMIT // 16)
    pieces = [payload[start : start + piece] for start in range(0, LIMIT, piece)]
    answers(port, fragments(BINARY, pieces), [Heard(BINARY, payload)])


@pytest.mark.parametrize("size", [LIMIT + 1, 1 << 30, 1 << 40, (1 << 63) - 1])
@pytest.mark.parametrize("chop", [None, 1])
def test_a_message_over_the_limit_is_refused_by_its_header(port: int, size: int, chop: int | None) -> None:
    assert fails(port, frame(BINARY, length=size), 1009, chop) == []


def test_a_message_over_the_limit_is_refused_while_it_is_on_its_way(port: int) -> None:
    assert fails(port, frame(BINARY, b"x" * (LIMIT + 1)), 1009) == []


def test_fragments_are_counted_together(port: int) -> None:
    data = frame(BINARY, b"x" * (LIMIT // 2), fin=False) + frame(CONTINUATION, length=LIMIT // 2 + 1)
    assert fails(port, data, 1009) == []


# 10.*: chopping, and lengths


@pytest.mark.parametrize("seed", range(8))
def test_how_the_stream_is_cut_makes_no_difference(port: int, seed: int) -> None:
    rng = random.Random(seed)
    expected: list[Heard] = []
    stream = b""
    for _ in range(60):
        payload = bytes(rng.choices(b"abc", k=rng.choice([0, 1, 125, 126, 1_300, 5_000])))
        cuts = sorted(rng.choices(range(len(payload) + 1), k=rng.randrange(3)))
        pieces = [payload[start:end] for start, end in pairwise([0, *cuts, len(payload)])]
        opcode = rng.choice([TEXT, BINARY])
        stream += fragments(opcode, pieces)
        expected.append(Heard(opcode, payload))
    with Peer.upgraded(port) as peer:
        while stream:
            size = rng.choice([1, 7, 500, 4_000])
            peer.send(stream[:size])
            stream = stream[size:]
        heard = [peer.hear() for _ in expected]
    # An empty message is answered by the core itself, ahead of echoes that pass through Python.
    assert [one for one in heard if one.payload] == [one for one in expected if one.payload]
    assert sorted(one for one in heard if not one.payload) == sorted(one for one in expected if not one.payload)


@pytest.mark.parametrize(
    "header",
    [b"\x82\xfe\x00\x00", b"\x82\xfe\x00\x7d", b"\x82\xff" + bytes(8), b"\x82\xff" + bytes(6) + b"\xff\xff"],
    ids=bytes.hex,
)
@pytest.mark.parametrize("chop", [None, 1])
def test_a_length_must_be_in_its_shortest_form(port: int, header: bytes, chop: int | None) -> None:
    assert fails(port, header + b"\0\0\0\0", 1002, chop) == []


@pytest.mark.parametrize("size", [1 << 63, (1 << 63) + 5, (1 << 64) - 1])
def test_the_highest_bit_of_a_length_must_be_0(port: int, size: int) -> None:
    assert fails(port, b"\x82\xff" + size.to_bytes(8, "big") + b"\0\0\0\0", 1002) == []


@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, CLOSE])
def test_a_frame_that_is_not_masked_ends_the_connection(port: int, opcode: int) -> None:
    assert fails(port, bytes([0x80 | opcode, 5]) + b"\x03\xe8ick", 1002) == []


# Sanity: somebody else's client agrees


def test_the_websockets_library_gets_its_messages_back(port: int) -> None:
    async def converse() -> list[str | bytes]:
        async with connect(f"ws://127.0.0.1:{port}/", max_size=None) as client:
            await (await client.ping(b"p"))
            messages: list[str | bytes] = ["text \u20ac", b"\x00\xff", "x" * 100_000, b"y" * LIMIT]
            for message in messages:
                await client.send(message)
            heard: list[str | bytes] = [await client.recv() for _ in messages]
            assert heard == messages
            return heard

    assert len(asyncio.run(asyncio.wait_for(converse(), DEADLINE_S))) == 4


def test_masking_is_its_own_inverse() -> None:
    for size in (0, 1, 3, 4, 5, 127):
        payload = bytes(range(size))
        assert masked(masked(payload)) == payload
    assert masked(b"Hello") == b"\x7f\x9f\x4d\x51\x58"
    assert size_field(126) == b"\xfe\x00\x7e"
