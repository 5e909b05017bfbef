"""Who is where: the sessions of connected users, and the registry that finds them.

A session is one device of one user on one connection of one gateway. The interfaces are narrow because a gateway may
be another process than the registry; Memory is the embedded one. Nothing here sends anything. Read next: registrar.py
for those that give way, delivery.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cmp_to_key
from typing import Final, Protocol

from msgspec import Struct

from longlink.protocol.codec import Encoding
from longlink.routing.ids import COUNTER_BITS, age

FORGOTTEN: Final = 2_000
"""Users that one step of forgetting looks at: about a millisecond."""


class Session(Struct, frozen=True, gc=False, array_like=True):
    """user, device and platform as the token and Connect named them; connection: the core's number on its gateway (52
    bits), 0 for nowhere.

    id: names it among all machines for its whole life, see ids.py; link: the same for each connection of it, so that
    the first link has the number of the session. 0: somebody who has none, as a caller over HTTP with a token.
    """

    user: str
    device: str
    platform: str
    id: int
    link: int
    connection: int
    encoding: Encoding

    @property
    def gateway(self) -> int:
        """The number of the gateway that holds the connection."""
        return self.link >> COUNTER_BITS


class Registry(Protocol):
    """What gateways tell. A user and device have at most one session, a user a bounded number; the newest win."""

    async def add(self, session: Session) -> None:
        """Register. Later calls of this gateway find the session; those that give way to it are ended by the bus."""

    async def remove(self, session: Session) -> None:
        """Forget exactly this session; a newer one of the same device stays."""


class Sessions(Protocol):
    """What delivery asks."""

    async def of(self, users: Sequence[str]) -> list[Session]:
        """All sessions of these users, in no particular order."""


class MemorySessions:
    """The embedded registry. A user with one device costs one dictionary entry and no container of its own.

    most: sessions of one user; the oldest gives way, because it is the likeliest to be dead.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_user: dict[str, Session | tuple[Session, ...]] = {}
        self.count = 0

    def add(self, session: Session) -> list[Session]:
        """Register; returns the sessions that give way to this one. The same one again changes nothing."""
        here = self._of(session.user)
        if session in here:
            return []
        others = [old for old in here if old.device != session.device]
        staying = others[max(0, len(others) + 1 - self._most) :]
        self._put(session.user, (*staying, session))
        return [old for old in here if old not in staying]

    def restore(self, session: Session) -> list[Session]:
        """As add, for a session that was there before this registry: the newest ids win, and may be here already."""
        here = self._of(session.user)
        if any(old.device == session.device and age(old.id, session.id) > 0 for old in here):
            return [session]
        others = [old for old in here if old.device != session.device]
        staying = sorted((*others, session), key=cmp_to_key(_by_age))[-self._most :]
        self._put(session.user, tuple(staying))
        return [old for old in (*here, session) if old not in staying]

    def remove(self, session: Session) -> None:
        """Forget exactly this session. Unknown is fine."""
        here = self._of(session.user)
        if session in here:
            self._put(session.user, tuple(old for old in here if old != session))

    def forget(self, gateway: int) -> Iterator[None]:
        """Forget all sessions of a gateway, some at each step; sessions that come meanwhile may be forgotten too."""
        for number, user in enumerate(list(self._by_user), 1):
            here = self._of(user)
            staying = tuple(old for old in here if old.gateway != gateway)
            if len(staying) < len(here):
                self._put(user, staying)
            if number % FORGOTTEN == 0:
                yield

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
        self.count += len(sessions) - len(self._of(user))
        if not sessions:
            del self._by_user[user]
        else:
            self._by_user[user] = sessions[0] if len(sessions) == 1 else sessions


def _by_age(one: Session, other: Session) -> int:
    return age(one.id, other.id)
