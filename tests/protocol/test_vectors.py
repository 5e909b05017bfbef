"""The golden vectors of proto/vectors, against the Python codec, states and field rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from longlink.errors import LonglinkError
from longlink.protocol import limits, session
from longlink.protocol.codec import Encoding, decode, decode_text, encode, encode_text
from longlink.protocol.frames import EVENTS, REPLIES, REQUESTS, Frame, body_name

VECTORS: Final = Path(__file__).parents[2] / "proto" / "vectors"
Vector = dict[str, Any]


def read(file: str, kind: str) -> list[Any]:
    """One test parameter per vector of a list."""
    vectors = json.loads((VECTORS / file).read_text("utf-8"))[kind]
    assert vectors, f"{file} has no {kind}"
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


def as_text(vector: Vector) -> Frame:
    return decode_text(json.dumps(vector["json"]))


@pytest.mark.parametrize("vector", read("frames.json", "frames"))
def test_a_frame_reads_and_writes_alike_in_both_encodings(vector: Vector) -> None:
    data = bytes.fromhex(vector["hex"])
    assert decode(data) == as_text(vector)
    assert encode(as_text(vector)).hex() == vector["hex"]
    assert json.loads(encode_text(decode(data))) == vector["json"]


def test_every_body_has_a_vector() -> None:
    names = {body_name(as_text(parameter.values[0])) for parameter in read("frames.json", "frames")}
    assert names == {*REQUESTS, *REPLIES, *EVENTS}


@pytest.mark.parametrize("vector", read("malformed.json", "binary"))
def test_broken_bytes_are_refused(vector: Vector) -> None:
    data = bytes.fromhex(vector["hex"])
    with pytest.raises(LonglinkError, match=f"got {len(data)} bytes: {data[:4].hex(' ')}") as caught:
        decode(data)
    assert caught.value.name == vector["error"]


@pytest.mark.parametrize("vector", read("malformed.json", "binary_taken"))
def test_odd_bytes_are_taken(vector: Vector) -> None:
    assert json.loads(encode_text(decode(bytes.fromhex(vector["hex"])))) == vector["json"]


@pytest.mark.parametrize("vector", read("malformed.json", "text"))
def test_broken_text_is_refused(vector: Vector) -> None:
    with pytest.raises(LonglinkError) as caught:
        decode_text(vector["text"])
    assert (caught.value.name, caught.value.request) == (vector["error"], vector["request"])


@pytest.mark.parametrize("vector", read("malformed.json", "text_taken"))
def test_odd_text_is_taken(vector: Vector) -> None:
    assert json.loads(encode_text(decode_text(vector["text"]))) == vector["json"]


@pytest.mark.parametrize("vector", read("malformed.json", "refused"))
def test_a_frame_out_of_place_or_out_of_range_is_refused(vector: Vector) -> None:
    text = json.dumps(vector["json"])
    sent = {Encoding.TEXT: text.encode(), Encoding.BINARY: encode(decode_text(text, strict=False))}
    for encoding, data in sent.items():
        with pytest.raises(LonglinkError) as caught:
            take(session.State(vector["state"]), encoding, data)
        assert (encoding, caught.value.name) == (encoding, vector["error"])


def take(state: session.State, encoding: Encoding, data: bytes) -> None:
    """What a server does with a frame before it looks at its meaning."""
    frame = encoding.decode(data) if state is session.State.CONNECTED else encoding.decode_first(data)
    session.check(state, frame)
    limits.check(frame)
