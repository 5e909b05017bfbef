"""How long to wait before trying again: exponential with full jitter, so that a crowd does not come back at once.

Pure: randomness is injected, nothing sleeps. The formula is "full jitter" of the AWS Architecture Blog, "Exponential
Backoff And Jitter": uniform between 0 and min(cap, base * 2**attempt).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

BASE_S: Final = 0.25
CAP_S: Final = 30.0
LONGEST_ASKED_S: Final = 300.0
"""A server may ask for a longer wait, but no more than this is honoured: a wrong number must not stop a client."""
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
        """Seconds to wait before the next attempt, spread above at_least_s.

        at_least_s: the wait that the server asked for, in seconds; at most LONGEST_ASKED_S of it count.
        """
        longest = min(self._cap_s, self._base_s * 2.0 ** min(self._attempts, DOUBLINGS))
        self._attempts += 1
        return honoured(at_least_s) + self._random() * longest

    def reset(self) -> None:
        """The last attempt went well."""
        self._attempts = 0


def honoured(asked_s: float) -> float:
    """The wait for which a server asked, in seconds: 0 to LONGEST_ASKED_S, 0 if it is not a number."""
    return 0.0 if math.isnan(asked_s) else min(max(asked_s, 0.0), LONGEST_ASKED_S)


def retry_after_s(header: str) -> float:
    """The seconds of a Retry-After header (RFC 9110 section 10.2.3), as `honoured`; 0 for a date or anything else."""
    try:
        return honoured(float(header))
    except ValueError:
        return 0.0
