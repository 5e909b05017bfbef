"""Resume keys: what was signed comes back, and nothing else does. Read next: test_gateway.py."""

from __future__ import annotations

import stat
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longlink import errors
from longlink.access.resume import NAME, ResumeKeys, Resumption
from longlink.errors import LonglinkError
from longlink.protocol.codec import Encoding
from longlink.protocol.limits import KEY_MAX, check_printable
from longlink.routing.sessions import Session

NOW_S = 1_790_000_000.0
KEYS = ResumeKeys(b"s" * 32)
ALICE = Session("älice", "phone", "ios", 2**52 - 1, 2**52 - 2, 7, Encoding.BINARY)


def refusal(key: str, keys: ResumeKeys = KEYS, now_s: float = NOW_S) -> LonglinkError:
    with pytest.raises(LonglinkError) as caught:
        keys.read(key, now_s)
    return caught.value


def test_a_key_says_whose_session_it_is_and_which_link_until_it_expires() -> None:
    key = KEYS.make(ALICE, NOW_S + 60)
    expected = Resumption("älice", "phone", "ios", 2**52 - 1, 2**52 - 2, NOW_S + 60)
    assert KEYS.read(key, NOW_S + 59.9) == expected
    error = refusal(key, now_s=NOW_S + 61)
    assert (error.row, error.message) == (errors.KEY_EXPIRED, "the token of this session expired 1 s ago")


def test_the_longest_key_is_printable_and_fits_its_field() -> None:
    longest = Session("ü" * 32, "d" * 64, "p" * 16, 2**52 - 1, 2**52 - 1, 1, Encoding.BINARY)
    key = KEYS.make(longest, NOW_S + 0.123)
    check_printable(key, "connect.key", KEY_MAX)
    assert len(key) <= 300


def test_a_key_of_another_server_is_none() -> None:
    error = refusal(KEYS.make(ALICE, NOW_S + 60), ResumeKeys(b"t" * 32))
    assert error.row is errors.KEY_INVALID
    assert "älice" not in error.message


@given(st.data())
def test_a_key_that_was_cut_or_changed_anywhere_is_none(data: st.DataObject) -> None:
    key = KEYS.make(ALICE, NOW_S + 60)
    place = data.draw(st.integers(0, len(key) - 1))
    assert refusal(key[:place]).row is errors.KEY_INVALID
    # In bytes, because the last character of base64 may have bits that mean nothing.
    signed = bytearray(urlsafe_b64decode(key[1:] + "=" * (-len(key[1:]) % 4)))
    signed[data.draw(st.integers(0, len(signed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert refusal("1" + urlsafe_b64encode(signed).decode().rstrip("=")).row is errors.KEY_INVALID


def test_only_the_one_text_that_was_given_out_is_the_key() -> None:
    """Junk that base64 readers skip, padding, and other bits behind the last byte all stand for the same bytes."""
    key = KEYS.make(ALICE, NOW_S + 60)
    padded = key + "=" * (-(len(key) - 1) % 4)
    others = [key[:9] + junk + key[9:] for junk in ("!", " ", "\r\n", "=")] + ([padded] if padded != key else [])
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    if (len(key) - 1) % 4:
        others.append(key[:-1] + digits[digits.index(key[-1]) | 1])
    for other in others:
        if other != key:
            assert refusal(other).row is errors.KEY_INVALID


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=KEY_MAX))
def test_any_text_is_refused_in_words(text: str) -> None:
    for key in (text, "1" + text):
        assert refusal(key).row is errors.KEY_INVALID


def test_the_secret_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    key = ResumeKeys.from_folder(tmp_path).make(ALICE, NOW_S + 60)
    assert ResumeKeys.from_folder(tmp_path).read(key, NOW_S).user == "älice"
    made = tmp_path / NAME
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33])
def test_a_secret_of_another_length_is_refused_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    (tmp_path / NAME).chmod(0o600)
    with pytest.raises(LonglinkError, match="expected 32 bytes; without the file the next start makes a new one"):
        ResumeKeys.from_folder(tmp_path)


def test_a_folder_where_none_can_be_made_is_said(tmp_path: Path) -> None:
    with pytest.raises(LonglinkError, match=f"cannot write {tmp_path}/gone/{NAME}: No such file"):
        ResumeKeys.from_folder(tmp_path / "gone")
    (tmp_path / NAME).mkdir()
    with pytest.raises(LonglinkError, match="expected a regular file, got a folder"):
        ResumeKeys.from_folder(tmp_path)
