"""The writes that wait, in turns by user: one who asks for much waits behind themselves, not everybody behind them.

As long as everything that waits fits into one commit it goes in the order of the calls. Beyond that each call is split
by user, and the users take turns of TURN writes or TURN_BYTES; the writes of one user keep their order. Nothing is due
while only marks wait that may be late. Pure and not locked: its owner locks. Read next: writer.py.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from longlink.storage.sqlite.requests import Job, Part

TURN: Final = 16
"""Writes of one user in a row while others wait."""
TURN_BYTES: Final = 65_536
"""Bytes of content of one user in a row, and one write more."""


class Turns:
    """What waits. due: whether a commit should begin now."""

    def __init__(self, most: int, most_bytes: int) -> None:
        """most: writes in one commit; most_bytes: bytes of content in it, exceeded by one write at most."""
        self._most = most
        self._most_bytes = most_bytes
        self._calls: deque[Job] = deque()
        self._weight = 0
        self._bytes = 0
        self._lanes: dict[str, deque[tuple[Job, int]]] = {}
        self._order: deque[str] = deque()
        self.due = False

    def __len__(self) -> int:
        """Calls that wait, and users whose writes do."""
        return len(self._calls) + len(self._lanes)

    def put(self, job: Job, *, late: bool) -> None:
        """late: it may wait for the next commit that is due for another reason."""
        self._calls.append(job)
        self._weight += job.weight
        self._bytes += job.size
        if not late or self._weight >= self._most:
            self.due = True

    def take(self) -> list[Part]:
        """The next commit; empty when none is due."""
        if not self.due:
            return []
        if not self._lanes and self._weight <= self._most and self._bytes <= self._most_bytes:
            parts = [Part(job, job.request) for job in self._calls]
            self._forget_calls()
            self.due = False
            return parts
        self._split()
        parts = self._in_turns()
        self.due = bool(self._lanes)
        return parts

    def _forget_calls(self) -> None:
        self._calls.clear()
        self._weight = self._bytes = 0

    def _split(self) -> None:
        for job in self._calls:
            for place, (user, _) in enumerate(job.entries):
                lane = self._lanes.get(user)
                if lane is None:
                    lane = self._lanes[user] = deque()
                    self._order.append(user)
                lane.append((job, place))
        self._forget_calls()

    def _in_turns(self) -> list[Part]:
        parts: list[Part] = []
        weight = size = 0
        while self._order and weight < self._most and size < self._most_bytes:
            user = self._order.popleft()
            lane = self._lanes[user]
            room, room_bytes = min(TURN, self._most - weight), min(TURN_BYTES, self._most_bytes - size)
            while lane and room > 0 and room_bytes > 0:
                job, places = lane[0][0], []
                while lane and lane[0][0] is job and room > 0 and room_bytes > 0:
                    place = lane.popleft()[1]
                    places.append(place)
                    room -= 1
                    weight += 1
                    room_bytes -= job.entries[place][1]
                    size += job.entries[place][1]
                parts.append(Part.of(job, places))
            if lane:
                self._order.append(user)
            else:
                del self._lanes[user]
        return parts
