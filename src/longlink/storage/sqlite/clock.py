"""The time that people are shown, and a word in the log when somebody sets the clock.

Messages are ordered by stamps, which no clock can harm; a wrong clock only shows wrong times. The clock is followed at
once, forwards and back. Read next: committer.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from longlink.ops import logs

log = logs.get("storage")

STEP_MS: Final = 60_000
"""A difference between two clocks that is worth a line in the log."""


def steady_ms() -> int:
    """ms of a clock that nobody sets. On Linux it goes on while the machine is suspended, as the time of day does."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)) // 1_000_000


class Clock:
    """The clock of one store.

    now_ms: the time of day, ms since the Unix epoch.
    newest_ms: the newest time on disk; 0 if there is none.
    """

    def __init__(
        self, now_ms: Callable[[], int], newest_ms: int, steady_ms: Callable[[], int] = steady_ms
    ) -> None:  # fmt: skip
        self._now_ms = now_ms
        self._steady_ms = steady_ms
        self._apart_ms = now_ms() - steady_ms()
        ahead_ms = newest_ms - now_ms()
        if ahead_ms >= STEP_MS:
            log.warning("newest_change_is_ahead_of_the_clock", ahead_s=ahead_ms // 1000)

    def read_ms(self) -> int:
        """The time of day now."""
        now_ms = self._now_ms()
        apart_ms = now_ms - self._steady_ms()
        if abs(apart_ms - self._apart_ms) >= STEP_MS:
            log.warning("clock_stepped", by_s=(apart_ms - self._apart_ms) // 1000)
        self._apart_ms = apart_ms
        return now_ms
