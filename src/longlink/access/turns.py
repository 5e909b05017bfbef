"""Events that the pass which took them had no time for: one queue for each user, served in turn.

So a user who sends 4,000 frames at once waits for themselves, and another user's one frame waits for one of theirs.
Order is kept within a user, and so within a connection. Bounded: when it is full the gateway takes no more events, and
the core stops reading. Pure. Read next: gateway.py, arrivals.py for connections that have no user yet.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

from longlink.access.arrivals import Event, size_of

MOST: Final = 65_536
MOST_BYTES: Final = 16 * 2**20
"""Of messages; exceeded by what one pass brings. As much as waits in the core, or other users would wait there."""
CROWDED: Final = 512
"""Events of one user from which on nothing more is read of the connections that they come from."""
CROWDED_BYTES: Final = 2**20


class Turns:
    """most, most_bytes: from either on it is full."""

    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._queues: OrderedDict[str, _Queue] = OrderedDict()
        self._events = 0
        self._bytes = 0

    def __len__(self) -> int:
        return self._events

    @property
    def full(self) -> bool:
        """Whether no more events are to be taken from the core."""
        return self._events >= self._most or self._bytes >= self._most_bytes

    def add(self, user: str, event: Event) -> bool:
        """It waits, behind all others of the user; also when it is full. Returns whether the user has too many."""
        queue = self._queues.get(user)
        if queue is None:
            queue = self._queues[user] = _Queue()
        size = size_of(event)
        queue.events.append(event)
        queue.bytes += size
        self._events += 1
        self._bytes += size
        return len(queue.events) >= CROWDED or queue.bytes >= CROWDED_BYTES

    def take(self) -> Event:
        """The next event: the oldest of the user whose last turn is the longest ago. There must be one."""
        user, queue = next(iter(self._queues.items()))
        event = queue.events.popleft()
        size = size_of(event)
        queue.bytes -= size
        self._events -= 1
        self._bytes -= size
        if queue.events:
            self._queues.move_to_end(user)
        else:
            del self._queues[user]
        return event


class _Queue:
    __slots__ = ("bytes", "events")

    def __init__(self) -> None:
        self.events: deque[Event] = deque()
        self.bytes = 0
