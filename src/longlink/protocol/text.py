"""The JSON twin: frames as JSON text and back, by the standard JSON mapping of Protocol Buffers, for people.

Stricter than the library's own parser, which takes broken base64, doubled fields and errors without a place: whatever
does not fit is refused with its path, what was expected and what came. Time grows with the length only. Built from the
schema, so a new field needs nothing here. Read next: codec.py; https://protobuf.dev/programming-guides/json/.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, NoReturn

import msgspec
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from longlink import errors
from longlink.errors import LonglinkError
from longlink.protocol.frames import Frame, RequestName, body_name

SHOWN: Final = 60
"""How many characters of a name or value from outside an error repeats."""


def decode_text(data: bytes | str, *, strict: bool = True) -> Frame:
    """A frame from its JSON text, UTF-8.

    strict: refuse fields that the schema does not have, as servers do; otherwise skip them, as clients must, because
    the server may be newer.
    Raises FRAME_MALFORMED (not one JSON object), FRAME_UNKNOWN (no such body) or FIELD_INVALID (no such field, or a
    value that does not fit); the last two with `request`, the id in the frame, so that they can be answered.
    """
    fields = _object(data)
    frame = Frame()
    try:
        _fill(frame, fields, _FRAME, "", strict)
    except LonglinkError as error:
        error.request = _request(fields)
        raise
    return frame


def decode_body(name: RequestName, data: bytes) -> Frame:
    """The request `name` whose fields are this JSON object; nothing at all stands for an empty one. Its id is 1.

    Raises as decode_text.
    """
    frame = Frame(id=1)
    body = getattr(frame, name)
    body.SetInParent()
    shape = _FRAME.fields[name].shape
    if data.strip() and shape is not None:
        _fill(body, _object(data), shape, name, strict=True)
    return frame


def decode_list(data: bytes, name: str, most: int) -> list[Frame | LonglinkError]:
    """The frames of {name: [frame, ...]}, 1 to most; one that is wrong is its error, under its id.

    Raises FRAME_MALFORMED, or FIELD_INVALID when it is no list of so many.
    """
    fields = _object(data)
    items = fields.pop(name, None)
    if fields:
        raise LonglinkError(errors.FIELD_INVALID, f"{_shown(next(iter(fields)))}: no such field; there is {name} alone")
    if not isinstance(items, list) or not 1 <= len(items) <= most:
        came = f"{len(items)} of them" if isinstance(items, list) else f"a JSON {_kind(items)}"
        raise LonglinkError(errors.FIELD_INVALID, f"{name}: expected an array of 1 to {most} frames, got {came}")
    return [_item(item, f"{name}[{index}]") for index, item in enumerate(items)]


def _item(item: object, path: str) -> Frame | LonglinkError:
    frame = Frame()
    try:
        _fill(frame, item, _FRAME, path, strict=True)
    except LonglinkError as error:
        error.request = _request(item) if isinstance(item, dict) else 0
        return error
    return frame


def encode_body(frame: Frame) -> bytes:
    """As encode_text, but the fields of its body alone."""
    return msgspec.json.encode(json_format.MessageToDict(getattr(frame, str(body_name(frame)))))


def encode_text(frame: Frame) -> bytes:
    """The frame as one line of JSON, UTF-8, fields in the order of the schema, those at their default left out."""
    return msgspec.json.encode(json_format.MessageToDict(frame))


# JSON ----------------------------------------------------------------------------------------------------------------


def _object(data: bytes | str) -> dict[str, Any]:
    """The JSON object (RFC 8259) in data. json.loads alone would take NaN and doubled keys."""
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
        problem = str(error).partition(";")[0]
    else:
        if isinstance(value, dict):
            return value
        problem = f"it is a JSON {_kind(value)}"
    raise LonglinkError(
        errors.FRAME_MALFORMED, f"expected one JSON object, got a text of length {len(data)}: {problem}"
    )


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise ValueError(f"the key {_shown(key)} is there twice")
        seen.add(key)
    raise AssertionError("a dict is shorter than its pairs only if a key repeats")


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _request(fields: dict[str, Any]) -> int:
    """The id of a frame that was not understood; 0 when it has none that could be answered."""
    request = fields.get("id")
    return request if isinstance(request, int) and not isinstance(request, bool) and 0 < request < 2**32 else 0


# The shape of messages -----------------------------------------------------------------------------------------------

Scalar = Callable[[object, str], object]
"""Turns a JSON value into the field's value. Raises FIELD_INVALID with the path it is given."""


class _Field(NamedTuple):
    """slot: what only one key of an object may fill: the field, or the oneof it is in."""

    name: str
    slot: str
    repeated: bool
    shape: _Shape | None
    scalar: Scalar | None


class _Shape(NamedTuple):
    name: str
    fields: Mapping[str, _Field]


