"""Names of users: what they may hold, in tokens and in requests alike; and that errors show nothing of a secret."""

from __future__ import annotations

from typing import Final

import pytest

from longlink.errors import LonglinkError
from longlink.protocol.frames import Connect, Frame
from longlink.protocol.limits import check, check_user

INVISIBLE: Final[dict[str, str]] = {
    "right-to-left override": "a\u202eb",
    "right-to-left mark": "a\u200fb",
    "isolate": "a\u2066b\u2069",
    "zero width space": "a\u200bb",
    "word joiner": "a\u2060b",
    "byte order mark": "\ufeffalice",
    "soft hyphen": "al\u00adice",
    "tag characters": "alice\U000e0041",
    "a flag made of tags": "\U0001f3f4\U000e0067\U000e0062\U000e007f",
    "private use": "\ue000",
    "private use beyond": "\U000f0000",
    "unassigned": "\u0378",
    "no character": "\uffff",
    "line separator": "a\u2028b",
    "filler of Hangul": "\u3164",
    "blank Braille": "\u2800",
    "joiner beside ASCII": "ali\u200dce",
    "joiner behind ASCII": "李a\u200d雷",
    "joiner at the end": "李雷\u200d",
    "non-joiner at the beginning": "\u200c李雷",
    "two joiners": "李\u200d\u200d雷",
    "surrogate": "\ud800",
}


@pytest.mark.parametrize("name", INVISIBLE)
def test_a_name_that_shows_something_else_than_it_is_is_refused_with_the_character(name: str) -> None:
    with pytest.raises(
        LonglinkError, match=r"^field_invalid .*sub: expected a name without invisible.*got U\+[0-9A-F]+$"
    ):
        check_user(INVISIBLE[name], "sub")


@pytest.mark.parametrize(
    "user", ["李雷", "Zoë", "می\u200cخواهم", "क्\u200dष", "👩\u200d💻", "❤\ufe0f\u200d🔥", "ÅÄÖ x", "1️⃣"]
)
def test_a_name_of_any_script_is_a_name(user: str) -> None:
    check_user(user, "sub")


def test_an_error_about_a_key_shows_none_of_it() -> None:
    for key in ("1abcdefghij\r", "1abcdefghij" * 60, "1abcdéfghij"):
        with pytest.raises(LonglinkError, match="printable ASCII, got others or more") as caught:
            check(Frame(id=1, connect=Connect(version=1, device="d", key=key)))
        assert "abc" not in caught.value.message
