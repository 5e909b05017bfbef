"""The clock of a store: it is followed at once, and a step of it is a line in the log.

Read next: test_order.py, what a wrong clock cannot change.
"""

from __future__ import annotations

import logging

import pytest

from longlink.storage.sqlite.clock import Clock

NOON_MS = 1_790_000_000_000


class Time:
    """A time of day and a steady clock, in the test's hands."""

    def __init__(self) -> None:
        self.now_ms = NOON_MS
        self.steady_ms = 5_000

    def passes(self, ms: int) -> None:
        self.now_ms += ms
        self.steady_ms += ms


def _events(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, object]]]:
    return [(record.message, record.__dict__["fields"]) for record in caplog.records]


def test_a_step_of_more_than_a_minute_is_logged_once_each_way(caplog: pytest.LogCaptureFixture) -> None:
    time = Time()
    clock = Clock(lambda: time.now_ms, 0, lambda: time.steady_ms)
    for step_ms in (0, 59_000, -59_000, 3_600_000, 0, -3_600_000, 0):
        time.passes(10_000)
        time.now_ms += step_ms
        assert clock.read_ms() == time.now_ms, "the clock is followed at once"
    assert _events(caplog) == [("clock_stepped", {"by_s": 3600}), ("clock_stepped", {"by_s": -3600})]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_a_long_pause_is_no_step(caplog: pytest.LogCaptureFixture) -> None:
    time = Time()
    clock = Clock(lambda: time.now_ms, 0, lambda: time.steady_ms)
    time.passes(86_400_000)
    assert clock.read_ms() == time.now_ms
    assert _events(caplog) == []


@pytest.mark.parametrize(("ahead_ms", "lines"), [(59_000, 0), (60_000, 1), (86_400_000, 1)])
def test_a_start_before_the_newest_change_is_logged(
    caplog: pytest.LogCaptureFixture, ahead_ms: int, lines: int
) -> None:
    time = Time()
    Clock(lambda: time.now_ms, NOON_MS + ahead_ms, lambda: time.steady_ms)
    assert _events(caplog) == [("newest_change_is_ahead_of_the_clock", {"ahead_s": ahead_ms // 1000})] * lines
