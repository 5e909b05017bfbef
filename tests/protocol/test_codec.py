"""What the vectors cannot say: the words of errors, and input made to hurt."""

from __future__ import annotations

import time

import pytest
from google.protobuf.internal import api_implementation

from longlink import errors
from longlink.errors import LonglinkError
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
    with pytest.raises(LonglinkError, match=r"got 20 bytes: ff ff( ff){14} \.\.\.$"):
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
