"""From a Connect frame to an identity: the protocol version, then the token. The only place where identity is made.

Read next: tokens.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from longlink.access.tokens import Verifier
from longlink.protocol.frames import Connect

LONGEST_LIFETIME_MS: Final = 365 * 86_400_000
"""A year, a little less than the core's timers can tell apart from the past (core/engine/src/time/clock.rs). Less would
end valid tokens: at its end the core says token_expired, and a client with that token does not come back."""


class Admitted(NamedTuple):
    """lifetime_ms: until the token expires, at least 1."""

    user: str
    lifetime_ms: int


class Handshake:
    def __init__(self, verifier: Verifier, now_s: Callable[[], float]) -> None:
        self._verifier = verifier
        self._now_s = now_s

    def verify(self, connect: Connect) -> Admitted:
        """Raises TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_FOREIGN."""
        now_s = self._now_s()
        identity = self._verifier.verify(connect.token, now_s)
        lifetime_ms = int((identity.expires_at_s - now_s) * 1000)
        return Admitted(identity.user, max(1, min(lifetime_ms, LONGEST_LIFETIME_MS)))
