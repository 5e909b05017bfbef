"""For `longlink decode`: takes captured bytes apart into messages, from TCP records or WebSocket frames of either side.

Pure: bytes in, parts out, with the offset of everything, because a reader of a capture wants to know where it
breaks. More forgiving than the server, which refuses what no client may send. Read next: decode_show.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from longlink import errors
from longlink.errors import LonglinkError

PREFACES: Final = {b"\x00LLP": False, b"\x00LLJ": True}
"""First bytes of a TCP connection, and whether its messages are JSON."""
NO_CODE: Final = 1005
"""A close without a code (RFC 6455 section 7.4.1)."""

_RECORD_HEADER: Final = 4
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_OPCODES: Final = {_TEXT: "text", _BINARY: "binary", _CLOSE: "close", _PING: "ping", _PONG: "pong"}


class Part(NamedTuple):
    """One message or control message. offset: of its header, in bytes; note: how it travelled, for people."""

    kind: str
    payload: bytes
    offset: int
    note: str


class Close(NamedTuple):
    code: int
    reason: str


def records(data: bytes, *, text: bool | None = None) -> Iterator[Part]:
    """The parts of TCP records, behind an optional preface.

    text: whether messages are JSON; None tells it from the preface, or from the first byte of each message. Raises
    FRAME_MALFORMED with the offset.
    """
    at = 0
    if data[:_RECORD_HEADER] in PREFACES:
        text = PREFACES[data[:_RECORD_HEADER]]
        at = _RECORD_HEADER
    while at < len(data):
        kind = data[at]
        if kind > 1:
            raise broken(at, "the type of a TCP record, 0 (message) or 1 (close)", f"{kind}")
        end = _end(data, at, _RECORD_HEADER, int.from_bytes(data[at + 1 : at + _RECORD_HEADER], "big"))
        payload = data[at + _RECORD_HEADER : end]
        as_text = payload[:1] == b"{" if text is None else text
        yield Part("close" if kind else _message_kind(as_text), payload, at, f"TCP record, {len(payload)} bytes")
        at = end


def frames(data: bytes) -> Iterator[Part]:
    """The parts of WebSocket frames (RFC 6455 section 5.2), masked or not, fragments joined.

    Raises FRAME_MALFORMED with the offset.
    """
    at = 0
    open_message: Part | None = None
    while at < len(data):
        frame = _frame(data, at)
        if frame.opcode >= _CLOSE:
            yield Part(_OPCODES[frame.opcode], frame.payload, at, frame.note)
        else:
            open_message = _join(open_message, frame, at)
            if frame.fin:
                yield open_message
                open_message = None
        at = frame.end
    if open_message is not None:
        raise broken(len(data), "the last fragment of a message", "the end")


def close(payload: bytes, offset: int) -> Close:
    """What a close says: two bytes of code and a reason, or nothing. Raises FRAME_MALFORMED."""
    if len(payload) == 1:
        raise broken(offset, "a close of 0 bytes, or 2 and more", "1")
    if not payload:
        return Close(NO_CODE, "")
    return Close(int.from_bytes(payload[:2], "big"), payload[2:].decode("utf-8", "replace"))


def broken(offset: int, expected: str, came: str) -> LonglinkError:
    return LonglinkError(errors.FRAME_MALFORMED, f"at byte {offset}: expected {expected}, got {came}")


class _Frame(NamedTuple):
    fin: bool
    opcode: int
    payload: bytes
    end: int
    note: str


def _frame(data: bytes, at: int) -> _Frame:
    first, second = data[at], data[at + 1] if at + 1 < len(data) else 0
    opcode = first & 0x0F
    if first & 0x70 or opcode not in {_CONTINUATION, *_OPCODES}:
        raise broken(at, "a WebSocket frame without extensions and with a known opcode", f"{first:02x}")
    extended = {126: 2, 127: 8}.get(second & 0x7F, 0)
    masked = bool(second & 0x80)
    header = 2 + extended + (4 if masked else 0)
    length = int.from_bytes(data[at + 2 : at + 2 + extended], "big") if extended else second & 0x7F
    end = _end(data, at, header, length)
    payload = data[at + header : end]
    if masked:
        payload = _unmask(payload, data[at + header - 4 : at + header])
    side = "masked" if masked else "not masked"
    return _Frame(bool(first & 0x80), opcode, payload, end, f"WebSocket frame, {side}, {length} bytes")


def _unmask(payload: bytes, key: bytes) -> bytes:
    repeated = (key * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(payload), "big")


def _join(before: Part | None, frame: _Frame, at: int) -> Part:
    if (before is None) == (frame.opcode == _CONTINUATION):
        expected = "the first fragment of a message" if before is None else "a continuation of the message before"
        raise broken(at, expected, f"opcode {frame.opcode}")
    if before is None:
        return Part(_message_kind(frame.opcode == _TEXT), frame.payload, at, frame.note)
    payload = before.payload + frame.payload
    note = before.note.partition(",")[0] + f"s, fragments of one message, together {len(payload)} bytes"
    return before._replace(payload=payload, note=note)


def _end(data: bytes, at: int, header: int, length: int) -> int:
    left = len(data) - at
    if left < header:
        raise broken(len(data), f"a header of {header} bytes from byte {at} on", f"the end after {left}")
    if left < header + length:
        raise broken(
            len(data), f"{length} bytes of payload from byte {at + header} on", f"the end after {left - header}"
        )
    return at + header + length


def _message_kind(text: bool) -> str:
    return "text" if text else "binary"
