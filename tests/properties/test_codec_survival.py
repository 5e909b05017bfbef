"""Arbitrary frames survive both encodings; arbitrary garbage gives a LonglinkError or a frame, never anything else."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToJson, Parse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longlink.errors import LonglinkError
from longlink.protocol import limits, session
from longlink.protocol.codec import decode, decode_text, encode, encode_text
from longlink.protocol.frames import Frame

SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_STRING: st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=20),
    FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_ENUM: st.sampled_from([0, 1]),
}


def value(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    one = SCALARS[field.type] if field.message_type is None else message(field.message_type)
    return st.lists(one, max_size=3) if field.is_repeated else one


def message(descriptor: Descriptor) -> st.SearchStrategy[dict[str, Any]]:
    """Keyword arguments for a message: any of its plain fields, and one of each oneof."""
    plain = [field for field in descriptor.fields if field.containing_oneof is None]
    base = st.fixed_dictionaries({}, optional={field.name: value(field) for field in plain})
    for oneof in descriptor.oneofs:
        choices = [st.fixed_dictionaries({field.name: value(field)}) for field in oneof.fields]
        base = st.builds(lambda some, one: {**some, **one}, base, st.one_of(st.just({}), *choices))
    return base


frames = message(Frame.DESCRIPTOR).map(lambda fields: Frame(**fields))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
names = [field.json_name for field in Frame.DESCRIPTOR.fields]
bodies = st.dictionaries(st.sampled_from(["seq", "content", "user", "messages"]), json_values, max_size=3)

steady = settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""The same examples on every run, and no judgement by the clock of a busy machine."""


@steady
@given(frames)
def test_a_frame_survives_binary_text_and_binary_again(frame: Frame) -> None:
    data = encode(frame)
    assert decode(data) == frame
    assert encode(decode_text(encode_text(decode(data)))) == data


@steady
@given(frames)
def test_our_text_is_the_standard_mapping(frame: Frame) -> None:
    assert Parse(encode_text(frame), Frame()) == frame
    assert decode_text(MessageToJson(frame)) == frame
    assert decode_text(MessageToJson(frame, preserving_proto_field_name=True, use_integers_for_enums=True)) == frame


@steady
@given(st.binary(max_size=200))
def test_garbage_bytes_raise_nothing_but_our_error(data: bytes) -> None:
    pass_through(data)


@steady
@given(frames, st.data())
def test_damaged_frames_raise_nothing_but_our_error(frame: Frame, data: st.DataObject) -> None:
    whole = bytearray(encode(frame))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(whole)))
        whole[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    pass_through(bytes(whole))


@steady
@given(st.text(max_size=50) | st.binary(max_size=50))
def test_garbage_text_raises_nothing_but_our_error(text: str | bytes) -> None:
    pass_text(text)


@steady
@given(st.dictionaries(st.sampled_from(names), json_values | bodies, max_size=3))
def test_json_of_any_shape_raises_nothing_but_our_error(fields: dict[str, Any]) -> None:
    pass_text(json.dumps(fields))


def pass_through(data: bytes) -> None:
    """What a server does with bytes from outside."""
    with contextlib.suppress(LonglinkError):
        frame = decode(data)
        session.check(session.State.CONNECTED, frame)
        limits.check(frame)


def pass_text(text: str | bytes) -> None:
    for strict in (True, False):
        with contextlib.suppress(LonglinkError):
            decode_text(text, strict=strict)
