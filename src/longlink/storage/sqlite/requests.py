"""The kinds of write that wait for a commit, and the job that carries one to the writer and back.

Values only. Read next: plan.py, which turns the requests of one batch into rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from longlink.errors import LonglinkError
from longlink.storage.base import Append, Appended, Mark, Marked

NOBODY: Final = ""
"""Whose writes those are that no user asked for."""


@dataclass(frozen=True, slots=True)
class Appends:
    """Answer: list[Appended | LonglinkError], one per item."""

    items: Sequence[Append]


@dataclass(frozen=True, slots=True)
class Marks:
    """Answer: list[Marked | LonglinkError], one per item."""

    items: Sequence[Mark]


@dataclass(frozen=True, slots=True)
class OpenDirect:
    """Answer: the conversation's public id and whether it is new, or LonglinkError."""

    user: str
    peer: str
    accept: bool
    create: bool


@dataclass(frozen=True, slots=True)
class Remember:
    """Answer: None."""

    users: Sequence[str]


@dataclass(frozen=True, slots=True)
class Probe:
    """A write that changes nothing anyone reads. Answer: None."""


Request = Appends | Marks | OpenDirect | Remember | Probe
Answer = list[Appended | LonglinkError] | list[Marked | LonglinkError] | tuple[str, bool] | LonglinkError | None


@dataclass(slots=True, eq=False)
class Job:
    """One request on its way.

    entries: the user and the bytes of content of each write in it
    size: bytes of content in all
    answers: of the writes that are done, when it is split
    """

    request: Request
    future: asyncio.Future[Answer]
    entries: Sequence[tuple[str, int]]
    size: int
    answers: dict[int, Any] = field(default_factory=dict)

    @property
    def weight(self) -> int:
        """Writes in it."""
        return len(self.entries)


@dataclass(slots=True, eq=False)
class Part:
    """What one commit has of a job. places: of its writes in the job, None for all; answer: of the writer's thread."""

    job: Job
    request: Request
    places: Sequence[int] | None = None
    answer: Answer = None

    @classmethod
    def of(cls, job: Job, places: Sequence[int]) -> Part:
        """Some writes of a job."""
        if len(places) == job.weight:
            return cls(job, job.request)
        return cls(job, chosen(job.request, places), places)


def chosen(request: Request, places: Sequence[int]) -> Request:
    """The request with only some of its items."""
    match request:
        case Appends(items):
            return Appends([items[place] for place in places])
        case Marks(items):
            return Marks([items[place] for place in places])
        case Remember(users):
            return Remember([users[place] for place in places])
        case _:
            return request


def entries(request: Request) -> list[tuple[str, int]]:
    """For each write in a request, at least one: the user who asks for it, and its bytes of content."""
    match request:
        case Appends(items):
            found = [(item.sender, len(item.content)) for item in items]
        case Marks(items):
            found = [(item.user, 0) for item in items]
        case Remember(users):
            found = [(user, 0) for user in users]
        case OpenDirect():
            return [(request.user, 0)]
        case Probe():
            return [(NOBODY, 0)]
    return found or [(NOBODY, 0)]


def weigh(request: Request) -> int:
    """The writes in a request, at least 1."""
    match request:
        case Appends(items) | Marks(items):
            return len(items) or 1
        case Remember(users):
            return len(users) or 1
        case _:
            return 1
