"""How fast one user may call over HTTP: a token bucket each, in a bounded table. Pure: the clock is handed in."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

USERS: Final = 100_000
"""Users who are remembered until their buckets are full again; above it whoever called least lately is forgotten. So
many in so short a time are more than one process can answer."""


class _Bucket(NamedTuple):
    left: float
    at_s: float


class Rates:
    """per_s: calls a second, 0 for no limit; burst: at once. now_s: any monotonic clock."""

    def __init__(self, per_s: int, burst: int, now_s: Callable[[], float], users: int = USERS) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._now_s = now_s
        self._users = users
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        """Users who are remembered."""
        return len(self._buckets)

    def take(self, user: str) -> float:
        """0 when the user may call now, which then is counted; otherwise the seconds until he may."""
        if not self._per_s:
            return 0.0
        now_s = self._now_s()
        left = self._left(user, now_s)
        self._put(user, left - 1 if left >= 1 else left, now_s)
        return 0.0 if left >= 1 else (1 - left) / self._per_s

    def charge(self, user: str, calls: int) -> None:
        """Count more of a call that was taken: what the bucket does not hold is a debt, and the next call waits."""
        if self._per_s:
            now_s = self._now_s()
            self._put(user, self._left(user, now_s) - calls, now_s)

    def _left(self, user: str, now_s: float) -> float:
        bucket = self._buckets.pop(user, None)
        return self._burst if bucket is None else self._refilled(bucket, now_s)

    def _refilled(self, bucket: _Bucket, now_s: float) -> float:
        return min(self._burst, bucket.left + (now_s - bucket.at_s) * self._per_s)

    def _put(self, user: str, left: float, now_s: float) -> None:
        """Also forgets those who lose nothing by it: at most two, so that no call pays for many."""
        self._buckets[user] = _Bucket(left, now_s)
        for _ in range(2):
            oldest = next(iter(self._buckets))
            if len(self._buckets) <= self._users and self._refilled(self._buckets[oldest], now_s) < self._burst:
                break
            del self._buckets[oldest]
            if not self._buckets:
                break
