"""What the application hands to the methods of a client: each value is checked before anything is done with it.

A wrong value is FIELD_INVALID with the name of the argument, what it may be and what came, whatever its type; so no
error of Protocol Buffers or of an encoding reaches the application. The server's own rules are in protocol/limits.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NoReturn

from longlink import errors
from longlink.client.events import Message
from longlink.errors import LonglinkError
from longlink.protocol.frames import Content, Custom
from longlink.protocol.limits import SEQ_MAX

SHOWN: Final = 100
"""Characters of a refused value that an error repeats; bits of a number."""


def text(value: object, name: str) -> str:
    """A str that can be encoded: half a surrogate pair, as from a broken file name, cannot."""
    if not isinstance(value, str):
        _wrong(name, "a str", value)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        said = f"{name}: expected valid Unicode, got half a surrogate pair at character {error.start}"
        raise LonglinkError(errors.FIELD_INVALID, said) from None
    return value


def whole(value: object, name: str, least: int = 0) -> int:
    """A whole number from least to the largest seq."""
    if not isinstance(value, int) or isinstance(value, bool):
        _wrong(name, "a whole number", value)
    if not least <= value <= SEQ_MAX:
        raise LonglinkError(errors.FIELD_INVALID, f"{name}: expected {least} to {SEQ_MAX}, got {shown(value)}")
    return value


def flag(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        _wrong(name, "True or False", value)
    return value


def message(value: object, name: str) -> Message:
    if not isinstance(value, Message):
        _wrong(name, "a Message", value)
    text(value.conversation, f"{name}.conversation")
    whole(value.seq, f"{name}.seq")
    return value


def text_content(value: object, mentions: object, mentions_all: object) -> Content:
    """The content of a text message."""
    users = _users(mentions)
    return Content(text=text(value, "text"), mentions=users, mentions_all=flag(mentions_all, "mentions_all"))


def custom_content(kind: object, data: object, mentions: object, mentions_all: object) -> Content:
    """The content of a message of the application's own kind."""
    if not isinstance(data, bytes | bytearray | memoryview):
        _wrong("data", "bytes", data)
    custom = Custom(type=text(kind, "kind"), data=bytes(data))
    return Content(custom=custom, mentions=_users(mentions), mentions_all=flag(mentions_all, "mentions_all"))


def shown(value: object) -> str:
    """A refused value, for an error: short, and safe for numbers that Python would not turn into text."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > SHOWN:
        return f"a number of {value.bit_length()} bits"
    if value is None or isinstance(value, str | int | float):
        return f"{value!a:.{SHOWN}}"
    return type(value).__name__


def _users(mentions: object) -> list[str]:
    if isinstance(mentions, str | bytes) or not isinstance(mentions, Iterable):
        _wrong("mentions", "a list of user names", mentions)
    return [text(user, "mentions") for user in mentions]


def _wrong(name: str, expected: str, value: object) -> NoReturn:
    raise LonglinkError(errors.FIELD_INVALID, f"{name}: expected {expected}, got {type(value).__name__}")
