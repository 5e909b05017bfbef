"""How many conversations each user may create: a token bucket per user, in memory.

A full bucket is not kept, so a quiet user costs nothing. The number of users is bounded: above USERS, the user who has
created nothing for the longest time has a full bucket again. A restart fills all buckets. Read next: open_direct.py.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Final

HOUR_S: Final = 3_600.0
USERS: Final = 65_536
"""Users whose buckets are remembered."""


class Quota:
    """per_hour: 0 means no limit; unlimited: users without a limit; now_s: a monotonic clock in seconds."""

    def __init__(self, per_hour: int, unlimited: Collection[str], now_s: Callable[[], float]) -> None:
        self._per_hour = per_hour
        self._unlimited = frozenset(unlimited)
        self._now_s = now_s
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, user: str) -> float:
        """Take one token. Returns 0.0, or the seconds until there is one, and then nothing was taken."""
        if not self._per_hour or user in self._unlimited:
            return 0.0
        # A bucket is its time of being full: each token takes that much time to come back.
        one_s = HOUR_S / self._per_hour
        now_s = self._now_s()
        full_at = max(now_s, self._full_at.get(user, 0.0)) + one_s
        if full_at > now_s + HOUR_S + one_s / 2:
            return full_at - now_s - HOUR_S
        self._keep(user, full_at)
        return 0.0

    def give_back(self, user: str) -> None:
        """Return a token that was taken and not needed."""
        if user in self._full_at:
            self._keep(user, self._full_at[user] - HOUR_S / self._per_hour)

    def _keep(self, user: str, full_at: float) -> None:
        self._full_at[user] = full_at
        self._full_at.move_to_end(user)
        if len(self._full_at) > USERS:
            self._full_at.popitem(last=False)
        first = next(iter(self._full_at))
        if self._full_at[first] <= self._now_s():
            del self._full_at[first]
