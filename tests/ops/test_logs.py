"""Logs: one line an event, no secret in it, and a flood leaves a few lines and a number."""

from __future__ import annotations

import io
import json
import logging
import re
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from longlink.config import Log
from longlink.ops import logs

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def _root() -> Iterator[None]:
    """Leaves logging as it was, because it is one for the whole process."""
    root, ours = logging.getLogger(), logging.getLogger("longlink")
    before = (list(root.handlers), ours.level)
    yield
    root.handlers[:], level = before
    ours.setLevel(level)
    logging.captureWarnings(False)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(kind: str = "json", level: str = "info", out: io.StringIO | None = None) -> io.StringIO:
    stream = out or io.StringIO()
    logs.setup(Log(format=kind, level=level), stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_lines_carry_time_level_logger_event_and_fields() -> None:
    stream = written()
    logs.get("gateway").info("connected", user="李雷", connection=17, fraction=0.5, nothing=None, kind=int)
    (line,) = lines(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "info",
        "logger": "gateway",
        "event": "connected",
        "user": "李雷",
        "connection": 17,
        "fraction": 0.5,
        "nothing": None,
        "kind": "<class 'int'>",
    }


def test_a_field_never_takes_the_place_of_time_level_logger_or_event() -> None:
    stream = written()
    logs.get("x").warning("odd", level=3, time="now", logger="y")
    (line,) = lines(stream)
    assert (line["level"], line["logger"], line["event"]) == ("warning", "x", "odd")
    assert (line["level_"], line["time_"], line["logger_"]) == (3, "now", "y")


def test_readable_lines_are_one_line_whatever_a_client_sends() -> None:
    stream = written("text")
    logs.get("gateway").info("refused", peer="127.0.0.1:5", agent='a\nb \x1b[31m"x"\u202e', user="李 雷")
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3} info    gateway  refused {4}", text)
    assert text.endswith(r'peer=127.0.0.1:5 agent="a\nb \u001b[31m\"x\"\u202e" user="李 雷"' + "\n")


def test_colour_is_for_terminals_only_and_auto_is_text_there_and_json_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal, pipe = written("auto", out=Terminal()), None
    logs.get("x").info("one")
    assert "\x1b[32minfo" in terminal.getvalue()
    pipe = written("auto")
    logs.get("x").info("one")
    assert lines(pipe)[0]["event"] == "one"
    monkeypatch.setenv("NO_COLOR", "1")
    plain = written("auto", out=Terminal())
    logs.get("x").info("one")
    assert "\x1b" not in plain.getvalue()


@pytest.mark.parametrize("kind", ["text", "json"])
def test_no_token_and_no_secret_is_ever_written(kind: str) -> None:
    stream = written(kind)
    log = logs.get("x")
    log.info("one", token=JWT, password="swordfish", key="swordfish", message=f"got {JWT}.", pair=[JWT])
    try:
        raise ValueError(f"bad token {JWT}")
    except ValueError:
        log.exception("two")
    logging.getLogger("uvicorn.error").warning("three %s", JWT)
    text = stream.getvalue()
    assert "swordfish" not in text
    assert "eyJ" not in text
    assert text.count("[hidden]") == 7
    assert all(event in text for event in ("one", "two", "three"))


def test_a_long_value_is_cut() -> None:
    stream = written()
    logs.get("x").info("long", value="a" * 5_000)
    assert len(lines(stream)[0]["value"]) == logs.LONGEST_VALUE + 3


def test_the_traceback_of_an_error_is_kept() -> None:
    stream = written()
    log = logs.get("x")
    try:
        raise KeyError("lost")
    except KeyError as failure:
        log.exception("in_flight")
        kept = failure
    log.error("later", exc_info=kept)
    assert ["KeyError: 'lost'" in line["exception"] for line in lines(stream)] == [True, True]


def test_what_is_below_the_level_is_not_written() -> None:
    stream = written(level="warning")
    log = logs.get("x")
    log.debug("no")
    log.info("no")
    log.warning("yes")
    assert [line["event"] for line in lines(stream)] == ["yes"]


def test_other_programs_logs_and_warnings_go_the_same_way_but_quietly() -> None:
    stream = written(level="debug")
    logging.getLogger("uvicorn.error").info("noise")
    logging.getLogger("uvicorn.error").warning("real")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert [line["logger"] for line in lines(stream)] == ["uvicorn.error", "py.warnings"]


def test_setting_up_twice_does_not_write_twice() -> None:
    first, second = written(), written()
    logs.get("x").info("once")
    assert (len(lines(first)), len(lines(second))) == (0, 1)


class TestLimit:
    def setup_method(self) -> None:
        self.now_s = 100.0
        self.limit = logs.Limit(lambda: self.now_s)

    def passes(self, event: str) -> logging.LogRecord | None:
        record = logging.LogRecord("longlink.x", logging.WARNING, "", 0, event, None, None)
        return record if self.limit.filter(record) else None

    def test_a_flood_of_one_event_leaves_some_lines_and_then_how_many_were_left_out(self) -> None:
        assert sum(self.passes("flood") is not None for _ in range(1_000)) == logs.LINES_PER_SECOND
        assert self.passes("other") is not None
        self.now_s += 1.0
        line = self.passes("flood")
        assert line is not None
        assert line.__dict__["suppressed"] == 1_000 - logs.LINES_PER_SECOND
        again = self.passes("flood")
        assert again is not None
        assert "suppressed" not in again.__dict__

    def test_the_memory_for_it_is_bounded(self) -> None:
        for number in range(3 * logs.EVENTS_KNOWN):
            self.passes(f"event {number}")
        assert len(self.limit._events) == logs.EVENTS_KNOWN + 1


def test_with_several_processes_every_line_says_which_one_wrote_it() -> None:
    as_json, as_text = io.StringIO(), io.StringIO()
    for kind, stream in (("json", as_json), ("text", as_text)):
        logs.setup(Log(format=kind, level="info"), stream, worker="gateway-1")
        logs.get("trunk").info("attached", worker="of the field")
    (line,) = lines(as_json)
    assert (line["worker"], line["worker_"]) == ("gateway-1", "of the field")
    assert re.search(r" gateway-1  trunk +attached +worker=", as_text.getvalue())
