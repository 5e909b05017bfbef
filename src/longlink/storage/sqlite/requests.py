"""The kinds of write that wait for a commit, and the job that carries one from its caller to the writer and back.

Values only. Read next: plan.py, which turns the requests of one batch into rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from longlink.errors import LonglinkError
from longlink.storage.base import Append, Appended, Mark, Marked


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
    """One request on its way. weight: writes in it; size: bytes of content; answer: set by the writer thread."""

    request: Request
    future: asyncio.Future[Answer]
    weight: int
    size: int
    answer: Answer = None


def weigh(request: Request) -> tuple[int, int]:
    """The writes in a request, at least 1, and the bytes of content in it."""
    match request:
        case Appends(items):
            return max(len(items), 1), sum([len(item.content) for item in items])
        case Marks(items):
            return max(len(items), 1), 0
        case Remember(users):
            return max(len(users), 1), 0
        case OpenDirect() | Probe():
            return 1, 0
