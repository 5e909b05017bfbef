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
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, NoReturn, cast

import msgspec
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from longlink import errors
from longlink.errors import LonglinkError, Row
from longlink.protocol import bounds, limits, session
from longlink.protocol.frames import Frame, FrameName, RequestName, body_name

SHOWN: Final = 60
"""How many characters of a name or value from outside an error repeats."""
DIGITS_MAX: Final = 40
"""Characters of one number: the longest that a field takes has 20 digits."""


def decode_text(data: bytes | str, *, strict: bool = True, most: bounds.Bounds | None = bounds.FRAME) -> Frame:
    """A frame from its JSON text, UTF-8.

    strict: refuse fields that the schema does not have, as servers do; otherwise skip them, as clients must, because
    the server may be newer.
    most: how much the text may hold; None: everything, as clients need, because a page holds more than any request.
    Raises FRAME_MALFORMED (not one JSON object), FRAME_UNKNOWN (no such body) or FIELD_INVALID (no such field, a
    value that does not fit, or too many of them); the last two with `request`, the id in the frame, so that they can
    be answered.
    """
    return _frame(_object(data, most), strict)


def decode_first(data: bytes | str) -> Frame:
    """The first frame of a connection: a Connect, and no other body is even looked at.

    Raises as decode_text, and FRAME_UNEXPECTED for every other body.
    """
    fields = _object(data, bounds.FIRST)
    for key in fields:
        field = _FRAME.fields.get(key)
        if field is not None and field.name not in ("id", "connect"):
            error = session.unexpected(cast("FrameName", field.name), session.State.NEW)
            error.request = _request(fields)
            try:
                raise error
            finally:
                del error  # its traceback holds this frame: a cycle that keeps the whole message
    return _frame(fields, strict=True)


def decode_body(name: RequestName, data: bytes) -> Frame:
    """The request `name` whose fields are this JSON object; nothing at all stands for an empty one. Its id is 1.

    Raises as decode_text.
    """
    frame = Frame(id=1)
    body = getattr(frame, name)
    body.SetInParent()
    shape = _FRAME.fields[name].shape
    if data.strip() and shape is not None:
        try:
            _fill(body, _object(data, bounds.FRAME), shape, strict=True)
        except _MisfitError as misfit:
            raise misfit.error(_json_name(name)) from None
    return frame


def decode_list(data: bytes, name: str, most: int) -> list[Frame | LonglinkError]:
    """The frames of {name: [frame, ...]}, 1 to most; one that is wrong is its error, under its id.

    Raises FRAME_MALFORMED, or FIELD_INVALID when it is no list of so many or holds more than bounds.LIST.
    """
    fields = _object(data, bounds.LIST)
    items = fields.pop(name, None)
    if fields:
        raise LonglinkError(errors.FIELD_INVALID, f"{_shown(next(iter(fields)))}: no such field; there is {name} alone")
    if not isinstance(items, list) or not 1 <= len(items) <= most:
        came = f"{len(items)} of them" if isinstance(items, list) else f"a JSON {_kind(items)}"
        raise LonglinkError(errors.FIELD_INVALID, f"{name}: expected an array of 1 to {most} frames, got {came}")
    return [_item(item, f"{name}[{index}]") for index, item in enumerate(items)]


def _item(item: object, path: str) -> Frame | LonglinkError:
    try:
        return _frame(item, strict=True, path=path)
    except LonglinkError as error:
        return error


def _frame(fields: object, strict: bool, path: str = "") -> Frame:
    frame = Frame()
    try:
        _fill(frame, fields, _FRAME, strict)
    except _MisfitError as misfit:
        error = misfit.error(path)
        error.request = _request(fields) if isinstance(fields, dict) else 0
        try:
            raise error from None
        finally:
            del error  # its traceback holds this frame: a cycle that keeps the whole message
    return frame


def encode_body(frame: Frame) -> bytes:
    """As encode_text, but the fields of its body alone."""
    return msgspec.json.encode(json_format.MessageToDict(getattr(frame, str(body_name(frame)))))


def encode_text(frame: Frame) -> bytes:
    """The frame as one line of JSON, UTF-8, fields in the order of the schema, those at their default left out."""
    return msgspec.json.encode(json_format.MessageToDict(frame))


# JSON ----------------------------------------------------------------------------------------------------------------


def _object(data: bytes | str, most: bounds.Bounds | None) -> dict[str, Any]:
    """The JSON object (RFC 8259) in data. json.loads alone would take NaN and doubled keys."""
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        if most is not None:
            bounds.check(text, most)
        value = json.loads(
            text, object_pairs_hook=_pairs, parse_int=_whole, parse_float=_real, parse_constant=_constant
        )
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


def _whole(digits: str) -> int:
    return int(_short(digits))


def _real(digits: str) -> float:
    return float(_short(digits))


def _short(digits: str) -> str:
    """The time to read a number grows with the square of its digits."""
    if len(digits) > DIGITS_MAX:
        raise ValueError(f"a number of {len(digits)} characters")
    return digits


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _request(fields: dict[str, Any]) -> int:
    """The id of a frame that was not understood; 0 when it has none that could be answered."""
    request = fields.get("id")
    return request if isinstance(request, int) and not isinstance(request, bool) and 0 < request < 2**32 else 0


# The shape of messages -----------------------------------------------------------------------------------------------

Scalar = Callable[[object], object]
"""Turns a JSON value into the field's value. Raises _MisfitError."""


