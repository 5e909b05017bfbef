"""What a key file holds, in words: the kinds that are taken, and those that people put there by mistake.

Only `recognise` decides how a file is read, and it has no default: what it does not know is not a key. `describe` names
the mistake without quoting any of it. Pure. Read next: keys.py.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from enum import Enum
from typing import Final

BOM: Final = b"\xef\xbb\xbf"


class Kind(Enum):
    """How a key file is read."""

    JSON = "a JSON object"
    PEM = "PEM"


_PRINTABLE: Final = bytes(range(0x20, 0x7F)) + b"\t\r\n"
_UTF16: Final = re.compile(rb"(?:[^\0]\0){4,}|(?:\0[^\0]){4,}")
_URL: Final = re.compile(rb"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_OPENSSH: Final = re.compile(rb"(.*\s)?(ssh-|ecdsa-sha2-|sk-ssh-)[\w@.-]+ AAAA")
_MARKUP: Final = re.compile(rb"<[!?a-zA-Z]")
_YAML: Final = re.compile(rb"(---\s*\n|- )?[\w.-]+:(\s|$)")
_TOKEN: Final = re.compile(rb"(Bearer )?eyJ[\w-]*\.[\w-]*\.[\w-]*\s*")
_ASSIGNED: Final = re.compile(rb"(export |set )?[A-Za-z_]{3,}[A-Za-z0-9_]* ?= ?[^=\s]")
_PATH: Final = re.compile(rb"(/|\.{1,2}/|~/|[A-Za-z]:\\)[\w./\\ -]*\.\w{1,8}\s*")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_=\s-]+")
_HEX: Final = re.compile(rb"([0-9A-Fa-f]{2})+")
_SECRET_LIKE: Final = 40
"""Bytes of a long secret; the DER of the shortest public key, of Ed25519, has 44."""
_INNER_BYTES: Final = 16
"""What base64 or hex decodes to is looked at from so many bytes on: a shorter text may match by chance."""


def recognise(data: bytes) -> Kind | None:
    """The kind of a key file. It may begin with a UTF-8 byte order mark and white space; PEM with comments (#) too."""
    text = _text(data)
    if b"\0" in text:
        return None
    if text.startswith(b"{"):
        return Kind.JSON
    text = _without_comments(text)
    return Kind.PEM if text.startswith(b"-----BEGIN ") and b"\\n" not in text else None


def describe(data: bytes) -> str:
    """What a file holds that is no key, in words, such as "HTML or XML"; never shows its content."""
    return _other_text(data) or (_plain(data) if data.strip() else "white space" if data else "nothing")


def why_no_secret(data: bytes) -> str:
    """What the file of a secret holds instead; empty when it may be one."""
    if data.startswith(BOM):
        return "text with a byte order mark"
    if other := _other_text(data):
        return other
    if not data.strip():
        return "white space"
    if not data.strip(b"\0"):
        return "nothing but zeros"
    several = _is_text(data) and not _BASE64.fullmatch(data) and len(data.split(b"\n")) > 1
    return "text of several lines" if several else ""


def _other_text(data: bytes) -> str:
    """The name of a format that is no secret and no key file; empty for what could be a secret."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or _UTF16.fullmatch(data[: len(data) & ~1] or b"-"):
        return "text in UTF-16"
    if not _is_text(data):
        return "DER" if _is_der(data) else ""
    text = _text(data)
    for pattern, name in (
        (_MARKUP, "HTML or XML"),
        (_URL, "a URL"),
        (_OPENSSH, "a key of OpenSSH"),
        (_TOKEN, "a token (JWT)"),
        (_ASSIGNED, "a line NAME=VALUE"),
        (_PATH, "a path"),
        (_YAML, "YAML"),
    ):
        if pattern.match(text):
            return name
    return _pem_of_a_kind(text) or _json_of_a_kind(text) or _key_in_base64(data)


def _is_text(data: bytes) -> bool:
    """Whether most of it is printable. Random bytes are not: what matches a pattern there matches by chance."""
    try:
        data.decode()
    except UnicodeDecodeError:
        others = len(data.translate(None, _PRINTABLE))
    else:
        others = len(data.translate(None, _PRINTABLE + bytes(range(128, 256))))
    return others * 8 < len(data)


def _pem_of_a_kind(text: bytes) -> str:
    if b"-----BEGIN " not in text and b"---- BEGIN " not in text and b"-----END " not in text:
        return ""
    if b"\\n" in text:
        return "PEM whose line ends are written as \\n"
    return "PEM" if text.startswith(b"-----BEGIN ") else "PEM behind other text"


def _json_of_a_kind(text: bytes) -> str:
    """JSON, also when it was cut off."""
    names = {b"{": "a JSON object", b"[": "a JSON array", b'"': "a JSON string"}
    name = names.get(text[:1], "")
    if name and re.match(rb'\{\s*"|\[\s*[\[{"]', text):
        return name
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return ""
    return name


def _key_in_base64(data: bytes) -> str:
    """A key, or another text that is no secret, in base64 or hex."""
    inner = _decoded(data)
    if _is_der(inner) and len(inner) > _SECRET_LIKE:
        return "a key in base64, without the lines of PEM around it"
    name = _other_text(inner) if len(inner) >= _INNER_BYTES and _is_text(inner) else ""
    return f"{name} in base64 or hex" if name else ""


def _decoded(data: bytes) -> bytes:
    digits = b"".join(data.split())
    if _HEX.fullmatch(digits):
        return bytes.fromhex(digits.decode())
    if not _BASE64.fullmatch(data):
        return b""
    digits = digits.translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        return base64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True)
    except binascii.Error:
        return b""


def _is_der(data: bytes) -> bool:
    """Whether data is one SEQUENCE (ITU-T X.690) and nothing behind it."""
    if len(data) < 2 or data[0] != 0x30:
        return False
    size, begin = data[1], 2
    if size & 0x80:
        count = size & 0x7F
        size, begin = int.from_bytes(data[2 : 2 + count]), 2 + count
    return begin + size == len(data)


def _plain(data: bytes) -> str:
    if _BASE64.fullmatch(data):
        return "what looks like text in base64 or hex"
    return "what looks like text" if _is_text(data) else "what looks like raw bytes"


def _text(data: bytes) -> bytes:
    return data.removeprefix(BOM).lstrip()


def _without_comments(text: bytes) -> bytes:
    while text.startswith(b"#"):
        text = text.partition(b"\n")[2].lstrip()
    return text
