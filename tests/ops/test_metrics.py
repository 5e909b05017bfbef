"""Metrics: what is counted is shown, under the name and kind that the catalogue gives it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

import pytest
from prometheus_client.parser import text_string_to_metric_families

from longlink import errors
from longlink.ops import catalogue, metrics
from longlink.ops.metrics import Buckets, Counts, Histogram, Metrics, watch_loop


class Core:
    def __init__(self, counters: Mapping[str, int], histograms: Mapping[str, Buckets]) -> None:
        self._counters, self._histograms = counters, histograms

    def counters(self) -> Mapping[str, int]:
        return self._counters

    def histograms(self) -> Mapping[str, Buckets]:
        return self._histograms


class Store:
    def stats(self) -> Mapping[str, float | Buckets]:
        return {"commits": 7, "wal_bytes": 4096, "commit_seconds": ((0.001, 0.01), (1, 3, 4), 0.5)}


def shown(counts: Counts, core: Core | None = None) -> dict[str, float]:
    text = Metrics(counts, core=core or Core({}, {}), store=Store()).render().decode()
    samples: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            samples[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return samples


def test_what_the_layers_count_is_shown() -> None:
    counts = Counts()
    counts.messages += 3
    counts.duplicates += 2
    counts.deliveries += 9
    counts.marks += 1
    counts.errors["idle"] += 4
    found = shown(counts)
    assert found["longlink_messages_total"] == 3
    assert found["longlink_duplicates_total"] == 2
    assert found["longlink_deliveries_total"] == 9
    assert found["longlink_marks_total"] == 1
    assert found["longlink_errors_total{name=idle}"] == 4


def test_every_error_of_the_table_is_there_from_the_start_so_that_rates_can_be_taken() -> None:
    found = shown(Counts())
    assert all(found[f"longlink_errors_total{{name={row.name}}}"] == 0 for row in errors.TABLE.values())


def test_the_numbers_of_core_and_store_are_read_at_the_scrape() -> None:
    core = Core({"connections": 5, "accepted": 6}, {"message_bytes": ([64.0, 256.0], [1, 2, 3], 900.0)})
    found = shown(Counts(), core)
    assert found["longlink_core_connections"] == 5
    assert found["longlink_core_accepted_total"] == 6
    assert found["longlink_core_message_bytes_bucket{le=64.0}"] == 1
    assert found["longlink_core_message_bytes_bucket{le=+Inf}"] == 3
    assert found["longlink_core_message_bytes_sum"] == 900
    assert found["longlink_store_commits_total"] == 7
    assert found["longlink_store_wal_bytes"] == 4096
    assert found["longlink_store_commit_seconds_count"] == 4


def test_the_version_and_the_process_are_shown() -> None:
    found = shown(Counts())
    assert any(name.startswith("longlink_info{version=") for name in found)
    assert found["process_resident_memory_bytes"] > 1_000_000
    assert found["process_cpu_seconds_total"] > 0
    assert found["process_start_time_seconds"] > 1_700_000_000
    assert "python_gc_collections_total{generation=0}" in found


def test_asking_often_renders_seldom() -> None:
    clock = [100.0]
    counts = Counts()
    shown_to_all = Metrics(counts, core=Core({}, {}), store=Store(), now_s=lambda: clock[0])
    first = shown_to_all.render()
    counts.messages += 1
    assert shown_to_all.render() is first
    clock[0] += metrics.FRESH_S
    assert b"longlink_messages_total 1.0" in shown_to_all.render()


def test_every_count_has_its_words_and_every_word_its_count() -> None:
    assert set(catalogue.COUNTS) == set(Counts.__slots__)


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
