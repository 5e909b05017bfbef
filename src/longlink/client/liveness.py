"""Is the link alive? When to write a heartbeat, and when to give the link up.

Pure: no I/O, no clock (`now` is passed in, in seconds), randomness injected. Everything we write gets an answer (a
reply, or an empty message for an empty message), so a link that has been silent for `dead_after_s` since the oldest
unanswered write is dead, although TCP may not know it for a quarter of an hour (a half-open connection).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Final

DEAD_AFTER_S: Final = 15.0
EARLIEST: Final = 0.5
LATEST: Final = 0.9
"""A heartbeat is written after this share of the allowed silence, spread so that clients do not fall into step."""

LEAST_HEARTBEAT_S: Final = 0.1
"""Whatever a server asks for, even nothing at all, a heartbeat is not written more often."""


class Verdict(Enum):
    FINE = auto()
    HEARTBEAT = auto()
    DEAD = auto()


class Liveness:
    """One link. heartbeat_s: the longest silence that the server allows us (Connected.heartbeat_ms)."""

    def __init__(
        self, now: float, *, heartbeat_s: float, random: Callable[[], float], dead_after_s: float = DEAD_AFTER_S
    ) -> None:
        self._heartbeat_s = max(heartbeat_s, LEAST_HEARTBEAT_S)
        self._random = random
        self._dead_after_s = dead_after_s
        self._unanswered_since: float | None = None
        self._heartbeat_at = self._next_heartbeat(now)

    def wrote(self, now: float) -> None:
        self._heartbeat_at = self._next_heartbeat(now)
        if self._unanswered_since is None:
            self._unanswered_since = now

    def heard(self) -> None:
        self._unanswered_since = None

    def verdict(self, now: float) -> Verdict:
        if self._unanswered_since is not None and now >= self._unanswered_since + self._dead_after_s:
            return Verdict.DEAD
        return Verdict.HEARTBEAT if now >= self._heartbeat_at else Verdict.FINE

    def next_due(self) -> float:
        """When `verdict` may change by time alone."""
        if self._unanswered_since is None:
            return self._heartbeat_at
        return min(self._heartbeat_at, self._unanswered_since + self._dead_after_s)

    def _next_heartbeat(self, now: float) -> float:
        return now + self._heartbeat_s * (EARLIEST + (LATEST - EARLIEST) * self._random())
