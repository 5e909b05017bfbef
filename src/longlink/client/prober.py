"""How long may the link be silent? Finds the longest interval between heartbeats that the network between keeps alive.

Pure: no I/O, no clock. Boxes on the way (NAT, proxies, mobile networks) forget a silent link after a time that nobody
tells; every heartbeat wakes a radio, so the fewer the better. The interval grows after heartbeats that were answered,
and falls back to the last good one when a link ends over one that was not. Read next: liveness.py, which writes them.
"""

from __future__ import annotations

from typing import Final

LEAST_S: Final = 30.0
MOST_S: Final = 300.0
GROWTH: Final = 1.5
PROOF: Final = 3
"""Answered heartbeats before a longer interval is tried, and failures in a row before a good one is given up."""
CLOSE_S: Final = 10.0
"""When the good interval and the one that failed are so near, the search has ended."""
RETRY_AFTER: Final = 500
"""Answered heartbeats at the end of a search before it begins again: the network may have changed for the better."""


class Prober:
    """One per client, over all its links. interval_s: the silence to keep now. good_s: the longest that was proved,
    0 when none was; it is what to keep for the next process."""

    def __init__(self, *, good_s: float = 0.0, fixed_s: float | None = None) -> None:
        self.good_s = min(good_s, MOST_S) if good_s >= LEAST_S else 0.0
        self.interval_s = fixed_s or self.good_s or LEAST_S
        self._fixed = fixed_s is not None
        self._failed_s = MOST_S * GROWTH
        self._answers = 0
        self._failures = 0

    def answered(self) -> None:
        """A heartbeat after a silence of interval_s was answered."""
        if self._fixed:
            return
        self._failures = 0
        self._answers += 1
        self.good_s = max(self.good_s, self.interval_s)
        if self._answers >= PROOF:
            self._grow()

    def failed(self) -> None:
        """A link ended over a heartbeat after a silence of interval_s."""
        if self._fixed:
            return
        self._answers = 0
        if self.interval_s > self.good_s >= LEAST_S:
            self._failed_s = self.interval_s
            self.interval_s = self.good_s
            return
        self._failures += 1
        if self._failures >= PROOF:
            self._failures = 0
            self._failed_s = self.interval_s
            self.interval_s = self.good_s = max(LEAST_S, self.interval_s / 2)

    def _grow(self) -> None:
        if self._failed_s - self.good_s <= CLOSE_S:
            if self._answers < RETRY_AFTER:
                return
            self._failed_s = MOST_S * GROWTH
        self._answers = 0
        longer = self.good_s * GROWTH
        if longer >= self._failed_s:
            longer = (self.good_s + self._failed_s) / 2
        self.interval_s = min(MOST_S, longer)
