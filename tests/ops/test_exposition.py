"""Metrics as text: what is counted is shown, under the name and kind that the catalogue gives it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from longlink import errors
from longlink.ops import exposition
from longlink.ops.exposition import Exposition, Metrics
from longlink.ops.metrics import Buckets, Counts
from longlink.ops.numbers import Numbers, of_core, of_counts, of_process, of_store, started, total


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
    parts = (of_counts(counts), of_core(core or Core({}, {})), of_store(Store()), of_process(), started())
    return samples_of(Exposition().text(total(parts)).decode())


def samples_of(text: str) -> dict[str, float]:
    """Every sample by name and labels."""
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


def test_every_error_that_can_be_sent_is_there_from_the_start_so_that_rates_can_be_taken() -> None:
    found = shown(Counts())
    assert all(found[f"longlink_errors_total{{name={row.name}}}"] == 0 for row in errors.SENT)


def test_a_close_that_the_core_makes_counts_as_the_error_that_the_client_gets() -> None:
    counts = Counts()
    counts.errors["slow_consumer"] += 1
    core = Core({"slow_closed": 3, "idle_closed": 2, "hello_timeouts": 1, "core_bytes": 7}, {})
    found = total((of_counts(counts), of_core(core)))
    assert {name: value for name, value in found["errors"].items() if value} == {
        "slow_consumer": 4,
        "idle": 2,
        "handshake_timeout": 1,
    }
    assert found["core"]["memory_bytes"] == 7


def test_there_is_no_series_for_an_error_that_is_never_sent() -> None:
    found = of_counts(Counts())["errors"]
    assert {"slow_consumer", "token_invalid"} <= set(found)
    assert found.keys().isdisjoint({"config_invalid", "port_taken", "client_unusable", "disconnected", "unanswered"})


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

    async def read() -> Numbers:
        return of_counts(counts)

    shown_to_all = Metrics(read, now_s=lambda: clock[0])

    async def story() -> None:
        first = await shown_to_all.render()
        counts.messages += 1
        assert await shown_to_all.render() is first
        clock[0] += exposition.FRESH_S
        assert b"longlink_messages_total 1.0" in await shown_to_all.render()

    asyncio.run(story())


def test_what_is_told_apart_by_a_label_is_shown_under_it() -> None:
    numbers: Numbers = {"worker_up": {"logic": 1, "gateway-1": 0}, "worker_restarts": {"gateway-1": 3}}
    found = samples_of(Exposition().text(numbers).decode())
    assert found["longlink_worker_up{worker=logic}"] == 1
    assert found["longlink_worker_up{worker=gateway-1}"] == 0
    assert found["longlink_worker_restarts_total{worker=gateway-1}"] == 3
