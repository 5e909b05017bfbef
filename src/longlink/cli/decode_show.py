"""For `longlink decode`: one frame as aligned, readable lines, and the place where broken Protocol Buffers break.

Pure. Read next: decode.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from longlink.errors import TABLE
from longlink.protocol.frames import EVENTS, REPLIES, Frame, body_name

SHOWN_BYTES: Final = 32
TIMES: Final = frozenset({"sent_at", "changed_at", "server_time"})
"""Fields that hold ms since the Unix epoch."""
_LAST_MS: Final = 253_402_300_799_999
"""The end of the year 9999, the last that ISO 8601 has four digits for."""

_VARINT, _FIXED64, _LENGTH, _GROUP, _GROUP_END, _FIXED32 = range(6)


def lines(frame: Frame) -> list[str]:
    """The frame for people: what it is, then one line per field, values aligned."""
    name = body_name(frame)
    if name is None:
        title = f"no body that this version knows, id {frame.id}"
        rows = list(_unknown(frame, ""))
    else:
        title = f"{name}, {_role(name, frame.id)}"
        rows = [*_rows(getattr(frame, name), ""), *_unknown(frame, "")]
    width = max((len(label) for label, _ in rows), default=0)
    return [title, *(f"  {label:<{width}}  {value}".rstrip() for label, value in rows)]


def _role(name: str, number: int) -> str:
    if name in EVENTS:
        return "event" if number == 0 else f"event, with an id that it should not have: {number}"
    if name in REPLIES:
        return f"reply to request {number}"
    return f"request {number}" if number else "request without id"


def _rows(message: Message, indent: str) -> Iterator[tuple[str, str]]:
    for field, value in message.ListFields():
        if field.is_repeated:
            for index, item in enumerate(value):
                yield f"{indent}{field.name}[{index}]", ""
                yield from _rows(item, indent + "  ")
        elif field.message_type is not None:
            yield f"{indent}{field.name}", ""
            yield from _rows(value, indent + "  ")
        else:
            yield f"{indent}{field.name}", _value(field, value)
    yield from _unknown(message, indent)


def _unknown(message: Message, indent: str) -> Iterator[tuple[str, str]]:
    fields = UnknownFieldSet(message)
    for index in range(len(fields)):
        yield f"{indent}field {fields[index].field_number}", "of a newer version"


def _value(field: FieldDescriptor, value: Any) -> str:
    if isinstance(value, bytes):
        rest = " ..." if len(value) > SHOWN_BYTES else ""
        return f"{_size(value)}: {value[:SHOWN_BYTES].hex(' ')}{rest}"
    if isinstance(value, str):
        size = f"  ({_size(value.encode())})" if field.name in ("text", "token") else ""
        return quoted(value) + size
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return str(value) if known is None else known.name
    return _number(field.name, value)


def quoted(text: str) -> str:
    """The text as in JSON, and nothing in it that a terminal could obey or hide."""
    shown = json.dumps(text, ensure_ascii=False)
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in shown)


def _size(data: bytes) -> str:
    return "1 byte" if len(data) == 1 else f"{len(data)} bytes"


def _number(name: str, value: int) -> str:
    if name in TIMES and 0 <= value <= _LAST_MS:
        moment = datetime.fromtimestamp(value // 1000, UTC).replace(microsecond=value % 1000 * 1000)
        return f"{moment.strftime('%Y-%m-%dT%H:%M:%S')}.{value % 1000:03}Z  ({value} ms)"
    if name.endswith("_ms"):
        return f"{value} ms"
    if name.endswith("_bytes"):
        return f"{value} bytes"
    if name == "code" and value in TABLE:
        return f"{value}  ({TABLE[value].remedy})"
    return json.dumps(value)


# Where it breaks -----------------------------------------------------------------------------------------------------


class Break(NamedTuple):
    """The first byte that is not Protocol Buffers of our schema, and why."""

    offset: int
    reason: str


class _BrokenError(Exception):
    """Carries a Break up to first_break."""


def first_break(data: bytes) -> Break | None:
    """Walks the bytes as a Frame; None when they are one."""
    try:
        _walk(data, 0, len(data), Frame.DESCRIPTOR)
    except _BrokenError as broken:
        found: Break = broken.args[0]
        return found
    return None


def _walk(data: bytes, at: int, end: int, message: Descriptor | None) -> None:
    """Raises _BrokenError. message: None inside a field that the schema does not know."""
    while at < end:
        begun = at
        tag, at = _varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        if number == 0 or number >= 2**29 or wire in (_GROUP, _GROUP_END) or wire > _FIXED32:
            raise _BrokenError(Break(begun, f"expected the tag of a field, got number {number} with wire type {wire}"))
        field = message.fields_by_number.get(number) if message is not None else None
        name = f"field {number}" if field is None else field.name
        if wire == _LENGTH:
            length, at = _varint(data, at, end)
            if length > end - at:
                raise _BrokenError(Break(at, f"{name} announces {length} bytes, {end - at} are left"))
            _walk_inner(data, at, at + length, field)
            at += length
        elif wire == _VARINT:
            _, at = _varint(data, at, end)
        else:
            at += 8 if wire == _FIXED64 else 4
            if at > end:
                raise _BrokenError(Break(end, f"{name} ends too early"))


def _walk_inner(data: bytes, at: int, end: int, field: FieldDescriptor | None) -> None:
    if field is None:
        return
    if field.message_type is not None:
        _walk(data, at, end, field.message_type)
    elif field.type == FieldDescriptor.TYPE_STRING:
        try:
            data[at:end].decode("utf-8")
        except UnicodeDecodeError as error:
            raise _BrokenError(Break(at + error.start, f"{field.name} is not UTF-8")) from None


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    for count in range(10):
        if at + count >= end:
            raise _BrokenError(Break(end, "a number ends too early"))
        byte = data[at + count]
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, at + count + 1
    raise _BrokenError(Break(at, "a number is longer than 10 bytes"))
