"""Bytes to frames and back, in both encodings: Protocol Buffers, and JSON text for people.

Whatever comes in, the only exception out is LonglinkError. The two differ in one thing: unknown binary fields are
skipped (a newer peer), unknown JSON fields are refused by name (a typo). Never checks what a value means. Read next:
text.py (JSON), session.py, limits.py.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from typing import Final, cast

from google.protobuf.message import DecodeError

from longlink import errors
from longlink.errors import LonglinkError
from longlink.protocol import bounds, session, text
from longlink.protocol.frames import Frame, FrameName
from longlink.protocol.text import decode_text, encode_text

__all__ = ["Encoding", "decode", "decode_text", "encode", "encode_text"]

SHOWN_BYTES: Final = 4
"""How much of a broken frame an error shows: its first tags and lengths, and nothing of a token behind them."""

SHORT_BYTES: Final = 4_096
"""A frame of so many bytes is built at once; it cannot hold enough fields to take long."""
FIELDS_MAX: Final = 16
"""Fields of a frame itself: an id and one body, and room for those of newer versions."""

_parse = Frame.FromString
_ID_WITHIN: Final = 64
"""Bytes of a JSON text in which its id is looked for."""
_ID: Final = Frame.ID_FIELD_NUMBER
_CONNECT: Final = Frame.CONNECT_FIELD_NUMBER
_BODIES: Final[Mapping[int, FrameName]] = {
    field.number: cast("FrameName", field.name) for field in Frame.DESCRIPTOR.oneofs_by_name["body"].fields
}
_VARINT: Final = 0
_LENGTH: Final = 2
_FOLLOWS: Final[Mapping[int, Callable[[int], int]]] = {
    _VARINT: lambda _: 0,
    1: lambda _: 8,
    _LENGTH: lambda length: length,
    5: lambda _: 4,
}
"""Bytes behind the tag and the varint of a field, by its wire type (protobuf.dev/programming-guides/encoding)."""


def decode(data: bytes) -> Frame:
    """A frame from its Protocol Buffers bytes. Raises FRAME_MALFORMED.

    A body of a newer version gives a frame without body, which session.check refuses under its id.
    """
    try:
        return _parse(data)
    except DecodeError:
        raise _malformed(data) from None


def decode_first(data: bytes) -> Frame:
    """The first frame of a connection: a Connect, and no other body is even looked at.

    Raises FRAME_MALFORMED; FRAME_UNEXPECTED for every other body, with `request`, the id in the frame.
    """
    request = 0
    for number, value in _fields(data):
        if number == _ID:
            request = value & 0xFFFFFFFF
        elif number in _BODIES and number != _CONNECT:
            error = session.unexpected(_BODIES[number], session.State.NEW)
            error.request = request
            try:
                raise error
            finally:
                del error  # its traceback holds this frame: a cycle that keeps the whole message
    return decode(data)


def decode_request(data: bytes) -> Frame:
    """As decode, for servers: a long frame of more than FIELDS_MAX fields is FRAME_MALFORMED without being built."""
    if len(data) > SHORT_BYTES:
        for _ in _fields(data):
            pass
    return decode(data)


def _fields(data: bytes) -> Iterator[tuple[int, int]]:
    """Number and value of each field of the frame itself; the value of a field with a length is its length.

    Raises FRAME_MALFORMED for more than FIELDS_MAX of them, and for bytes that are no fields.
    """
    at = 0
    for _ in range(FIELDS_MAX):
        if at >= len(data):
            return
        tag, at = _varint(data, at)
        value, at = _varint(data, at) if tag & 7 in (_VARINT, _LENGTH) else (0, at)
        at += _FOLLOWS[tag & 7](value) if tag & 7 in _FOLLOWS else len(data) + 1
        if at > len(data):
            raise _malformed(data)
        yield tag >> 3, value
    if at < len(data):
        raise _malformed(data)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift, byte in zip(range(0, 70, 7), data[at : at + 10], strict=False):
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + shift // 7 + 1
    raise _malformed(data)


def _malformed(data: bytes) -> LonglinkError:
    rest = " ..." if len(data) > SHOWN_BYTES else ""
    came = f"{len(data)} bytes: {data[:SHOWN_BYTES].hex(' ')}{rest}"
    return LonglinkError(errors.FRAME_MALFORMED, f"expected a Frame in Protocol Buffers, got {came}")


def encode(frame: Frame) -> bytes:
    """The frame in Protocol Buffers; the same frame gives the same bytes."""
    return frame.SerializeToString(deterministic=True)


class Encoding(enum.Enum):
    """How frames travel on one connection: fixed by the WebSocket subprotocol or by the TCP preface."""

    BINARY = "longlink.v1"
    TEXT = "longlink.v1.json"

    # An enum hashes its name in Python, for each frame that is delivered; members are single objects anyway.
    __hash__ = object.__hash__

    @property
    def subprotocol(self) -> str:
        return self.value

    def decode(self, data: bytes, *, strict: bool = True) -> Frame:
        """Raises FRAME_MALFORMED, FRAME_UNKNOWN, FIELD_INVALID; see decode and decode_text.

        strict: for servers; a client decodes with strict=False, because the server may be newer.
        """
        if self is Encoding.TEXT:
            return decode_text(data, strict=strict, most=bounds.FRAME if strict else None)
        return decode_request(data) if strict else decode(data)

    def decode_first(self, data: bytes) -> Frame:
        """The first frame of a connection. Raises as decode, and FRAME_UNEXPECTED for every body but Connect."""
        return decode_first(data) if self is Encoding.BINARY else text.decode_first(data)

    def request_in(self, data: bytes) -> int:
        """The id with which a frame begins, read without the rest of it; 0 if it begins with something else."""
        if self is Encoding.TEXT:
            return bounds.request_in(data[:_ID_WITHIN].decode("utf-8", "replace"))
        try:
            number, value = next(_fields(data), (0, 0))
        except LonglinkError:
            return 0
        return value & 0xFFFFFFFF if number == _ID else 0

    def encode(self, frame: Frame) -> bytes:
        return encode(frame) if self is Encoding.BINARY else encode_text(frame)
