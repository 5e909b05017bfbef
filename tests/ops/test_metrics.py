"""What the layers count, and how late the loop is. Read next: test_exposition.py."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from longlink.ops import catalogue, metrics
from longlink.ops.metrics import Counts, Histogram, watch_loop


def test_every_count_has_its_words_and_every_word_its_count() -> None:
    assert {*catalogue.COUNTS, "errors", "resumes", "http_calls", "http_cuts"} == set(Counts.__slots__)


def test_a_histogram_counts_a_value_in_the_first_bound_that_is_not_below_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(value)
    assert histogram.buckets() == ((1.0, 2.0), [2, 3, 4], 12.0)


def test_the_lag_of_the_loop_is_what_a_timer_came_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "LAG_EVERY_S", 0.001)
    counts = Counts()
    times = iter([10.0, 10.001 + 0.02, 20.0])

    async def observe_once() -> None:
        def now_s() -> float:
            try:
                return next(times)
            except StopIteration:
                raise asyncio.CancelledError from None

        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(watch_loop(counts, now_s), 30)

    asyncio.run(observe_once())
    bounds, cumulative, total = counts.loop_lag_seconds.buckets()
    assert cumulative[-1] == 1
    assert cumulative[list(bounds).index(0.05)] == 1
    assert cumulative[list(bounds).index(0.01)] == 0
    assert round(total, 6) == 0.02
