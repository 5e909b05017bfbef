"""What a run shows while it runs: on a terminal one line that is rewritten, elsewhere a line for each phase.

Writes to stderr only, so that results can be piped. Read next: rounds.py.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from typing import Final, TextIO

SHOWN: Final = ("joined", "lost", "retries", "echoes", "deliveries", "acked", "received", "heartbeats_answered")
"""Counts worth a place on the line, when they are not 0."""
EVERY_S: Final = 0.1


class Progress:
    """phase: what is done now; counts come from the load."""

    def __init__(self, out: TextIO = sys.stderr) -> None:
        self._out = out
        self._rewrites = out.isatty()
        self._begun = time.monotonic()
        self._phase = ""
        self._next = 0.0

    def phase(self, words: str) -> None:
        """Begin another phase."""
        self._phase = words
        self._next = 0.0
        if self._rewrites:
            self.counts({})
        else:
            self._out.write(f"{self._elapsed()}  {words}\n")
            self._out.flush()

    def counts(self, counts: Mapping[str, float]) -> None:
        """How far the phase is; a terminal sees it ten times a second at most."""
        now = time.monotonic()
        if not self._rewrites or now < self._next:
            return
        self._next = now + EVERY_S
        shown = [f"{counts[name]:,.0f} {name.replace('_', ' ')}" for name in SHOWN if counts.get(name)]
        line = "  ".join([self._elapsed(), self._phase, *shown])
        self._out.write("\r\x1b[K" + line[: shutil.get_terminal_size().columns - 1])
        self._out.flush()

    def wait(self, seconds: float) -> None:
        """Sleep, and keep the line alive."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.counts({})
            time.sleep(min(left, EVERY_S * 2) if self._rewrites else left)

    def say(self, words: str) -> None:
        """A line that stays."""
        self.end()
        self._out.write(f"{words}\n")
        self._out.flush()

    def end(self) -> None:
        """Leave an empty line for what comes next."""
        if self._rewrites:
            self._out.write("\r\x1b[K")
            self._out.flush()

    def _elapsed(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._begun), 60)
        return f"{minutes}:{seconds:02}"
