"""`longlink decode`: any captured frame, readable. It says what it took the bytes for, and where they break.

Takes Protocol Buffers, JSON, TCP records (with or without preface) and WebSocket frames (masked or not), each as raw
bytes, hex or base64. Never connects anywhere. Read next: decode_wire.py, decode_show.py, proto/SPEC.md.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from longlink.cli import complain

if TYPE_CHECKING:
    from longlink.cli.decode_wire import Part

SUMMARY = "show frames in readable form, from bytes, hex, base64, JSON, TCP records or WebSocket frames"

_hex: Final = re.compile(rb"(?:0x)?(?:[0-9A-Fa-f]{2}[\s:,]*)+").fullmatch
_base64: Final = re.compile(rb"[A-Za-z0-9+/_-]+={0,2}").fullmatch
_NEITHER: Final = "expected hex, base64, JSON, or the bytes of a frame"


class Taken(NamedTuple):
    """form: what the bytes were taken for."""

    form: str
    parts: list[Part]


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input", nargs="*", metavar="FILE|-|HEX", help="a file, - for standard input, or hex, base64 or JSON itself"
    )


def run(options: argparse.Namespace) -> int:
    """Raises FRAME_MALFORMED and its kin with the place, for the command line to print."""
    for line in describe(_read(options.input)):
        sys.stdout.write(line + "\n")
    return 0


def describe(data: bytes) -> Iterator[str]:
    """The lines that are printed for captured bytes. Raises FRAME_MALFORMED, FRAME_UNKNOWN, FIELD_INVALID."""
    unwrapped, written = _unwrap(data)
    taken = _take(unwrapped)
    yield f"{taken.form}{written}"
    for part in taken.parts:
        if part.note:
            yield f"\n{part.note}, at byte {part.offset}"
        yield from _describe(part)


def _read(words: list[str]) -> bytes:
    if words in ([], ["-"]):
        if sys.stdin.buffer.isatty():
            complain("Reading standard input: paste hex, base64 or JSON, then press Enter and Ctrl-D.")
        return sys.stdin.buffer.read()
    if len(words) == 1 and os.path.isfile(words[0]):
        return Path(words[0]).read_bytes()
    return " ".join(words).encode("utf-8", "surrogateescape")


def _unwrap(data: bytes) -> tuple[bytes, str]:
    """The bytes behind hex or base64, and how they were written."""
    text = data.strip()
    if not text or text[0] == 0x7B or any(byte > 0x7E or (byte < 0x20 and byte not in b"\t\r\n") for byte in text):
        return (text if text[:1] == b"{" else data), ""
    if _hex(text):
        return bytes.fromhex(re.sub(rb"^0x|[\s:,]", b"", text).decode()), ", from hex"
    joined = b"".join(text.split())
    if _base64(joined):
        try:
            digits = joined.translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
            return base64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True), ", from base64"
        except binascii.Error:
            pass
    return data, ""


def _take(data: bytes) -> Taken:
    """Decides by the first bytes, which the four forms do not share, and by whether all lengths add up."""
    from longlink.cli import decode_wire
    from longlink.cli.decode_wire import PREFACES, Part

    if data[:1] == b"{":
        return Taken(f"JSON, {len(data)} bytes", [Part("text", data, 0, "")])
    if data[:4] in PREFACES:
        kind = "JSON" if PREFACES[data[:4]] else "Protocol Buffers"
        return Taken(f"TCP connection of {kind}, {len(data)} bytes", list(decode_wire.records(data)))
    if data and data[0] <= 1 and (parts := _whole(decode_wire.records, data)):
        return Taken(f"TCP records, {len(data)} bytes", parts)
    if data and (data[0] <= 2 or 0x80 <= data[0] <= 0x8F) and (parts := _whole(decode_wire.frames, data)):
        return Taken(f"WebSocket frames, {len(data)} bytes", parts)
    if data and data[0] <= 2:
        return Taken("", list(decode_wire.records(data)))
    if data and data[0] in (0x81, 0x82, 0x88, 0x89, 0x8A):
        return Taken("", list(decode_wire.frames(data)))
    return Taken(f"Protocol Buffers, {len(data)} bytes", [Part("binary", data, 0, "")])


def _whole(read: Callable[[bytes], Iterator[Part]], data: bytes) -> list[Part]:
    """All parts, or none when the bytes do not fit."""
    from longlink.errors import LonglinkError

    try:
        return list(read(data))
    except LonglinkError:
        return []


def _describe(part: Part) -> Iterator[str]:
    from longlink.cli import decode_show, decode_wire
    from longlink.errors import TABLE
    from longlink.protocol.codec import decode_text

    if part.kind == "close":
        said = decode_wire.close(part.payload, part.offset)
        remedy = f"  ({TABLE[said.code].remedy})" if said.code in TABLE else ""
        yield f"close {said.code}{remedy}" + (f" {decode_show.quoted(said.reason)}" if said.reason else "")
    elif part.kind in ("ping", "pong"):
        yield f"{part.kind} {part.payload.hex(' ')}".rstrip()
    elif not part.payload:
        yield "heartbeat"
    elif part.kind == "text":
        yield from decode_show.lines(decode_text(part.payload, most=None))
    else:
        yield from _binary(part)


def _binary(part: Part) -> list[str]:
    from longlink import errors
    from longlink.cli import decode_show
    from longlink.errors import LonglinkError
    from longlink.protocol.codec import decode

    try:
        return decode_show.lines(decode(part.payload))
    except LonglinkError as error:
        found = decode_show.first_break(part.payload)
        if found is None:
            raise
        inside = f" of the message at byte {part.offset}" if part.note else ""
        reason = f"at byte {found.offset}{inside}: {found.reason}"
        hint = "" if part.note else f"; {_NEITHER}"
        raise LonglinkError(errors.FRAME_MALFORMED, f"{reason}{hint}") from error
