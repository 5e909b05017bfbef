"""The registrar: enters sessions into the registry, and has those that give way ended by the gateways that hold them.

One path for a session of the same gateway and of another one. Never closes a connection itself. Read next: bus/base.py.
"""

from __future__ import annotations

import asyncio

from longlink import errors
from longlink.routing.bus.base import Bus, Ending
from longlink.routing.sessions import MemorySessions, Session


class Registrar:
    """The Registry of the process that holds the sessions in memory."""

    def __init__(self, sessions: MemorySessions, bus: Bus) -> None:
        self._sessions = sessions
        self._bus = bus

    async def add(self, session: Session) -> None:
        self._end(self._sessions.add(session), session)

    async def restore(self, session: Session) -> None:
        """Enter a session that is older than this registry. It gives way to a newer one that is here already."""
        self._end(self._sessions.restore(session), session)

    async def remove(self, session: Session) -> None:
        self._sessions.remove(session)

    def _end(self, giving_way: list[Session], newcomer: Session) -> None:
        for old in giving_way:
            ending = Ending(old.id, old.connection, errors.REPLACED.code, _why_replaced(old, newcomer))
            self._bus.end(old.gateway, [ending])

    async def forget(self, gateway: int) -> None:
        """Forget all sessions of a gateway that has gone. Other work goes on meanwhile."""
        for _ in self._sessions.forget(gateway):
            await asyncio.sleep(0)


def _why_replaced(old: Session, new: Session) -> str:
    if old == new:
        return f"device {old.device!r} connected again, or as many newer ones as a user may have"
    if old.device == new.device:
        return f"device {new.device!r} connected again"
    return f"device {new.device!r} connected, and {old.device!r} was the oldest of as many as a user may have"
