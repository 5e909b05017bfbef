"""The reads that wait, in turns by user, by the entries that they ask for.

Of one user at most one look is under way, so nobody holds all reader threads; what others ask goes before the next.
Small reads of several users are one look, a large one goes alone. Pure and not locked: its owner locks. Read next:
reader.py.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from longlink.errors import LonglinkError
from longlink.storage.base import Changes, Conversation, Page, Synced
from longlink.storage.sqlite.changes import ListQuery, OneQuery, SyncQuery
from longlink.storage.sqlite.history import HistoryQuery

TOGETHER: Final = 32
"""Reads in one look."""
ENTRIES: Final = 100
"""Entries of one look; a read that asks for more goes alone, and its user then sits out a turn for each so many."""

Query = HistoryQuery | OneQuery | ListQuery | SyncQuery
Found = Page | Conversation | Changes | Synced


@dataclass(slots=True, eq=False)
class ReadJob:
    """One read on its way. weight: entries that it may find."""

    query: Query
    future: asyncio.Future[Found]
    weight: int
    answer: Found | LonglinkError | None = None


@dataclass(slots=True, eq=False)
class _Lane:
    """The reads of one user. owed: turns to sit out."""

    jobs: deque[ReadJob] = field(default_factory=deque)
    owed: int = 0
    busy: bool = False


class ReadTurns:
    """What waits for the reader threads."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._lanes: dict[str, _Lane] = {}
        self._order: deque[str] = deque()

    def __len__(self) -> int:
        """Users with reads that wait or are under way."""
        return len(self._lanes)

    def put(self, job: ReadJob) -> None:
        """Behind the other reads of its user."""
        user = job.query.user
        lane = self._lanes.get(user)
        if lane is None:
            lane = self._lanes[user] = _Lane()
        if not lane.jobs and not lane.busy:
            self._order.append(user)
        lane.jobs.append(job)

    def take(self) -> list[ReadJob]:
        """The next look, one read of each user at most; empty when nobody's turn can come now."""
        jobs: list[ReadJob] = []
        most = min(TOGETHER, 1 + len(self._order) // self._threads)
        while self._order and not jobs:
            self._go_round(jobs, most)
        return jobs

    def _go_round(self, jobs: list[ReadJob], most: int) -> None:
        weight = 0
        for _ in range(len(self._order)):
            user = self._order[0]
            lane = self._lanes[user]
            if lane.owed:
                lane.owed -= 1
                self._order.rotate(-1)
                continue
            if len(jobs) == most or (jobs and weight + lane.jobs[0].weight > ENTRIES):
                return
            self._order.popleft()
            job = lane.jobs.popleft()
            lane.busy = True
            lane.owed = job.weight // ENTRIES
            weight += job.weight
            jobs.append(job)

    def done(self, jobs: Iterable[ReadJob]) -> None:
        """The look at these has ended."""
        for job in jobs:
            user = job.query.user
            lane = self._lanes[user]
            lane.busy = False
            if lane.jobs:
                self._order.append(user)
            else:
                del self._lanes[user]


def weigh(query: Query) -> int:
    """How many entries a read may find, at least 1."""
    match query:
        case OneQuery():
            return 1
        case SyncQuery():
            return max(1, query.limit * query.messages)
        case _:
            return max(1, query.limit)
