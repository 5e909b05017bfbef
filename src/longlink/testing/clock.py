"""A clock for a server in this process, `longlink.Server(config, now_ms=clock)`: time passes when a test says so.

It is the server's calendar: when messages were sent, and until when tokens and keys are good. Never sleeps, and moves
no timers. Read next: server.py, for servers in processes of their own, which have the machine's clock.
"""

from __future__ import annotations

from typing import Final

BEGIN_MS: Final = 1_790_000_000_000


class Clock:
    """ms since the Unix epoch."""

    def __init__(self, now_ms: int = BEGIN_MS) -> None:
        self._now_ms = now_ms

    def __call__(self) -> int:
        return self._now_ms

    def advance(self, ms: int) -> None:
        """Let time pass; below 0 the clock is set back, as those of machines sometimes are."""
        self._now_ms += ms
