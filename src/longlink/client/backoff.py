"""How long to wait before trying again: exponential with full jitter, so that a crowd does not come back at once.

Pure: randomness is injected, nothing sleeps. The formula is "full jitter" of the AWS Architecture Blog, "Exponential
Backoff And Jitter": uniform between 0 and min(cap, base * 2**attempt).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

BASE_S: Final = 0.25
CAP_S: Final = 30.0
DOUBLINGS: Final = 16
"""2**16 * BASE_S is far above any cap; without a limit the power would grow for ever."""


class Backoff:
    """One per thing that is retried. random: uniform in [0, 1)."""

    def __init__(self, random: Callable[[], float], *, base_s: float = BASE_S, cap_s: float = CAP_S) -> None:
        self._random = random
        self._base_s = base_s
        self._cap_s = cap_s
        self._attempts = 0

    def next(self, at_least_s: float = 0.0) -> float:
        """Seconds to wait before the next attempt; never below at_least_s, and spread above it."""
        longest = min(self._cap_s, self._base_s * 2.0 ** min(self._attempts, DOUBLINGS))
        self._attempts += 1
        return at_least_s + self._random() * longest

    def reset(self) -> None:
        """The last attempt went well."""
        self._attempts = 0
