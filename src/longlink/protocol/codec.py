"""Bytes to frames and back, in both encodings: Protocol Buffers, and JSON text for people.

Whatever comes in, the only exception out is LonglinkError. The two differ in one thing: unknown binary fields are
skipped (a newer peer), unknown JSON fields are refused by name (a typo). Never checks what a value means. Read next:
text.py (JSON), session.py, limits.py.
"""

from __future__ import annotations

import enum
from typing import Final

from google.protobuf.message import DecodeError

from longlink import errors
from longlink.errors import LonglinkError
from longlink.protocol.frames import Frame
from longlink.protocol.text import decode_text, encode_text

__all__ = ["Encoding", "decode", "decode_text", "encode", "encode_text"]

SHOWN_BYTES: Final = 16
"""How much of a broken frame an error shows."""

_parse = Frame.FromString


def decode(data: bytes) -> Frame:
    """A frame from its Protocol Buffers bytes. Raises FRAME_MALFORMED.

    A body of a newer version gives a frame without body, which session.check refuses under its id.
    """
    try:
        return _parse(data)
    except DecodeError:
        rest = " ..." if len(data) > SHOWN_BYTES else ""
        came = f"{len(data)} bytes: {data[:SHOWN_BYTES].hex(' ')}{rest}"
    raise LonglinkError(errors.FRAME_MALFORMED, f"expected a Frame in Protocol Buffers, got {came}")


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
        return decode(data) if self is Encoding.BINARY else decode_text(data, strict=strict)

    def encode(self, frame: Frame) -> bytes:
        return encode(frame) if self is Encoding.BINARY else encode_text(frame)
