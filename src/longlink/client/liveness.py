"""Is the link alive? When to write a heartbeat, and when to give the link up.

Pure: no I/O, no clock (`now` is passed in, in seconds), randomness injected. Everything we write gets an answer (a
reply, or an empty message for an empty message), so a link that has been silent for `dead_after_s` since the oldest
unanswered write is dead, although TCP may not know it for a quarter of an hour (a half-open connection). Half way a
heartbeat is tried, for one lost answer is not the end. Read next: prober.py, which chooses the interval.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from longlink.client.prober import Prober

DEAD_AFTER_S: Final = 15.0
EARLIEST: Final = 0.8
LATEST: Final = 1.0
"""A heartbeat is written after this share of the interval, spread so that clients do not fall into step."""
SECOND_TRY: Final = 0.5
"""After this share of dead_after_s without an answer a heartbeat is tried."""

LEAST_HEARTBEAT_S: Final = 0.1
"""Whatever a server asks for, even nothing at all, a heartbeat is not written more often."""


class Verdict(Enum):
    FINE = auto()
    HEARTBEAT = auto()
    DEAD = auto()


class Liveness:
    """One link. agreed_s: the longest silence that the server allows us (Connected.heartbeat_ms).

    talks: False for a link on which only the server may speak; it is dead when nothing was heard for dead_after_s.
    """

    def __init__(
        self,
        now: float,
        *,
        agreed_s: float,
        prober: Prober,
        random: Callable[[], float],
        dead_after_s: float = DEAD_AFTER_S,
        talks: bool = True,
    ) -> None:
        self.agreed_s = agreed_s
        self._prober = prober
        self._random = random
        self._dead_after_s = dead_after_s
        self._talks = talks
        self._unanswered_since: float | None = None if talks else now
        self._quiet_since = now
        self._tried_again = False
        self._probing = False
        self._heartbeat_at = self._next_heartbeat(now)

    def wrote(self, now: float) -> None:
        """A frame was written."""
        if not self._talks:
            return
        self._quiet_since = now
        self._heartbeat_at = self._next_heartbeat(now)
        if self._unanswered_since is None:
            self._unanswered_since = now

    def tried(self, now: float) -> None:
        """A heartbeat was written."""
        if self._unanswered_since is None:
            # Frames of either side keep a link in memory; only a silence of the whole interval proves anything.
            self._probing = now - self._quiet_since >= EARLIEST * self._interval_s
        else:
            self._tried_again = True
        self.wrote(now)

    def heard(self, now: float) -> None:
        """Something has come."""
        self._quiet_since = now
        self._unanswered_since = None if self._talks else now
        self._tried_again = False
        if self._probing:
            self._probing = False
            self._prober.answered()

    def ended(self) -> None:
        """The link is down, for whatever reason."""
        if self._probing:
            self._probing = False
            self._prober.failed()

    def verdict(self, now: float) -> Verdict:
        since = self._unanswered_since
        if since is not None:
            if now >= since + self._dead_after_s:
                return Verdict.DEAD
            if self._talks and not self._tried_again and now >= since + SECOND_TRY * self._dead_after_s:
                return Verdict.HEARTBEAT
        return Verdict.HEARTBEAT if self._talks and now >= self._heartbeat_at else Verdict.FINE

    def next_due(self) -> float:
        """When `verdict` may change by time alone."""
        since = self._unanswered_since
        if since is None:
            return self._heartbeat_at
        if not self._talks:
            return since + self._dead_after_s
        share = 1.0 if self._tried_again else SECOND_TRY
        return min(self._heartbeat_at, since + share * self._dead_after_s)

    @property
    def _interval_s(self) -> float:
        return max(LEAST_HEARTBEAT_S, min(self._prober.interval_s, self.agreed_s))

    def _next_heartbeat(self, now: float) -> float:
        return now + self._interval_s * (EARLIEST + (LATEST - EARLIEST) * self._random())
