"""The table of errors: codes and names are for ever, so they obey rules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from longlink import errors
from longlink.errors import LonglinkError, Row

ROWS = list(errors.TABLE.values())
SOURCES = [path for path in (Path(errors.__file__).parent).rglob("*.py") if path.name != "errors.py"]


def test_every_row_is_a_name_of_the_module_in_capitals() -> None:
    named = {name: value for name, value in vars(errors).items() if isinstance(value, Row)}
    assert {name.lower(): row for name, row in named.items()} == {row.name: row for row in ROWS}


def test_no_code_and_no_name_is_there_twice() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert all(code == row.code for code, row in errors.TABLE.items())
    with pytest.raises(ValueError, match=r"error code 4000 is taken by draining, wanted for again"):
        errors._row("again", 4000, 500, "x.")


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_row_is_usable_everywhere(row: Row) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", row.name)
    assert 4000 <= row.code <= 4999, "the range of WebSocket close codes for applications (RFC 6455 section 7.4.2)"
    assert 400 <= row.http <= 599
    assert re.fullmatch(r"[A-Z].*\.", row.remedy)
    assert len(row.name.encode()) <= 100, "fits the reason of a close frame"


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_the_code_alone_says_whether_trying_again_may_help(row: Row) -> None:
    assert row.retry is (row.code < 4500)
    assert LonglinkError(row, "x").retry is row.retry


def test_rows_are_in_the_order_of_their_codes() -> None:
    assert [row.code for row in ROWS] == sorted(row.code for row in ROWS)


def test_an_error_shows_its_name_its_code_and_what_came() -> None:
    error = LonglinkError(errors.PORT_TAKEN, "expected this, got that", retry_after_ms=5)
    assert str(error) == "port_taken (4904): expected this, got that"
    assert (error.name, error.code, error.retry_after_ms) == ("port_taken", 4904, 5)


def test_every_row_is_used_by_the_server_or_closed_with_by_the_core() -> None:
    text = "\n".join(path.read_text() for path in SOURCES)
    core = {"SLOW_CONSUMER", "IDLE", "HANDSHAKE_TIMEOUT"}
    unused = {row.name.upper() for row in ROWS if not re.search(rf"\b{row.name.upper()}\b", text)}
    assert unused <= core, "take the row away, or raise it"
