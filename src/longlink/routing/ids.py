"""Session ids: one number names a session among all machines, and a JavaScript number holds it (52 bits).

    server (10) | worker (8) | counter (34)

server is the setting server.number, worker the gateway process of that machine (0: everything is one process), and both
together are the number of a gateway. The counter is the clock in steps of 1/8192 s, at least one more than the last: so
the ids of one machine say which session is newer, and a process that is started again repeats none, unless the one
before took more than 8,192 sessions a second over its whole life. It begins anew after 2^34 steps, 24 days; an id
returns only if the same worker gave it out exactly that long ago. Pure: the clock is handed in. Read next: sessions.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

WORKER_BITS: Final = 8
COUNTER_BITS: Final = 34
LARGEST_WORKER: Final = 2**WORKER_BITS - 1
STEPS_PER_S: Final = 8192
COUNTERS: Final = 2**COUNTER_BITS - 1
"""How many counters there are: 0 is none, so that no id is 0."""


def gateway_number(server: int, worker: int) -> int:
    """The number of one gateway process of one machine: where the ids of its sessions begin."""
    return server << WORKER_BITS | worker


def worker_of(gateway: int) -> int:
    """Which worker of its machine a gateway is."""
    return gateway & LARGEST_WORKER


def age(one: int, other: int) -> int:
    """Above 0 when the session with the first id came after the other one, if less than 12 days lie between them."""
    half = 1 << COUNTER_BITS - 1
    return (one - other + half) % (2 * half) - half


class SessionIds:
    """Makes the ids of one gateway. now_s: seconds since the Unix epoch."""

    def __init__(self, server: int, worker: int, now_s: Callable[[], float]) -> None:
        self.gateway: Final = gateway_number(server, worker)
        self._now_s = now_s
        self._counter = 0

    def next(self) -> int:
        """An id that no session of this process has; newer than those that the clock has left behind."""
        self._counter = max(self._counter + 1, int(self._now_s() * STEPS_PER_S))
        return self.gateway << COUNTER_BITS | self._counter % COUNTERS + 1

    def age_s(self, id_: int) -> float:
        """How long ago an id of this process was made, in seconds, if it is less than 12 days."""
        now = int(self._now_s() * STEPS_PER_S) % COUNTERS + 1
        return max(0, age(now, id_ & 2**COUNTER_BITS - 1)) / STEPS_PER_S
