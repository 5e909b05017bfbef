"""The registrar: what gateways, commands and operators do to sessions, and what others must hear of it over the bus.

One path for a session of the same gateway and of another one. Never closes a connection itself. Read next: registry.py,
bus/base.py.
"""

from __future__ import annotations

import asyncio
from typing import Final

from longlink import errors
from longlink.errors import LonglinkError, Row
from longlink.ops import logs
from longlink.ops.metrics import Counts
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Frame, Missed
from longlink.routing.bus.base import Bus, Ending, Parcel
from longlink.routing.delivery import EVENT
from longlink.routing.registry import Entered, MemorySessions, Record
from longlink.routing.sessions import FRESH, Arrival, Session

log = logs.get("sessions")

LOOK_S: Final = 1.0
"""At least so long between two looks at who has waited too long."""
AT_ONCE_S: Final = 0.001
"""The same when a look has left some of them."""
EXPIRED: Final = 2_000
"""Sessions that one look ends: a few milliseconds."""


class Registrar:
    """The Registry of the process that holds the sessions in memory."""

    def __init__(self, sessions: MemorySessions, bus: Bus, counts: Counts) -> None:
        self._sessions = sessions
        self._bus = bus
        self._counts = counts
        self._timer: asyncio.TimerHandle | None = None

    # What gateways tell -----------------------------------------------------------------------------------------------

    async def add(self, session: Session, arrival: Arrival = FRESH) -> None:
        """As Registry."""
        self._settle(session, self._sessions.add(session, arrival))

    async def restore(self, session: Session, arrival: Arrival = FRESH) -> None:
        """Enter a link that is older than this registry. It gives way to a newer one that is here already."""
        self._settle(session, self._sessions.restore(session, arrival))

    async def remove(self, session: Session) -> None:
        """As Registry."""
        self._sessions.remove(session)
        self._watch()

    async def forget(self, gateway: int) -> None:
        """All links of a gateway that has gone have ended. Other work goes on meanwhile."""
        for _ in self._sessions.forget(gateway):
            await asyncio.sleep(0)
        self._watch()

    def _settle(self, newcomer: Session, entered: Entered) -> None:
        for loser in entered.losers:
            self._end(*loser)
        if entered.missed:
            self._tell_missed(newcomer)

    # What commands and operators do -----------------------------------------------------------------------------------

    def resume(self, session: Session, link: int, received: int) -> bool | None:
        """Whether a client that got so many events of this link lacks any; None when its session has ended.

        Raises KEY_REUSED as check_key.
        """
        self.check_key(session, link)
        missed = self._sessions.resume(session, link, received)
        self._counts.resumes["unknown" if missed is None else "missed" if missed else "whole"] += 1
        return missed

    def adjust(self, session: Session, *, background: bool) -> None:
        """Leave events out, or send them again; then the client is told that it missed some, if it did."""
        if self._sessions.adjust(session, background=background):
            self._tell_missed(session)

    def log_out(self, session: Session, *, everywhere: bool) -> int:
        """End this session, or all of its user; returns how many. The link that asked is left to its gateway."""
        ended = self._sessions.end(session.user, lambda each: everywhere or each.id == session.id)
        self._counts.logouts += len(ended)
        others = [each for each in ended if not session.connection or each.session.link != session.link]
        self._end_all(others, errors.LOGGED_OUT, "the user has logged out")
        return len(ended)

    def end(self, user: str, device: str | None) -> list[Record]:
        """End the sessions of a user, or of one of their devices, because the operator wants it; returns them."""
        ended = self._sessions.end(user, lambda each: device is None or each.device == device)
        self._counts.sessions_ended += len(ended)
        self._end_all(ended, errors.SESSION_ENDED, "the operator has ended this session")
        return ended

    def of(self, user: str) -> list[tuple[Record, float]]:
        """As MemorySessions."""
        return self._sessions.of(user)

    def require(self, session: Session) -> None:
        """For a call by key without a connection. Raises SESSION_UNKNOWN when the session has ended; KEY_REUSED."""
        if self._sessions.find(session) is None:
            raise LonglinkError(errors.SESSION_UNKNOWN, "the session of this key has ended or was forgotten")
        self.check_key(session, session.link)

    def check_key(self, session: Session, link: int) -> None:
        """The key of a link may be used while its client cannot have a newer one. Raises KEY_REUSED.

        An older one was stolen, or a newer one was and is in use: the session ends for both.
        """
        if not self._sessions.is_reused(session, link):
            return
        ended = self._sessions.end(session.user, lambda each: each.id == session.id)
        self._counts.keys_reused += len(ended)
        log.warning("resume_key_reused", user=session.user, device=session.device, session=session.id)
        message = "an old key of this session was used: it may have been stolen, so the session has ended"
        self._end_all(ended, errors.KEY_REUSED, message)
        raise LonglinkError(errors.KEY_REUSED, message)

    def some(self, most: int) -> list[tuple[Record, float]]:
        """As MemorySessions."""
        return self._sessions.some(most)

    def _end_all(self, ended: list[Record], row: Row, why: str) -> None:
        for record in ended:
            if record.attached:
                self._end(record.session, row, why)

    def _end(self, session: Session, row: Row, why: str) -> None:
        self._bus.end(session.gateway, [Ending(session.link, session.connection, row.code, why)])

    def _tell_missed(self, session: Session) -> None:
        payload = session.encoding.encode(Frame(missed=Missed()))
        parcel = Parcel((session.connection,), payload, EVENT, session.encoding is Encoding.TEXT)
        self._bus.publish(session.gateway, [parcel])

    # Time -------------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Look after those who wait no longer."""
        if self._timer is not None:
            self._timer.cancel()

    def _watch(self) -> None:
        if self._timer is None:
            self._expire()

    def _expire(self) -> None:
        self._timer = None
        left_s = self._sessions.expire(EXPIRED)
        if left_s is not None:
            pause_s = max(left_s, LOOK_S) if left_s > 0 else AT_ONCE_S
            self._timer = asyncio.get_running_loop().call_later(pause_s, self._expire)
