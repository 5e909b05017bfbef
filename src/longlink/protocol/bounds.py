"""How much one JSON text may hold, checked before any value of it is built.

The time to read a JSON text grows with its values, not with its bytes: 64 KiB of `{},` hold 21,000 objects. Counting
costs a tenth of a millisecond for 64 KiB. What passes here takes about a millisecond to read at most.
Never says whether a text is JSON. Read next: text.py.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from longlink import errors
from longlink.errors import LonglinkError
from longlink.protocol.limits import MARKS_MAX, MENTIONS_MAX


class Bounds(NamedTuple):
    """Most of each in one text, outside its strings.

    objects, arrays: brackets that open one.
    strings: keys and values together.
    commas: what separates numbers and literals too, which are counted by nothing else.
    """

    objects: int
    arrays: int
    strings: int
    commas: int


FRAME: Final = Bounds(objects=256, arrays=16, strings=1_280, commas=1_024)
"""One frame. The largest request, an Ack with 200 marks, has 202 objects and 1,203 strings."""
FIRST: Final = Bounds(objects=4, arrays=2, strings=32, commas=16)
"""The first frame of a connection, which can only be a Connect."""
LIST: Final = Bounds(objects=512, arrays=80, strings=2_048, commas=2_048)
"""A list of frames, however many it has."""

_ID: Final = re.compile(r'\s*\{\s*"id"\s*:\s*([0-9]{1,10})\b').match


def check(text: str, most: Bounds) -> None:
    """Raises FIELD_INVALID if the text holds more, with `request` set when the id comes first in the frame.

    Raises ValueError if it holds more and cannot be JSON, because brackets are not closed.
    """
    if _fits(text, most):
        return
    # A string may hold any number of commas and brackets, so only what is outside the strings decides.
    plain = text.replace("\\\\", "").replace('\\"', "") if "\\" in text else text
    parts = plain.split('"', 2 * most.strings + 1)
    if len(parts) <= 2 * most.strings + 1 and _fits("".join(parts[::2]), most):
        return
    if text.count("{") != text.count("}") or text.count("[") != text.count("]"):
        raise ValueError("not every bracket is closed")
    error = LonglinkError(
        errors.FIELD_INVALID,
        f"expected at most {most.objects} objects, {most.arrays} arrays, {most.strings} strings and {most.commas} "
        f"commas together (marks: at most {MARKS_MAX}, mentions: at most {MENTIONS_MAX}), got more",
    )
    error.request = request_in(text)
    try:
        raise error
    finally:
        del error  # its traceback holds this frame: a cycle that keeps the whole message


def request_in(text: str) -> int:
    """The id that a frame begins with, read without the rest of the frame; 0 if it begins with something else."""
    found = _ID(text)
    request = int(found[1]) if found else 0
    return request if request < 2**32 else 0


def _fits(text: str, most: Bounds) -> bool:
    return (
        text.count('"') <= 2 * most.strings
        and text.count("{") <= most.objects
        and text.count("[") <= most.arrays
        and text.count(",") <= most.commas
    )
