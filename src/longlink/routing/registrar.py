"""The registrar: enters sessions into the registry, and has those that give way ended by the gateways that hold them.

One path for a session of the same gateway and of another one. Never closes a connection itself. Read next: bus/base.py.
"""

from __future__ import annotations

from longlink import errors
from longlink.routing.bus.base import Bus, Ending
from longlink.routing.sessions import MemorySessions, Session


class Registrar:
    """The Registry of the process that holds the sessions in memory."""

    def __init__(self, sessions: MemorySessions, bus: Bus) -> None:
        self._sessions = sessions
        self._bus = bus

    async def add(self, session: Session) -> None:
        for old in self._sessions.add(session):
            ending = Ending(old.id, old.connection, errors.REPLACED.code, _why_replaced(old, session))
            self._bus.end(old.gateway, [ending])

    async def remove(self, session: Session) -> None:
        self._sessions.remove(session)


def _why_replaced(old: Session, new: Session) -> str:
    if old.device == new.device:
        return f"device {new.device!r} connected again"
    return f"device {new.device!r} connected, and {old.device!r} was the oldest of as many as a user may have"
