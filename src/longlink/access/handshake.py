"""From a Connect frame to an identity: by its token, or by the key of a session. The only place where identity is made.

Read next: tokens.py, resume.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from longlink import errors
from longlink.access.resume import ResumeKeys
from longlink.access.tokens import Verifier
from longlink.errors import LonglinkError
from longlink.protocol.frames import Connect
from longlink.routing.sessions import Session

LONGEST_LIFETIME_MS: Final = 365 * 86_400_000
"""A year, a little less than the core's timers can tell apart from the past (core/engine/src/time/clock.rs). Less would
end valid tokens: at its end the core says token_expired, and a client with that token does not come back."""


class Admitted(NamedTuple):
    """Who is there. lifetime_ms: until the token expires, at least 1.

    session, link: those that a key names; 0 with a token.
    """

    user: str
    platform: str
    session: int
    link: int
    expires_at_s: float
    lifetime_ms: int


class Handshake:
    """now_s: seconds since the Unix epoch."""

    def __init__(self, verifier: Verifier, keys: ResumeKeys, now_s: Callable[[], float]) -> None:
        self._verifier = verifier
        self._keys = keys
        self._now_s = now_s

    def verify(self, connect: Connect) -> Admitted:
        """Raises TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_FOREIGN; KEY_INVALID, KEY_EXPIRED, KEY_FOREIGN."""
        now_s = self._now_s()
        if connect.key:
            user, device, platform, session, link, expires_at_s = self._keys.read(connect.key, now_s)
            if device != connect.device:
                raise LonglinkError(errors.KEY_FOREIGN, f"the key is not for device {connect.device!r}")
        else:
            user, expires_at_s = self._verifier.verify(connect.token, now_s)
            platform, session, link = connect.platform, 0, 0
        return Admitted(user, platform, session, link, expires_at_s, self.lifetime_ms(expires_at_s))

    def renew(self, user: str, token: str) -> float:
        """When a new token of a user who is connected expires, Unix time in seconds. Raises what verify raises."""
        said, expires_at_s = self._verifier.verify(token, self._now_s())
        if said != user:
            raise LonglinkError(errors.TOKEN_FOREIGN, "expected a token of the user of this connection, got another's")
        return expires_at_s

    def lifetime_ms(self, expires_at_s: float) -> int:
        """How long a connection may live whose token expires then; at least 1."""
        return max(1, min(int((expires_at_s - self._now_s()) * 1000), LONGEST_LIFETIME_MS))

    def key(self, session: Session, expires_at_s: float) -> str:
        """What its client shows to go on with this session after this link."""
        return self._keys.make(session, expires_at_s)
