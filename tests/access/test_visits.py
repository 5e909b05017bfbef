"""What the log says of those who come and go, and that it says nothing for nothing."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from longlink import errors
from longlink.access.visits import SUMMED, Visits
from longlink.config import Log
from longlink.ops import logs
from longlink.protocol.codec import Encoding
from longlink.routing.ids import SessionIds
from longlink.routing.sessions import Session

ALICE = Session("alice", "phone", "", 17, 18, 5, Encoding.TEXT)
WHO = {"user": "alice", "device": "phone", "session": "17", "link": "18", "encoding": "text"}


@pytest.fixture(autouse=True)
def _root() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("longlink")
    before = (list(root.handlers), ours.level)
    yield
    root.handlers[:], level = before
    ours.setLevel(level)
    logging.captureWarnings(False)


def log_of(level: str) -> io.StringIO:
    stream = io.StringIO()
    logs.setup(Log(format="json", level=level), stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [{name: value for name, value in line.items() if name not in ("time", "logger")} for line in found]


def no_peer(_: int) -> str:
    raise AssertionError("asked for although nobody reads it")


def test_who_came_and_went_is_told_at_the_level_debug() -> None:
    stream, visits = log_of("debug"), Visits(lambda _: 1.5)
    visits.came(ALICE, lambda connection: f"10.0.0.1:{connection}", "app/7", resumed=True)
    visits.gone(ALICE, 1000)
    visits.gone(ALICE, errors.TOKEN_EXPIRED.code)
    assert lines(stream) == [
        {"level": "debug", "event": "connected", **WHO, "peer": "10.0.0.1:5", "agent": "app/7", "resumed": True},
        {"level": "debug", "event": "closed", **WHO, "code": 1000, "reason": "", "ms": 1500},
        {"level": "debug", "event": "closed", **WHO, "code": 4512, "reason": "token_expired", "ms": 1500},
    ]


@pytest.mark.parametrize("row", [errors.SLOW_CONSUMER, errors.REPLACED, errors.SESSION_ENDED, errors.KEY_REUSED])
def test_an_end_that_somebody_will_ask_about_is_told_at_the_level_info(row: errors.Row) -> None:
    stream, visits = log_of("info"), Visits(lambda _: 1.5)
    visits.came(ALICE, no_peer, "app/7", resumed=False)
    visits.gone(ALICE, 1000)
    visits.gone(ALICE, row.code)
    assert lines(stream) == [
        {"level": "info", "event": "closed", **WHO, "code": row.code, "reason": row.name, "ms": 1500}
    ]


def test_what_the_core_closed_by_itself_is_summed_up_when_there_was_any() -> None:
    stream, visits = log_of("info"), Visits(lambda _: 0.0)
    none = dict.fromkeys(SUMMED, 0)
    visits.sum_up(none)
    visits.sum_up(none | {"hello_timeouts": 3, "refused_rate": 2})
    visits.sum_up(none | {"hello_timeouts": 3, "refused_rate": 7})
    assert lines(stream) == [
        {"level": "info", "event": "closed_by_core", "hello_timeouts": 3, "refused_rate": 2},
        {"level": "info", "event": "closed_by_core", "refused_rate": 5},
    ]


def test_the_age_of_a_link_is_in_its_number() -> None:
    now_s = [1_000_000.0]
    ids = SessionIds(3, 2, lambda: now_s[0])
    link = ids.next()
    assert ids.age_s(link) == 0.0
    now_s[0] += 86_400.25
    assert ids.age_s(link) == 86_400.25
