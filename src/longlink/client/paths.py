"""Which way to the server: the long link, or the stream where a proxy lets no long link pass; and when to look again.

Pure: no I/O, no clock. After two failures in a row of the long link the stream is tried, then both in turn until one
holds. From the stream the long link is tried after a minute, and each time twice as long after that. Read next:
supervisor.py, which goes these ways.
"""

from __future__ import annotations

from typing import Final

FAILURES: Final = 2
LOOK_AFTER_S: Final = 60.0
LONGEST_S: Final = 3600.0


class Paths:
    """One per client. allowed: False never leaves the long link. streaming: which one to try next, or is in use."""

    def __init__(self, *, allowed: bool, look_after_s: float = LOOK_AFTER_S) -> None:
        self.streaming = False
        self._allowed = allowed
        self._first_s = look_after_s
        self._look_after_s = look_after_s
        self._failures = 0

    def held(self) -> None:
        """A link came up on this way."""
        self._failures = 0
        if not self.streaming:
            self._look_after_s = self._first_s

    def failed(self) -> None:
        """No link came up on this way, or none that lived for a moment."""
        self._failures += 1
        if self._allowed and (self.streaming or self._failures >= FAILURES):
            self.streaming = not self.streaming
            # Both ways have failed by now: they take turns.
            self._failures = FAILURES - 1

    def look(self) -> float:
        """Seconds after which the long link is tried once from a stream."""
        after_s = self._look_after_s
        self._look_after_s = min(LONGEST_S, 2 * after_s)
        return after_s

    def open(self) -> None:
        """The long link has been reached from the stream: one failure, and it is the stream again."""
        self.streaming = False
        self._failures = FAILURES - 1
