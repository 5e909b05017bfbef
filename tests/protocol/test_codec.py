"""What the vectors cannot say: the words of errors, and input made to hurt."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import pytest
from google.protobuf.internal import api_implementation

from longlink import errors
from longlink.errors import LonglinkError
from longlink.protocol import limits, session
from longlink.protocol.codec import Encoding, decode, decode_text
from longlink.protocol.frames import Ack, Conversation, Frame, body_name, error_frame

FRAME = Frame(id=7, ack=Ack(conversation="c", seq=3))


def refusal(text: bytes | str) -> LonglinkError:
    with pytest.raises(LonglinkError) as caught:
        decode_text(text)
    return caught.value


def test_the_fast_implementation_is_in_use() -> None:
    assert api_implementation.Type() == "upb"


def test_an_encoding_reads_what_it_wrote() -> None:
    for encoding in Encoding:
        assert encoding.decode(encoding.encode(FRAME)) == FRAME
    assert Encoding.TEXT.encode(FRAME) == b'{"id":7,"ack":{"conversation":"c","seq":"3"}}'


def test_the_subprotocols_are_those_of_the_specification() -> None:
    assert [encoding.subprotocol for encoding in Encoding] == ["longlink.v1", "longlink.v1.json"]


def test_broken_bytes_are_shown_in_hex_up_to_a_bound() -> None:
    with pytest.raises(LonglinkError, match=r"got 20 bytes: ff ff( ff){2} \.\.\.$"):
        decode(b"\xff" * 20)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id":1,\n "ack" 5}', "line 2 column 8"),
        (b'{"id":1,"ack":"\xff"}', "byte 15 is not UTF-8"),
        ("[1]", "it is a JSON array"),
        ('{"id":1,"id":2}', 'the key "id" is there twice'),
        ('{"id":NaN}', "NaN is not JSON"),
        ('{"id":1,"send":{"clientid":"x"}}', '"send.clientid": no such field; Send has conversation, clientId, con'),
        ('{"id":1,"sned":{}}', '"sned": no such field; Frame has id, connect, openDirect'),
        ('{"id":1,"ack":{"seq":"x"}}', 'ack.seq: expected a whole number from 0 to 18446744073709551615, got "x"'),
        ('{"id":1,"ack":[]}', "ack: expected an object, got a JSON array"),
        ('{"id":1,"ack":{},"send":{}}', "send: expected one body, got a second one"),
        ('{"id":1,"history":{"messages":[{},{"seq":{}}]}}', r"history.messages[1].seq: expected a whole number"),
    ],
)
def test_an_error_in_text_says_where_and_what(text: bytes | str, message: str) -> None:
    assert message in refusal(text).message


BOMBS = {
    "nested arrays": "[" * 500_000,
    "nested objects": '{"a":' * 200_000,
    "a huge number": '{"id":' + "9" * 500_000 + "}",
    "a huge string of digits": '{"id":"' + "9" * 500_000 + '"}',
    "a huge exponent": '{"id":1e999999999}',
    "a huge exponent in a string": '{"id":"1e999999999"}',
    "a huge key": '{"' + "k" * 500_000 + '":1}',
    "a huge key in a body": '{"id":1,"ack":{"' + "k" * 500_000 + '":1}}',
    "many keys": "{" + ",".join(f'"k{n}":1' for n in range(50_000)) + "}",
    "a doubled key after many": "{" + ",".join(f'"k{n}":1' for n in range(50_000)) + ',"k49999":1}',
    "many wrong items": '{"id":1,"history":{"messages":[' + "{}," * 100_000 + "5]}}",
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_soon_and_in_few_words(text: str) -> None:
    begun = time.thread_time()
    error = refusal(text)
    assert time.thread_time() - begun < 5.0
    assert len(error.message) < 400
    assert error.row in (errors.FRAME_MALFORMED, errors.FRAME_UNKNOWN, errors.FIELD_INVALID)


@pytest.mark.parametrize(
    ("text", "request_id"),
    [('{"id":9,"x":1}', 9), ('{"x":1}', 0), ('{"id":true,"x":1}', 0), ('{"id":"9","x":1}', 0), ('{"x":1,"id":-1}', 0)],
)
def test_a_refusal_carries_the_id_where_it_can_be_read(text: str, request_id: int) -> None:
    assert refusal(text).request == request_id


def test_a_client_skips_what_a_newer_server_says() -> None:
    newer = b'{"message":{"seq":"4","mood":{"deep":[1]}},"extra":null}'
    assert Encoding.TEXT.decode(newer, strict=False).message.seq == 4
    assert body_name(Encoding.TEXT.decode(b'{"id":0,"typing":{}}', strict=False)) is None
    with pytest.raises(LonglinkError):
        Encoding.TEXT.decode(newer)


def test_values_of_the_wrong_type_are_refused_also_by_clients() -> None:
    with pytest.raises(LonglinkError, match=r"message\.seq"):
        Encoding.TEXT.decode(b'{"message":{"seq":[]}}', strict=False)


def test_an_enum_travels_by_name_or_number() -> None:
    for kind in ('"DIRECT"', "1"):
        frame = decode_text('{"id":1,"conversation":{"kind":' + kind + "}}")
        assert frame.conversation.kind == Conversation.DIRECT
    assert "KIND_UNSPECIFIED, DIRECT" in refusal('{"conversation":{"kind":"X"}}').message


def test_an_error_becomes_a_reply() -> None:
    frame = error_frame(LonglinkError(errors.OVERLOADED, "20000 writes are waiting", retry_after_ms=500), 7)
    assert frame.id == 7
    assert (frame.error.code, frame.error.name, frame.error.retry_after_ms) == (4010, "overloaded", 500)
    assert frame.error.message == "20000 writes are waiting"


# Frames that are dear to read ----------------------------------------------------------------------------------------

LONGEST = 65_536
CALLS_MAX = 12_000
"""Calls of functions for one frame: about a millisecond. Reading 21,000 empty marks takes 150,000."""
SEND_HEAD = '{"id":1,"send":{"conversation":"c","clientId":"1","content":{"text":'
MARK = '{"conversation":"abcdefghijklmnopqrstu","seq":"17","read":"17"}'


def long(head: str, unit: str, tail: str, between: str = "") -> bytes:
    """As many units as a frame holds."""
    times = (LONGEST - len(head) - len(tail)) // len((unit + between).encode())
    return (head + between.join([unit] * times) + tail).encode()


TOO_MUCH = {
    "marks without fields": long('{"id":1,"ack":{"marks":[', "{}", "]}}", ","),
    "marks": long('{"id":1,"ack":{"marks":[', '{"seq":1}', "]}}", ","),
    "201 marks": b'{"id":1,"ack":{"marks":[' + b",".join([MARK.encode()] * 201) + b"]}}",
    "mentions": long(SEND_HEAD + '"x","mentions":[', '""', "]}}}", ","),
    "items of an event": long('{"id":1,"synced":{"changes":[', "{}", "]}}", ","),
    "numbers": long('{"id":1,"ack":{"marks":[', "1", "]}}", ","),
    "arrays": long('{"id":1,"ack":{"marks":[', "[]", "]}}", ","),
    "nested arrays": b'{"id":1,"ack":{"marks":[' + b"[" * 900 + b"]" * 900 + b"]}}",
    "keys": b'{"id":1,"ack":{' + b",".join(b'"%d":1' % number for number in range(7_000)) + b"}}",
    "doubled keys": long('{"id":1,"ack":{', '"a":1', "}}", ","),
}
ENOUGH = {
    "a text of brackets": (long(SEND_HEAD + '"', "{[,:", '"}}}'), "send"),
    "a text of quotes": (long(SEND_HEAD + '"', '\\"', '"}}}'), "send"),
    "a text of backslashes and commas": (long(SEND_HEAD + '"', "\\\\,", '"}}}'), "send"),
    "a text of euros": (long(SEND_HEAD + '"', "€", '"}}}'), "send"),
    "200 marks": (b'{"id":1,"ack":{"marks":[' + b",".join([MARK.encode()] * 200) + b"]}}", "ack"),
}


def calls_of(work: Callable[[], object]) -> int:
    """How many functions are called, in Python and in C, until the work is done or refused."""
    calls = 0

    def count(_: object, event: str, __: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        work()
    except LonglinkError:
        pass
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("text", TOO_MUCH.values(), ids=TOO_MUCH)
def test_a_text_of_too_many_values_is_refused_under_its_id_before_they_are_built(text: bytes) -> None:
    error = refusal(text)
    assert (error.row, error.request) == (errors.FIELD_INVALID, 1)
    assert "at most 200" in error.message
    assert calls_of(lambda: decode_text(text)) < CALLS_MAX


@pytest.mark.parametrize(("text", "name"), ENOUGH.values(), ids=ENOUGH)
def test_the_largest_requests_are_taken_and_cost_no_more_than_a_bound(text: bytes, name: str) -> None:
    limits.check(decode_text(text))
    assert body_name(decode_text(text)) == name
    assert calls_of(lambda: limits.check(decode_text(text))) < CALLS_MAX


def test_a_client_reads_pages_that_no_server_would_take() -> None:
    page = b'{"id":1,"history":{"messages":[' + b",".join([b"{}"] * 1_000) + b"]}}"
    assert len(Encoding.TEXT.decode(page, strict=False).history.messages) == 1_000


FIRST_TEXTS = TOO_MUCH | {name: text for name, (text, _) in ENOUGH.items()}
STRANGER_CALLS_MAX = 300


@pytest.mark.parametrize("text", FIRST_TEXTS.values(), ids=FIRST_TEXTS)
def test_a_stranger_is_refused_before_anything_is_built(text: bytes) -> None:
    with pytest.raises(LonglinkError) as caught:
        Encoding.TEXT.decode_first(text)
    assert caught.value.row in (errors.FRAME_UNEXPECTED, errors.FIELD_INVALID)
    assert caught.value.request == 1
    assert calls_of(lambda: Encoding.TEXT.decode_first(text)) < STRANGER_CALLS_MAX


EMPTY_MARKS = b"\x08\x07\x6a\x80\x80\x02" + b"\x22\x00" * 16_384
UNKNOWN_FIELDS = b"\x08\x07" + b"\x98\x06\x01" * 20_000
BODIES = b"\x08\x07" + b"\x6a\x00\x62\x00" * 16_000


def test_a_stranger_says_connect_and_nothing_else_in_binary_too() -> None:
    for data in (EMPTY_MARKS, BODIES, b"\x08\x07\x6a\x00"):
        with pytest.raises(LonglinkError, match="ack is not allowed while new; allowed: connect") as caught:
            Encoding.BINARY.decode_first(data)
        assert (caught.value.row, caught.value.request) == (errors.FRAME_UNEXPECTED, 7)
        assert calls_of(lambda data=data: Encoding.BINARY.decode_first(data)) < STRANGER_CALLS_MAX  # type: ignore[misc]
    hello = Frame(id=7, connect={"version": 1, "token": "t", "device": "d"})  # type: ignore[arg-type]
    for encoding in Encoding:
        assert encoding.decode_first(encoding.encode(hello)) == hello


def test_a_frame_that_is_cut_short_or_no_frame_is_refused_from_a_stranger() -> None:
    for data in (b"\x08", b"\x08" + b"\xff" * 11, b"\x52\x05\x08", b"\x9b\x06" * 20, b"\x09\x01", b"\x0d\x01"):
        with pytest.raises(LonglinkError, match="expected a Frame in Protocol Buffers") as caught:
            Encoding.BINARY.decode_first(data)
        assert caught.value.row == errors.FRAME_MALFORMED


def test_a_frame_of_very_many_fields_is_refused_before_it_is_built() -> None:
    for data in (UNKNOWN_FIELDS, BODIES):
        with pytest.raises(LonglinkError, match="expected a Frame in Protocol Buffers"):
            Encoding.BINARY.decode(data)
    few = Frame(id=7).SerializeToString() + UNKNOWN_FIELDS[2:32]
    assert Encoding.BINARY.decode(few).id == 7


def test_a_number_of_very_many_digits_is_refused() -> None:
    for digits in ("1" * 41, "1." + "0" * 40, "1e" + "0" * 40):
        assert "a number of 4" in refusal('{"id":' + digits + "}").message


def test_what_a_stranger_may_not_say_is_named_as_the_states_name_it() -> None:
    for frame in (FRAME, Frame(id=7, sent={"seq": 1})):  # type: ignore[arg-type]
        with pytest.raises(LonglinkError) as wanted:
            session.check(session.State.NEW, frame)
        for encoding in Encoding:
            with pytest.raises(LonglinkError) as caught:
                encoding.decode_first(encoding.encode(frame))
            assert (caught.value.message, caught.value.request) == (wanted.value.message, 7)
