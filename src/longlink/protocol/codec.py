"""Bytes to frames and back, in both encodings: Protocol Buffers, and its standard JSON mapping for people.

Whatever comes in, the only exception out is LonglinkError, in time proportional to the length. The two differ in one
thing: unknown binary fields are skipped (a newer peer), unknown JSON fields are refused by name (a typo). Never checks
the values of fields. Read next: session.py, limits.py, proto/SPEC.md.
"""

from __future__ import annotations

import enum
import json
from typing import Any, Final, NoReturn

import msgspec
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError

from longlink import errors
from longlink.errors import LonglinkError
from longlink.protocol.frames import Frame

SHOWN_BYTES: Final = 16
"""How much of a broken frame an error shows."""
SHOWN_CHARACTERS: Final = 60
"""How much of a name or a reason that came from outside an error repeats."""

_parse = Frame.FromString
_BODIES: Final = Frame.DESCRIPTOR.oneofs_by_name["body"].fields


def decode(data: bytes) -> Frame:
    """A frame from its Protocol Buffers bytes. Raises FRAME_MALFORMED.

    A body of a newer version gives a frame without body, and session.check refuses it under its id.
    """
    try:
        return _parse(data)
    except DecodeError:
        pass
    raise LonglinkError(
        errors.FRAME_MALFORMED, f"expected a Frame in Protocol Buffers, got {len(data)} bytes: {shown(data)}"
    )


def encode(frame: Frame) -> bytes:
    """The frame in Protocol Buffers; the same frame gives the same bytes."""
    return frame.SerializeToString(deterministic=True)


def decode_text(data: bytes | str) -> Frame:
    """A frame from its JSON text, UTF-8.

    Raises FRAME_MALFORMED (no JSON object), FRAME_UNKNOWN (no such body) or FIELD_INVALID (no such field, or a value of
    another type); the last two with `request`, the id in the frame, so that they can be answered.
    """
    fields = _object(data)
    problem = _misfit(fields, Frame.DESCRIPTOR, "")
    if problem is None:
        frame = Frame()
        try:
            return json_format.ParseDict(fields, frame)
        except (json_format.Error, ValueError, TypeError) as error:
            problem = LonglinkError(errors.FIELD_INVALID, _cut(_reason(error), 3 * SHOWN_CHARACTERS))
    problem.request = _request(fields)
    raise problem


def encode_text(frame: Frame) -> bytes:
    """The frame as one line of JSON, UTF-8, fields in the order of the schema, those at their default left out."""
    return msgspec.json.encode(json_format.MessageToDict(frame))


class Encoding(enum.Enum):
    """How frames travel on one connection: fixed by the WebSocket subprotocol or by the TCP preface."""

    BINARY = "longlink.v1"
    TEXT = "longlink.v1.json"

    @property
    def subprotocol(self) -> str:
        return self.value

    def decode(self, data: bytes) -> Frame:
        """Raises FRAME_MALFORMED, FRAME_UNKNOWN, FIELD_INVALID; see decode and decode_text."""
        return decode(data) if self is Encoding.BINARY else decode_text(data)

    def encode(self, frame: Frame) -> bytes:
        return encode(frame) if self is Encoding.BINARY else encode_text(frame)


def shown(data: bytes) -> str:
    """The first bytes in hex, for errors."""
    rest = " ..." if len(data) > SHOWN_BYTES else ""
    return (data[:SHOWN_BYTES].hex(" ") or "none") + rest


def _object(data: bytes | str) -> dict[str, Any]:
    """The JSON object (RFC 8259) in data. json.loads alone would take NaN, doubled keys and any depth."""
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_pairs, parse_constant=_constant)
    except json.JSONDecodeError as error:
        problem = f"{error.msg} at line {error.lineno} column {error.colno}"
    except UnicodeDecodeError as error:
        problem = f"byte {error.start} is not UTF-8"
    except RecursionError:
        problem = "nested too deeply"
    except ValueError as error:
        problem = _cut(str(error), 2 * SHOWN_CHARACTERS)
    else:
        if isinstance(value, dict):
            return value
        problem = f"the text is a JSON {_kind(value)}"
    raise LonglinkError(errors.FRAME_MALFORMED, f"expected a frame as one JSON object, {len(data)} long: {problem}")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {_cut(twice)!r} is there twice")
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _misfit(value: object, message: Descriptor, path: str) -> LonglinkError | None:
    """The first place where the shape of value is not that of the message; scalars are left to json_format."""
    if not isinstance(value, dict):
        return LonglinkError(errors.FIELD_INVALID, f"{path}: expected an object, got a JSON {_kind(value)}")
    for key, inner in value.items():
        here = f"{path}.{key}" if path else key
        field = message.fields_by_camelcase_name.get(key) or message.fields_by_name.get(key)
        if field is None:
            return _unknown(message, key, here)
        problem = None if inner is None or field.message_type is None else _misfits(inner, field, here)
        if problem is not None:
            return problem
    return None


def _misfits(value: object, field: FieldDescriptor, path: str) -> LonglinkError | None:
    if not field.is_repeated:
        return _misfit(value, field.message_type, path)
    if not isinstance(value, list):
        return LonglinkError(errors.FIELD_INVALID, f"{path}: expected an array, got a JSON {_kind(value)}")
    for index, item in enumerate(value):
        problem = _misfit(item, field.message_type, f"{path}[{index}]")
        if problem is not None:
            return problem
    return None


def _unknown(message: Descriptor, key: str, path: str) -> LonglinkError:
    if message is Frame.DESCRIPTOR:
        known = ", ".join(field.camelcase_name for field in _BODIES)
        return LonglinkError(errors.FRAME_UNKNOWN, f"expected id and one of {known}; got {_cut(key)!r}")
    known = ", ".join(field.camelcase_name for field in message.fields)
    return LonglinkError(errors.FIELD_INVALID, f"{_cut(path)}: no such field; {message.name} has {known}")


def _request(fields: dict[str, Any]) -> int:
    """The id of a frame that was not understood; 0 when it has none that could be answered."""
    request = fields.get("id")
    return request if isinstance(request, int) and not isinstance(request, bool) and 0 < request < 2**32 else 0


def _reason(error: Exception) -> str:
    """json_format wraps its reason once per level; the innermost says it all."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    return str(error).rstrip(".")


def _kind(value: object) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def _cut(text: str, characters: int = SHOWN_CHARACTERS) -> str:
    clean = text.encode("utf-8", "backslashreplace").decode()
    return clean if len(clean) <= characters else clean[:characters] + "..."
