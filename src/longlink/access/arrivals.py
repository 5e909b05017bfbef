"""The waiting room of a gateway: events of connections that have no session yet, in order, so that others go first.

When thousands come back at once, each of them costs as much as many messages; who is connected already must not stand
behind all of them. Pure. Bounded: when it is full the gateway takes no events, and the core stops reading. Read next:
gateway.py.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Final

Event = tuple[int, int, bytes | int]
"""As the core tells it: kind, connection, data."""

MOST: Final = 65_536
MOST_BYTES: Final = 4 * 2**20
"""Of messages; exceeded by what one pass brings."""


class Arrivals:
    """most, most_bytes: from either on it is full."""

    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._events: deque[Event] = deque()
        self._of: Counter[int] = Counter()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._events)

    def __contains__(self, connection: int) -> bool:
        """Whether any event of this connection waits, so that later ones must too."""
        return connection in self._of

    @property
    def full(self) -> bool:
        """Whether no more events are to be taken from the core."""
        return len(self._events) >= self._most or self._bytes >= self._most_bytes

    def add(self, event: Event) -> None:
        """It waits, behind all others; also when it is full."""
        self._events.append(event)
        self._of[event[1]] += 1
        self._bytes += size_of(event)

    def take(self, most: int) -> list[Event]:
        """The first ones, which wait no longer."""
        taken = [self._events.popleft() for _ in range(min(most, len(self._events)))]
        for event in taken:
            self._bytes -= size_of(event)
            self._of[event[1]] -= 1
            if not self._of[event[1]]:
                del self._of[event[1]]
        return taken


def size_of(event: Event) -> int:
    """Bytes of the message in it."""
    return len(event[2]) if isinstance(event[2], bytes) else 0
