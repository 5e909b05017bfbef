"""How many conversations each user may create in an hour, and who may create any number.

Only a bound on users and a restart refill a quota early. Read next: open_direct.py, ../routing/rates.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from longlink.routing.rates import Rate

HOUR_S: Final = 3_600.0
USERS: Final = 65_536
"""Users whose quotas are remembered."""


class Quota:
    """The quotas of all users.

    per_hour: conversations; 0 means no limit.
    unlimited: users without a limit.
    now_s: any monotonic clock, in seconds.
    """

    def __init__(self, per_hour: int, unlimited: Collection[str], now_s: Callable[[], float]) -> None:
        self._rate = Rate(per_hour / HOUR_S, per_hour, now_s, USERS)
        self._unlimited = frozenset(unlimited)

    def take(self, user: str) -> float:
        """Take one off. Returns 0.0, or the seconds until the user may create one, and then nothing was taken."""
        return 0.0 if user in self._unlimited else self._rate.take(user)

    def give_back(self, user: str) -> None:
        """Return what was taken and not needed."""
        self._rate.give_back(user)
