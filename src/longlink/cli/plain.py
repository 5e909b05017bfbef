"""Text of strangers on a terminal or in a log: nothing in it may move the cursor, hide or reorder what is around it."""

from __future__ import annotations

from typing import Final

_PICTURES: Final = 0x2400
"""U+2400..: a visible picture for each control character U+0000..U+001F."""
_REORDER: Final = [*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C]
"""Bidirectional controls: with them a text can be shown in another order than it is stored."""

_SAFE: Final = {
    **{code: chr(_PICTURES + code) for code in range(0x20) if code != 0x0A},
    **dict.fromkeys([*range(0x7F, 0xA0), *_REORDER, 0x2028, 0x2029], "\ufffd"),
    0x09: "    ",
}


def block(text: str) -> str:
    """Safe to show; line breaks stay."""
    return text.replace("\r\n", "\n").translate(_SAFE)


def line(text: str) -> str:
    """Safe to show in one line: a line break becomes a sign."""
    return block(text).replace("\n", " ⏎ ")
