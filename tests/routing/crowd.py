"""Sessions and registries for tests: a clock that stands still until it is moved, and who is attached where.

Read next: test_registry.py.
"""

from __future__ import annotations

import asyncio

from longlink import config
from longlink.ops.metrics import Counts
from longlink.protocol.codec import Encoding
from longlink.routing.ids import COUNTER_BITS
from longlink.routing.registry import MemorySessions
from longlink.routing.sessions import Session

EAST, WEST = 1, 2


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Hall:
    """A registry with its clock and its counts."""

    def __init__(self, **settings: object) -> None:
        self.clock = Clock()
        self.counts = Counts()
        self.sessions = MemorySessions(config.Sessions(**settings), self.counts, self.clock)  # type: ignore[arg-type]

    def attached(self, *users: str) -> list[Session]:
        """Who is there, in the order of the registry."""
        return [record.session for user in users for record, _ in self.sessions.of(user) if record.attached]

    def waiting(self, user: str) -> list[str]:
        """The devices of a user that wait for their client."""
        return [record.session.device for record, _ in self.sessions.of(user) if not record.attached]

    def reach(self, *users: str, besides: int = 0) -> list[Session]:
        """Who is handed an event."""
        return asyncio.run(self.sessions.reach(users, besides))


def session(
    number: int, device: str = "phone", user: str = "alice", gateway: int = EAST, platform: str = ""
) -> Session:
    """A new session on its first link. The higher the number, the newer."""
    id_ = gateway << COUNTER_BITS | number
    return Session(user, device, platform, id_, id_, number, Encoding.BINARY)


def on(old: Session, number: int, gateway: int = EAST) -> Session:
    """The same session on another link."""
    link = gateway << COUNTER_BITS | number
    return Session(old.user, old.device, old.platform, old.id, link, number, old.encoding)