class _MisfitError(Exception):
    """A value that does not fit. The path to it grows while the exception goes up, so that a good frame needs none."""

    def __init__(self, problem: str, row: Row = errors.FIELD_INVALID, *, quoted: bool = False) -> None:
        super().__init__(problem)
        self._problem = problem
        self._row = row
        self._quoted = quoted
        self._path = ""

    def within(self, step: str) -> None:
        """step: a key with a dot before it, or an index in brackets."""
        self._path = step + self._path

    def error(self, path: str) -> LonglinkError:
        """path: to where reading began."""
        whole = path + self._path if path else self._path.removeprefix(".")
        return LonglinkError(self._row, f"{_shown(whole) if self._quoted else whole}: {self._problem}")


class _Field(NamedTuple):
    """slot: what only one key of an object may fill: the field, or the oneof it is in. most: items, if repeated."""

    name: str
    slot: str
    repeated: bool
    most: int
    shape: _Shape | None
    scalar: Scalar | None


class _Shape(NamedTuple):
    name: str
    fields: Mapping[str, _Field]


def _fill(message: Message, value: object, shape: _Shape, strict: bool) -> None:
    if not isinstance(value, dict):
        raise _misfit("an object", value)
    filled: set[str] = set()
    for key, inner in value.items():
        field = shape.fields.get(key)
        try:
            if field is None and strict:
                raise _unknown(shape)
            if field is None or inner is None:
                continue
            if field.slot in filled:
                raise _MisfitError(f"expected one {field.slot}, got a second one")
            filled.add(field.slot)
            if field.repeated:
                _extend(getattr(message, field.name), field, inner, strict)
            elif field.scalar is not None:
                setattr(message, field.name, field.scalar(inner))
            elif field.shape is not None:
                part = getattr(message, field.name)
                part.SetInParent()
                _fill(part, inner, field.shape, strict)
        except _MisfitError as misfit:
            misfit.within(f".{key}")
            raise


def _extend(items: Any, field: _Field, value: object, strict: bool) -> None:
    if not isinstance(value, list):
        raise _misfit("an array", value)
    if strict and len(value) > field.most:
        raise _MisfitError(f"expected at most {field.most} of them, got {len(value)}")
    for index, item in enumerate(value):
        try:
            if field.scalar is not None:
                items.append(field.scalar(item))
            elif field.shape is not None:
                _fill(items.add(), item, field.shape, strict)
        except _MisfitError as misfit:
            misfit.within(f"[{index}]")
            raise


def _unknown(shape: _Shape) -> _MisfitError:
    known = ", ".join(dict.fromkeys(_json_name(field.name) for field in shape.fields.values()))
    row = errors.FRAME_UNKNOWN if shape is _FRAME else errors.FIELD_INVALID
    return _MisfitError(f"no such field; {shape.name} has {known}", row, quoted=True)


def json_names(message: str) -> str:
    """An error of limits.check for a caller who writes JSON: the path at its beginning as JSON spells it.

    "send.client_id: expected ..." becomes "send.clientId: expected ...".
    """
    path, colon, rest = message.partition(":")
    return ".".join(map(_json_name, path.split("."))) + colon + rest if _path(path) else message


def _json_name(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


# Values --------------------------------------------------------------------------------------------------------------

_surrogate: Final = re.compile("[\ud800-\udfff]").search
_path: Final = re.compile(r"[a-z_]+(\.[a-z_]+)*").fullmatch
_decimal: Final = re.compile(r"-?[0-9]{1,20}").fullmatch
_URL_SAFE: Final = str.maketrans("-_", "+/")


def _integer(least: int, most: int) -> Scalar:
    def convert(value: object) -> int:
        number = value
        if (isinstance(value, str) and _decimal(value)) or (isinstance(value, float) and value.is_integer()):
            number = int(value)
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
            raise _misfit(f"a whole number from {least} to {most}", value)
        return number

    return convert


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise _misfit("true or false", value)
    return value


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise _misfit("a string", value)
    if not value.isascii() and _surrogate(value):
        raise _MisfitError("expected Unicode text, got half of a surrogate pair")
    return value


def _secret(value: object) -> str:
    """As _string, for a field whose value no error may show, whatever is wrong with it."""
    if not isinstance(value, str):
        raise _MisfitError("expected a string, got something else; it is not shown because the field is secret")
    return _string(value)


def _bytes(value: object) -> bytes:
    if isinstance(value, str) and value.isascii():
        digits = value.translate(_URL_SAFE).rstrip("=")
        try:
            return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
        except binascii.Error:
            pass
    raise _misfit("base64", value)


def _choice(field: FieldDescriptor) -> Scalar:
    numbers = {} if field.enum_type is None else {value.name: value.number for value in field.enum_type.values}
    number = _integer(-(2**31), 2**31 - 1)

    def convert(value: object) -> object:
        if not isinstance(value, str):
            return number(value)
        if value not in numbers:
            raise _misfit(f"one of {', '.join(numbers)}", value)
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
        if field.GetOptions().debug_redact:
            scalar = _secret
        slot = field.name if field.containing_oneof is None else field.containing_oneof.name
        most = limits.REPEATED.get(field.full_name, sys.maxsize)
        known = _Field(field.name, slot, field.is_repeated, most, inner, scalar)
        fields[field.json_name] = fields[field.name] = known
    return _Shape(message.name, fields)


_FRAME: Final = _shape(Frame.DESCRIPTOR)


# Errors --------------------------------------------------------------------------------------------------------------


def _misfit(expected: str, came: object) -> _MisfitError:
    got = _shown(came) if isinstance(came, str | int | float) else f"a JSON {_kind(came)}"
    return _MisfitError(f"expected {expected}, got {got}")


def _shown(value: object) -> str:
    shown = json.dumps(value[: SHOWN + 1] if isinstance(value, str) else value)
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."


def _kind(value: object) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
