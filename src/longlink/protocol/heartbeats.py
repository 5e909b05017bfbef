"""How long a client may be silent: what it asks for, within the server's bounds. Pure.

Read next: ../logic/connect.py and adjust.py, which agree on it; ../access/gateway.py, which holds the client to it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

PATIENCE: Final = 2.25
"""The server closes after so many of them, so that one lost heartbeat does not end a link."""


class Heartbeats(NamedTuple):
    """usual_ms: for clients that ask for nothing. idle_ms: the longest silence of any link; 0: no limit."""

    usual_ms: int
    least_ms: int
    most_ms: int
    idle_ms: int

    @classmethod
    def within(cls, usual_ms: int, least_ms: int, most_ms: int, idle_ms: int) -> Heartbeats:
        """As idle_ms allows, whatever else is set, and with the usual one among those that may be asked for."""
        if idle_ms:
            most_ms = min(most_ms, int(idle_ms / PATIENCE))
        return cls(usual_ms, min(least_ms, usual_ms), max(most_ms, usual_ms), idle_ms)

    def agreed(self, asked_ms: int) -> int:
        """asked_ms: 0 for whatever the server likes."""
        return min(max(asked_ms or self.usual_ms, self.least_ms), self.most_ms)

    def patience(self, agreed_ms: int) -> int:
        """After how many ms of silence a link is closed; 0: never."""
        return min(int(PATIENCE * agreed_ms), self.idle_ms)
