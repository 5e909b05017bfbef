"""Who is where: the sessions of connected users, and the registry that finds them.

A session is one device of one user on one connection of one gateway. The registry is a narrow interface because a
cluster keeps it in a database; Memory is the embedded one. Nothing here sends anything. Read next: delivery.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from longlink.protocol.codec import Encoding


class Session(Struct, frozen=True, gc=False):
    """user and device as the token and Connect named them; connection: the core's number on that gateway (52 bits)."""

    user: str
    device: str
    gateway: str
    connection: int
    encoding: Encoding

    @property
    def id(self) -> str:
        """Names this session in logs and to the client: gateway and connection in hexadecimal."""
        return f"{self.gateway}-{self.connection:x}"


class Sessions(Protocol):
    """The registry. A user and device have at most one session, a user a bounded number of them; the newest win."""

    async def add(self, session: Session) -> list[Session]:
        """Register; returns the sessions that give way to this one, which their gateways must close."""

    async def remove(self, session: Session) -> None:
        """Forget exactly this session; a newer one of the same device stays."""

    async def of(self, users: Sequence[str]) -> list[Session]:
        """All sessions of these users, in no particular order."""


class MemorySessions:
    """The embedded registry. A user with one device costs one dictionary entry and no container of its own.

    most: sessions of one user; the oldest gives way, because it is the likeliest to be dead.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_user: dict[str, Session | tuple[Session, ...]] = {}

    async def add(self, session: Session) -> list[Session]:
        here = self._of(session.user)
        others = [old for old in here if old.device != session.device]
        staying = others[max(0, len(others) + 1 - self._most) :]
        self._put(session.user, (*staying, session))
        return [old for old in here if old not in staying]

    async def remove(self, session: Session) -> None:
        here = self._of(session.user)
        if session in here:
            self._put(session.user, tuple(old for old in here if old != session))

    async def of(self, users: Sequence[str]) -> list[Session]:
        found: list[Session] = []
        for user in users:
            here = self._by_user.get(user)
            if isinstance(here, Session):
                found.append(here)
            elif here is not None:
                found.extend(here)
        return found

    def _of(self, user: str) -> tuple[Session, ...]:
        here = self._by_user.get(user, ())
        return (here,) if isinstance(here, Session) else here

    def _put(self, user: str, sessions: tuple[Session, ...]) -> None:
        if not sessions:
            del self._by_user[user]
        else:
            self._by_user[user] = sessions[0] if len(sessions) == 1 else sessions
