"""What the Python layers count: plain integers that they raise.

Counting costs an attribute increment on the hot path; everything else happens at the scrape. Imports no layer. Read
next: numbers.py, which reads them, and catalogue.py.
"""

from __future__ import annotations

import asyncio
import collections
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final

LAG_BOUNDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0)
CALL_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
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

    __slots__ = (
        "account_refused",
        "deliveries",
        "duplicates",
        "errors",
        "http_calls",
        "http_cuts",
        "http_seconds",
        "http_strangers",
        "jwks_failures",
        "jwks_fetches",
        "keys_reused",
        "logouts",
        "loop_lag_seconds",
        "marks",
        "messages",
        "passes_cut",
        "polls_held",
        "quota_refused",
        "resumes",
        "sessions_attached",
        "sessions_detached",
        "sessions_ended",
        "sessions_evicted",
        "sessions_expired",
        "sessions_replaced",
        "takeovers",
    )

    def __init__(self) -> None:
        self.jwks_fetches = 0
        self.jwks_failures = 0
        self.keys_reused = 0
        self.sessions_attached = 0
        self.sessions_detached = 0
        self.sessions_expired = 0
        self.sessions_evicted = 0
        self.sessions_replaced = 0
        self.sessions_ended = 0
        self.logouts = 0
        self.takeovers = 0
        self.resumes: collections.Counter[str] = collections.Counter()
        self.messages = 0
        self.duplicates = 0
        self.deliveries = 0
        self.marks = 0
        self.quota_refused = 0
        self.errors: collections.Counter[str] = collections.Counter()
        self.http_calls: collections.Counter[str] = collections.Counter()
        self.http_cuts: collections.Counter[str] = collections.Counter()
        self.http_strangers = 0
        self.account_refused = 0
        self.passes_cut = 0
        self.polls_held = 0
        self.http_seconds = Histogram(CALL_BOUNDS)
        self.loop_lag_seconds = Histogram(LAG_BOUNDS)


async def watch_loop(counts: Counts, now_s: Callable[[], float] | None = None) -> None:
    """Observe the lag of this event loop every LAG_EVERY_S, until cancelled."""
    clock = now_s or asyncio.get_running_loop().time
    while True:
        due = clock() + LAG_EVERY_S
        await asyncio.sleep(LAG_EVERY_S)
        counts.loop_lag_seconds.observe(max(0.0, clock() - due))
