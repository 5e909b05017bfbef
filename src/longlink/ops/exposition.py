"""Numbers as text for Prometheus, with the words of the catalogue. Read next: numbers.py."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from longlink.ops import catalogue
from longlink.ops.metrics import Buckets
from longlink.ops.numbers import Number, Numbers

FRESH_S: Final = 0.25


class Exposition(Collector):
    """Everything that one server shows of itself."""

    def __init__(self) -> None:
        self._about = InfoMetricFamily("longlink", "Which version runs.", {"version": version("longlink")})
        self._numbers: Numbers = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)
        GCCollector(registry=self._registry)

    def text(self, numbers: Numbers) -> bytes:
        """The Prometheus text format, version 0.0.4."""
        self._numbers = numbers
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Nothing, so that registering shows no numbers yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        yield self._about
        for section, values in self._numbers.items():
            if section in catalogue.LABELLED:
                yield _labelled(section, values)
            else:
                prefix, known = catalogue.SECTIONS[section]
                for name, value in values.items():
                    yield _family(prefix + name, known.get(name, catalogue.UNKNOWN), value)


class Metrics:
    """The text of what read gives, at most FRESH_S old, so that asking often costs little. now_s: monotonic."""

    def __init__(self, read: Callable[[], Awaitable[Numbers]], now_s: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._now_s = now_s
        self._exposition = Exposition()
        self._rendered = b""
        self._one = asyncio.Lock()
        self._fresh_until = -math.inf

    async def render(self) -> bytes:
        """The Prometheus text format, version 0.0.4. Raises what read raises. Who asks meanwhile waits too."""
        async with self._one:
            if self._now_s() >= self._fresh_until:
                self._rendered = self._exposition.text(await self._read())
                self._fresh_until = self._now_s() + FRESH_S
            return self._rendered


def _family(name: str, known: catalogue.Metric, value: Number) -> Metric:
    if isinstance(value, tuple):
        return _histogram(name, known.meaning, value)
    if known.kind == "counter":
        return CounterMetricFamily(name, known.meaning, value)
    return GaugeMetricFamily(name, known.meaning, value)


def _labelled(section: str, values: Mapping[str, Number]) -> Metric:
    name, label, known = catalogue.LABELLED[section]
    family_class = CounterMetricFamily if known.kind == "counter" else GaugeMetricFamily
    family = family_class(name, known.meaning, labels=label.split(","))
    for labelled, value in values.items():
        if not isinstance(value, tuple):
            family.add_metric(labelled.split(","), value)
    return family


def _histogram(name: str, meaning: str, buckets: Buckets) -> Metric:
    bounds, counts, amount = buckets
    edges = [*(str(float(bound)) for bound in bounds), "+Inf"]
    return HistogramMetricFamily(name, meaning, list(zip(edges, map(float, counts), strict=True)), amount)
