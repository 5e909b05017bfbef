"""What the fields of a request may hold: one function per request in CHECKS, built from a few rules.

A rule costs well under a microsecond, because every message passes through here. It never looks at tokens (access
does), at the size of the whole frame (the connection core does) or at what is stored. Read next: proto/SPEC.md, limits.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Final

from longlink import errors
from longlink.errors import LonglinkError
from longlink.protocol.frames import (
    VERSION,
    Ack,
    Connect,
    Content,
    Frame,
    ListConversations,
    Mark,
    ReadHistory,
    RequestName,
    Sync,
    body_name,
)

NAME_MAX: Final = 64
"""Characters of a device, a conversation, a client_id and an agent; UTF-8 bytes of a user."""
KEY_MAX: Final = 512
"""Characters of Connect.key."""
TYPE_MAX: Final = 128
"""Characters of Custom.type."""
CURSOR_MAX: Final = 256
"""Characters of a cursor and of an epoch."""
PAGE_MAX: Final = 200
"""Entries or conversations of one page."""
PAGE_DEFAULT: Final = 50
"""The same when the request says 0."""
MESSAGES_MAX: Final = 100
"""Messages of each conversation in one answer to Sync."""
MESSAGES_DEFAULT: Final = 20
"""The same when the request says 0."""
MARKS_MAX: Final = 200
"""Marks in one Ack."""
MENTIONS_MAX: Final = 50
"""Users whom one message mentions by name."""
REPEATED: Final[Mapping[str, int]] = {"longlink.v1.Ack.marks": MARKS_MAX, "longlink.v1.Content.mentions": MENTIONS_MAX}
"""Most items of a repeated field of a request, by its full name in the schema."""
SEQ_MAX: Final = 2**53 - 1
"""Largest seq, and largest time in ms: what every number of JSON and JavaScript holds exactly."""

_device: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}").fullmatch
_platform: Final = re.compile(r"[a-z0-9-]{0,16}").fullmatch
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""General categories (UAX #44) that no name has: control, format, surrogate, private, unassigned, separators."""
_JOINERS: Final = "\u200c\u200d"
_FILLERS: Final = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters and symbols that show nothing: the fillers of Hangul, and Braille without a dot."""
_control: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]").search


def check(frame: Frame) -> None:
    """Raises FIELD_INVALID, or VERSION_UNSUPPORTED for Connect.version, naming the field, the rule and what came.

    A frame that is no request passes: session.check is what refuses it.
    """
    rule = CHECKS.get(body_name(frame))  # type: ignore[arg-type]
    if rule is not None:
        rule(frame)


def check_user(user: str, field: str) -> None:
    """A user name: 1..64 bytes of UTF-8, no control and no invisible characters, no white space at its ends.

    field: how the error calls it, such as `open_direct.user` or `sub`. Raises FIELD_INVALID.
    """
    if not user or len(user.encode("utf-8", "surrogatepass")) > NAME_MAX or _control(user) or user != user.strip():
        raise _invalid(field, "1 to 64 bytes of UTF-8, no control characters, no white space at its ends", user)
    if not user.isascii() and (character := _invisible(user)):
        expected = "a name without invisible, private or unassigned characters (proto/SPEC.md, section 5.6)"
        raise LonglinkError(errors.FIELD_INVALID, f"{field}: expected {expected}; got U+{ord(character):04X}")


def _invisible(user: str) -> str:
    """The first character of a name that nobody could see or tell from another one; empty if there is none.

    U+200C and U+200D join letters of Persian and Indic scripts and parts of emoji: between two other characters that
    are not ASCII they are seen.
    """
    for place, character in enumerate(user):
        if character in _JOINERS:
            around = (user[place - 1 : place], user[place + 1 : place + 2])
            if any(not each or each.isascii() or each in _JOINERS for each in around):
                return character
        elif unicodedata.category(character) in _UNSEEN or character in _FILLERS:
            return character
    return ""


def check_device(device: str, field: str) -> None:
    """1 to 64 characters of A-Z a-z 0-9 . _ : - name an installation. Raises FIELD_INVALID."""
    if not _device(device):
        raise _invalid(field, "1 to 64 characters of A-Z a-z 0-9 . _ : -", device)


def check_platform(platform: str, field: str) -> None:
    """At most 16 characters of a-z 0-9 - name a kind of device. Raises FIELD_INVALID."""
    if not _platform(platform):
        raise _invalid(field, "at most 16 characters of a-z 0-9 -", platform)


def check_printable(value: str, field: str, most: int = NAME_MAX) -> None:
    """1..most characters of printable ASCII, 0x20 to 0x7E. Raises FIELD_INVALID."""
    if not (0 < len(value) <= most and value.isascii() and value.isprintable()):
        raise _invalid(field, f"1 to {most} characters of printable ASCII", value)


def check_range(value: int, field: str, least: int, most: int) -> None:
    """Raises FIELD_INVALID unless least <= value <= most."""
    if not least <= value <= most:
        raise _invalid(field, f"{least} to {most}", value)


def check_content(content: Content, field: str) -> None:
    """One kind is set: a text that is not empty, or a custom content with a type; mentions. Raises FIELD_INVALID."""
    kind = content.WhichOneof("kind")
    if kind == "text":
        if not content.text:
            raise _invalid(f"{field}.text", "at least 1 character", "")
    elif kind == "custom":
        check_printable(content.custom.type, f"{field}.custom.type", TYPE_MAX)
    else:
        raise LonglinkError(errors.FIELD_INVALID, f"{field}: expected a text or a custom content, got neither")
    if content.mentions:
        check_range(len(content.mentions), f"{field}.mentions: number of users", 0, MENTIONS_MAX)
        for user in content.mentions:
            check_user(user, f"{field}.mentions")


def _connect(frame: Frame) -> None:
    request: Connect = frame.connect
    if request.version != VERSION:
        raise LonglinkError(errors.VERSION_UNSUPPORTED, f"connect.version: expected {VERSION}, got {request.version}")
    check_device(request.device, "connect.device")
    if request.agent:
        check_printable(request.agent, "connect.agent")
    if not (len(request.key) <= KEY_MAX and request.key.isascii() and (request.key.isprintable() or not request.key)):
        # A key is a secret: an error shows none of it, because errors are logged.
        message = f"connect.key: expected at most {KEY_MAX} characters of printable ASCII, got others or more"
        raise LonglinkError(errors.FIELD_INVALID, message)
    check_range(request.received, "connect.received", 0, SEQ_MAX)
    check_platform(request.platform, "connect.platform")


def _open_direct(frame: Frame) -> None:
    check_user(frame.open_direct.user, "open_direct.user")


def _send(frame: Frame) -> None:
    request = frame.send
    check_printable(request.conversation, "send.conversation")
    check_printable(request.client_id, "send.client_id")
    check_content(request.content, "send.content")


def _ack(frame: Frame) -> None:
    request: Ack = frame.ack
    if not request.marks:
        _mark(request, "ack")
        return
    if request.conversation or request.seq or request.read:
        raise LonglinkError(errors.FIELD_INVALID, "ack: expected one mark or marks, got both")
    check_range(len(request.marks), "ack.marks: number", 1, MARKS_MAX)
    for mark in request.marks:
        _mark(mark, "ack.marks")


def _mark(mark: Ack | Mark, field: str) -> None:
    seq, read = mark.seq, mark.read
    check_printable(mark.conversation, f"{field}.conversation")
    if seq or not read:
        check_range(seq, f"{field}.seq", 1, SEQ_MAX)
    check_range(read, f"{field}.read", 0, SEQ_MAX)


def _read_history(frame: Frame) -> None:
    request: ReadHistory = frame.read_history
    check_printable(request.conversation, "read_history.conversation")
    check_range(request.limit, "read_history.limit", 0, PAGE_MAX)
    check_range(request.after, "read_history.after", 0, SEQ_MAX)
    check_range(request.before, "read_history.before", 0, SEQ_MAX)


def _list_conversations(frame: Frame) -> None:
    request: ListConversations = frame.list_conversations
    check_range(request.since, "list_conversations.since", 0, SEQ_MAX)
    check_range(request.limit, "list_conversations.limit", 0, PAGE_MAX)
    if request.cursor:
        check_printable(request.cursor, "list_conversations.cursor", CURSOR_MAX)


def _sync(frame: Frame) -> None:
    request: Sync = frame.sync
    check_range(request.since, "sync.since", 0, SEQ_MAX)
    check_range(request.limit, "sync.limit", 0, PAGE_MAX)
    check_range(request.messages, "sync.messages", 0, MESSAGES_MAX)
    check_range(request.newest, "sync.newest", 0, SEQ_MAX)
    if request.epoch:
        check_printable(request.epoch, "sync.epoch", CURSOR_MAX)
    if request.cursor:
        check_printable(request.cursor, "sync.cursor", CURSOR_MAX)


def _nothing(_: Frame) -> None:
    """Every value of every field is allowed."""


CHECKS: Final[Mapping[RequestName, Callable[[Frame], None]]] = {
    "connect": _connect,
    "open_direct": _open_direct,
    "send": _send,
    "ack": _ack,
    "read_history": _read_history,
    "list_conversations": _list_conversations,
    "sync": _sync,
    "adjust": _nothing,
    "logout": _nothing,
}


def _invalid(field: str, expected: str, came: str | int) -> LonglinkError:
    if isinstance(came, str):
        came = f"{len(came)} characters, {came[:NAME_MAX]!a}" if came else "nothing: it is missing or empty"
    return LonglinkError(errors.FIELD_INVALID, f"{field}: expected {expected}; got {came}")
