"""How often somebody may do something: a token bucket for each address or user, in memory.

A bucket is the time at which it will be full again; each use moves that time. A full bucket is not kept, and the number
of others is bounded. A restart fills all of them. Pure: the clock is injected. Read next: work.py, for what differs in
cost.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

REMEMBERED: Final = 65_536
"""Buckets that are remembered; above it the one that was used least lately is full again."""
_SLACK: Final = 1e-3
"""The part of one use by which rounding may be wrong."""


class Rate:
    """How often each of many may do something.

    rate: times a second; 0 means no limit.
    burst: times at once.
    now_s: any monotonic clock, in seconds.
    most: buckets that are remembered.
    """

    def __init__(self, rate: float, burst: int, now_s: Callable[[], float], most: int = REMEMBERED) -> None:
        self._once_s = 1 / rate if rate else 0.0
        self._burst_s = burst * self._once_s
        self._now_s = now_s
        self._most = most
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        """Buckets that are remembered."""
        return len(self._full_at)

    def take(self, who: str) -> float:
        """0.0 if they may do it now, which then is counted; otherwise the seconds until they may."""
        if not self._once_s:
            return 0.0
        now_s = self._now_s()
        full_at = max(now_s, self._full_at.get(who, 0.0)) + self._once_s
        wait_s = full_at - now_s - self._burst_s
        if wait_s > _SLACK * self._once_s:
            return wait_s
        self._keep(who, full_at, now_s)
        return 0.0

    def give_back(self, who: str) -> None:
        """Return a use that was counted and not needed."""
        if who in self._full_at:
            self._keep(who, self._full_at[who] - self._once_s, self._now_s())

    def _keep(self, who: str, full_at: float, now_s: float) -> None:
        self._full_at[who] = full_at
        self._full_at.move_to_end(who)
        while self._full_at and (len(self._full_at) > self._most or next(iter(self._full_at.values())) <= now_s):
            self._full_at.popitem(last=False)
