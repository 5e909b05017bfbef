"""Metrics: plain integers that the layers raise, and their text for Prometheus when somebody asks.

Counting costs an attribute increment on the hot path; everything else happens at the scrape, which also reads the
core's and the store's own numbers through what it was given. Imports no layer. Read next: catalogue.py.
"""

from __future__ import annotations

import asyncio
import collections
import math
import resource
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, GCCollector, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from longlink import errors
from longlink.ops import catalogue

FRESH_S: Final = 0.25
STARTED_S: Final = time.time()
LAG_BOUNDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0)
LAG_EVERY_S: Final = 1.0
"""Seldom enough that a server at rest stays at rest."""

Buckets = tuple[Sequence[float], Sequence[int], float]
"""A histogram: upper bounds, cumulative counts (one more than bounds, for +Inf), sum."""


class Histogram:
    """Counts of values by upper bound, cheap to observe."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> Buckets:
        running, cumulative = 0, []
        for count in self.counts:
            running += count
            cumulative.append(running)
        return self.bounds, cumulative, self.total


class Counts:
    """What the Python layers count: one instance of a server, handed to each layer. Meanings: catalogue.COUNTS."""

    __slots__ = ("deliveries", "duplicates", "errors", "loop_lag_seconds", "marks", "messages")

    def __init__(self) -> None:
        self.messages = 0
        self.duplicates = 0
        self.deliveries = 0
        self.marks = 0
        self.errors: collections.Counter[str] = collections.Counter()
        self.loop_lag_seconds = Histogram(LAG_BOUNDS)


class CoreNumbers(Protocol):
    """What is read of the connection core (core/BOUNDARY.md)."""

    def counters(self) -> Mapping[str, int]: ...
    def histograms(self) -> Mapping[str, Buckets]: ...


class StoreNumbers(Protocol):
    """What is read of a store: numbers and histograms by the names of catalogue.STORE."""

    def stats(self) -> Mapping[str, float | Buckets]: ...


class Metrics(Collector):
    """All metrics of one server as text. now_s: any monotonic clock, in seconds."""

    def __init__(
        self, counts: Counts, *, core: CoreNumbers, store: StoreNumbers, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._counts = counts
        self._core = core
        self._store = store
        self._about = InfoMetricFamily("longlink", "Which version runs.", {"version": version("longlink")})
        self._registry = CollectorRegistry()
        self._registry.register(self)
        GCCollector(registry=self._registry)
        self._now_s = now_s
        self._rendered = b""
        self._fresh_until = -math.inf

    def render(self) -> bytes:
        """The Prometheus text format, version 0.0.4; at most FRESH_S old, so that asking often costs little."""
        if self._now_s() >= self._fresh_until:
            self._rendered = generate_latest(self._registry)
            self._fresh_until = self._now_s() + FRESH_S
        return self._rendered

    def describe(self) -> list[Metric]:
        """Nothing, so that registering reads no numbers yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        yield self._about
        yield from self._collect_counts()
        yield from _families("longlink_core_", catalogue.CORE, {**self._core.counters(), **self._core.histograms()})
        yield from _families("longlink_store_", catalogue.STORE, self._store.stats())
        yield from _families("process_", catalogue.PROCESS, _process())

    def _collect_counts(self) -> Iterator[Metric]:
        plain = {name: getattr(self._counts, name) for name in ("messages", "duplicates", "deliveries", "marks")}
        yield from _families(
            "longlink_", catalogue.COUNTS, plain | {"loop_lag_seconds": self._counts.loop_lag_seconds.buckets()}
        )
        refused = CounterMetricFamily("longlink_errors", catalogue.COUNTS["errors"].meaning, labels=["name"])
        for row in errors.TABLE.values():
            refused.add_metric([row.name], self._counts.errors[row.name])
        yield refused


def _process() -> dict[str, float]:
    """Of this process. Its open files are not counted: listing them takes seconds where there are a million."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "resident_memory_bytes": resident_pages * resource.getpagesize(),
        "max_fds": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "start_time_seconds": STARTED_S,
    }


def _families(
    prefix: str, known: Mapping[str, catalogue.Metric], numbers: Mapping[str, float | Buckets]
) -> Iterator[Metric]:
    for name, value in numbers.items():
        kind, meaning = known.get(name, catalogue.Metric("gauge", "Not described."))
        if isinstance(value, tuple):
            yield _histogram(prefix + name, meaning, value)
        elif kind == "counter":
            yield CounterMetricFamily(prefix + name, meaning, value)
        else:
            yield GaugeMetricFamily(prefix + name, meaning, value)


def _histogram(name: str, meaning: str, buckets: Buckets) -> Metric:
    bounds, counts, total = buckets
    edges = [*(str(float(bound)) for bound in bounds), "+Inf"]
    return HistogramMetricFamily(name, meaning, list(zip(edges, map(float, counts), strict=True)), total)


async def watch_loop(counts: Counts, now_s: Callable[[], float] | None = None) -> None:
    """Observe the lag of this event loop every LAG_EVERY_S, until cancelled."""
    clock = now_s or asyncio.get_running_loop().time
    while True:
        due = clock() + LAG_EVERY_S
        await asyncio.sleep(LAG_EVERY_S)
        counts.loop_lag_seconds.observe(max(0.0, clock() - due))
