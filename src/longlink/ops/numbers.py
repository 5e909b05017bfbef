"""The numbers of one process as one value, which can be sent to another one and added to others.

A section is a table of the catalogue or one metric with a label: section, then name or label, then number or histogram.
Reads what the layers count and what it is given; imports no layer. Read next: catalogue.py, exposition.py.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import msgspec

from longlink import errors
from longlink.ops import catalogue, logs
from longlink.ops.metrics import Buckets, Counts, Histogram

STARTED_S: Final = time.time()

CORE_NAMES: Final = {"core_bytes": "memory_bytes"}
"""Names of the core's counters that would stutter behind longlink_core_."""
CORE_CLOSES: Final = {
    "slow_closed": errors.SLOW_CONSUMER,
    "idle_closed": errors.IDLE,
    "hello_timeouts": errors.HANDSHAKE_TIMEOUT,
    "lifetime_closed": errors.TOKEN_EXPIRED,
}
"""Closes of connections that the core makes without asking: its counter of each, and the error that the client gets."""

Number: TypeAlias = float | Buckets
Numbers: TypeAlias = dict[str, dict[str, Number]]


class CoreNumbers(Protocol):
    """What is read of the connection core (core/BOUNDARY.md)."""

    def counters(self) -> Mapping[str, int]: ...
    def histograms(self) -> Mapping[str, Buckets]: ...


class StoreNumbers(Protocol):
    """What is read of a store: numbers and histograms by the names of catalogue.STORE."""

    def stats(self) -> Mapping[str, Number]: ...


def of_counts(counts: Counts) -> Numbers:
    """What the layers of this process have counted, and a 0 for each error that can be sent, so that rates work."""
    values = {name: getattr(counts, name) for name in catalogue.COUNTS}
    plain: dict[str, Number] = {
        name: value.buckets() if isinstance(value, Histogram) else value for name, value in values.items()
    }
    refused: dict[str, Number] = {row.name: counts.errors[row.name] for row in errors.SENT}
    resumed: dict[str, Number] = {outcome: counts.resumes[outcome] for outcome in catalogue.OUTCOMES}
    called: dict[str, Number] = {**counts.http_calls}
    cut: dict[str, Number] = {reason: counts.http_cuts[reason] for reason in catalogue.CUTS}
    return {"messages": plain, "errors": refused, "resumes": resumed, "http_calls": called, "http_cuts": cut}


def of_core(core: CoreNumbers) -> Numbers:
    """Its own numbers, and among the errors the closes that it makes by itself."""
    counters = core.counters()
    own: dict[str, Number] = {CORE_NAMES.get(name, name): value for name, value in counters.items()}
    closes: dict[str, Number] = {error.name: counters.get(name, 0) for name, error in CORE_CLOSES.items()}
    return {"core": {**own, **core.histograms()}, "errors": closes}


def of_store(store: StoreNumbers) -> Numbers:
    return {"store": dict(store.stats())}


def of_process() -> Numbers:
    """Of this process. Its open files are not counted: listing them takes seconds where there are a million."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "process": {
            "cpu_seconds": used.ru_utime + used.ru_stime,
            "resident_memory_bytes": resident_pages * resource.getpagesize(),
            "max_fds": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        },
        "logs": {"lines_dropped": logs.lost()},
    }


def started(at_s: float = STARTED_S) -> Numbers:
    """When the process began that shows the numbers: what they are monotonic since. at_s: of one that was forked."""
    return {"process": {"start_time_seconds": at_s}}


def total(parts: Iterable[Numbers]) -> Numbers:
    """Everything added up, section by section. Histograms of one name have the same bounds."""
    found: Numbers = {}
    for part in parts:
        for section, values in part.items():
            into = found.setdefault(section, {})
            for name, value in values.items():
                into[name] = _sum(into[name], value) if name in into else value
    return found


def counted(numbers: Numbers, since: Numbers) -> Numbers:
    """The counters and histograms alone, less what they were before; what was not there before was 0."""
    found: Numbers = {}
    for section, values in numbers.items():
        before = since.get(section, {})
        found[section] = {
            name: _sum(value, _negative(before[name])) if name in before else value
            for name, value in values.items()
            if catalogue.kind(section, name) != "gauge"
        }
    return found


def gauges(numbers: Numbers) -> Numbers:
    """The gauges alone."""
    return {
        section: {name: value for name, value in values.items() if catalogue.kind(section, name) == "gauge"}
        for section, values in numbers.items()
    }


encode: Final = msgspec.msgpack.Encoder().encode
decode: Final = msgspec.msgpack.Decoder(Numbers).decode


def _sum(one: Number, other: Number) -> Number:
    if isinstance(one, tuple) and isinstance(other, tuple):
        bounds, counts, amount = one
        return bounds, [a + b for a, b in zip(counts, other[1], strict=True)], amount + other[2]
    if isinstance(one, tuple) or isinstance(other, tuple):
        raise TypeError("a histogram and a number cannot be added")
    return one + other


def _negative(value: Number) -> Number:
    if isinstance(value, tuple):
        bounds, counts, amount = value
        return bounds, [-count for count in counts], -amount
    return -value
