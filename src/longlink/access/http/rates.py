"""How fast one user may call over HTTP: a token bucket each, in a bounded table. Pure: the clock is handed in."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

USERS: Final = 100_000
"""Users that are remembered; whoever has called least lately is forgotten, and begins with a full bucket again."""


class Rates:
    """per_s: calls a second, 0 for no limit; burst: at once. now_s: any monotonic clock."""

    def __init__(self, per_s: int, burst: int, now_s: Callable[[], float], users: int = USERS) -> None:
        self._per_s = per_s
        self._burst = burst
        self._now_s = now_s
        self._users = users
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, user: str, calls: int) -> float:
        """0 when so many calls may go on now; otherwise the seconds after which they may, and nothing is taken.

        More calls than the burst need a full bucket, and leave a debt.
        """
        if not self._per_s:
            return 0.0
        now_s = self._now_s()
        left, at_s = self._buckets.pop(user, (float(self._burst), now_s))
        left = min(float(self._burst), left + (now_s - at_s) * self._per_s)
        missing = min(calls, self._burst) - left
        self._buckets[user] = (left if missing > 0 else left - calls, now_s)
        if len(self._buckets) > self._users:
            self._buckets.popitem(last=False)
        return max(0.0, missing / self._per_s)