def _fill(message: Message, value: object, shape: _Shape, path: str, strict: bool) -> None:
    if not isinstance(value, dict):
        raise _misfit(path, "an object", value)
    filled: set[str] = set()
    for key, inner in value.items():
        here = f"{path}.{key}" if path else key
        field = shape.fields.get(key)
        if field is None and strict:
            raise _unknown(shape, key, here)
        if field is None or inner is None:
            continue
        if field.slot in filled:
            raise LonglinkError(errors.FIELD_INVALID, f"{here}: expected one {field.slot}, got a second one")
        filled.add(field.slot)
        _set(message, field, inner, here, strict)


def _set(message: Message, field: _Field, value: object, path: str, strict: bool) -> None:
    if field.repeated:
        _extend(getattr(message, field.name), field, value, path, strict)
    elif field.scalar is not None:
        setattr(message, field.name, field.scalar(value, path))
    elif field.shape is not None:
        inner = getattr(message, field.name)
        inner.SetInParent()
        _fill(inner, value, field.shape, path, strict)


def _extend(items: Any, field: _Field, value: object, path: str, strict: bool) -> None:
    if not isinstance(value, list):
        raise _misfit(path, "an array", value)
    for index, item in enumerate(value):
        here = f"{path}[{index}]"
        if field.scalar is not None:
            items.append(field.scalar(item, here))
        elif field.shape is not None:
            _fill(items.add(), item, field.shape, here, strict)


def _unknown(shape: _Shape, key: str, path: str) -> LonglinkError:
    known = ", ".join(dict.fromkeys(_json_name(field.name) for field in shape.fields.values()))
    row = errors.FRAME_UNKNOWN if shape is _FRAME else errors.FIELD_INVALID
    return LonglinkError(row, f"{_shown(path)}: no such field; {shape.name} has {known}")


def _json_name(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


# Values --------------------------------------------------------------------------------------------------------------

_decimal: Final = re.compile(r"-?[0-9]{1,20}").fullmatch
_URL_SAFE: Final = str.maketrans("-_", "+/")


def _integer(least: int, most: int) -> Scalar:
    def convert(value: object, path: str) -> int:
        number = value
        if (isinstance(value, str) and _decimal(value)) or (isinstance(value, float) and value.is_integer()):
            number = int(value)
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
            raise _misfit(path, f"a whole number from {least} to {most}", value)
        return number

    return convert


def _boolean(value: object, path: str) -> bool:
    if not isinstance(value, bool):
        raise _misfit(path, "true or false", value)
    return value


def _string(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise _misfit(path, "a string", value)
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise LonglinkError(errors.FIELD_INVALID, f"{path}: expected Unicode text, got half of a surrogate pair")
    return value


def _bytes(value: object, path: str) -> bytes:
    if isinstance(value, str) and value.isascii():
        digits = value.translate(_URL_SAFE).rstrip("=")
        try:
            return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
        except binascii.Error:
            pass
    raise _misfit(path, "base64", value)


def _choice(field: FieldDescriptor) -> Scalar:
    numbers = {} if field.enum_type is None else {value.name: value.number for value in field.enum_type.values}
    number = _integer(-(2**31), 2**31 - 1)

    def convert(value: object, path: str) -> object:
        if not isinstance(value, str):
            return number(value, path)
        if value not in numbers:
            raise _misfit(path, f"one of {', '.join(numbers)}", value)
        return numbers[value]

    return convert


_SCALARS: Final[Mapping[int, Scalar]] = {
    FieldDescriptor.TYPE_UINT32: _integer(0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: _integer(0, 2**64 - 1),
    FieldDescriptor.TYPE_INT64: _integer(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_BOOL: _boolean,
    FieldDescriptor.TYPE_STRING: _string,
    FieldDescriptor.TYPE_BYTES: _bytes,
}


def _shape(message: Descriptor) -> _Shape:
    fields: dict[str, _Field] = {}
    for field in message.fields:
        inner = None if field.message_type is None else _shape(field.message_type)
        scalar = _choice(field) if field.enum_type is not None else _SCALARS.get(field.type)
        slot = field.name if field.containing_oneof is None else field.containing_oneof.name
        fields[field.json_name] = fields[field.name] = _Field(field.name, slot, field.is_repeated, inner, scalar)
    return _Shape(message.name, fields)


_FRAME: Final = _shape(Frame.DESCRIPTOR)


# Errors --------------------------------------------------------------------------------------------------------------


def _misfit(path: str, expected: str, came: object) -> LonglinkError:
    got = _shown(came) if isinstance(came, str | int | float) else f"a JSON {_kind(came)}"
    return LonglinkError(errors.FIELD_INVALID, f"{path}: expected {expected}, got {got}")


def _shown(value: object) -> str:
    shown = json.dumps(value)
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."


def _kind(value: object) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
