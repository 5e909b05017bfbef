"""Calls that logic has not answered: kept in order, so that they can be sent again, and bounded in number, bytes, time.

Pure: no I/O, no clock (`now_s` is passed in). A batch is taken whole or not at all; where nothing waits any batch is
taken, since the core bounds what one pass of the gateway brings. Read next: gateway.py.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec import Struct

from longlink.routing.calls import Call, Reply
from longlink.routing.trunk.frames import Calls


class Bounds(NamedTuple):
    """calls: most that wait; call_bytes: of their frames together; answer_s: how long one may wait."""

    calls: int
    call_bytes: int
    answer_s: float


class Batch(Struct, frozen=True):
    """One batch that waits. calls: as they came; until_s: when it is given up."""

    calls: Sequence[Call]
    frame: Calls
    size: int
    until_s: float
    answer: asyncio.Future[list[Reply]]


class Unanswered:
    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._batches: dict[int, Batch] = {}
        self._next = 0
        self.calls = 0
        self.bytes = 0

    def __iter__(self) -> Iterator[Batch]:
        """What waits, in the order in which it was taken."""
        return iter(list(self._batches.values()))

    def add(self, calls: Sequence[Call], answer: asyncio.Future[list[Reply]], now_s: float) -> Batch | None:
        """Keep a batch under a new number; None when it does not fit any more."""
        requests = [(call.session, call.frame.SerializeToString()) for call in calls]
        size = sum([len(request) for _, request in requests])
        fits = self.calls + len(calls) <= self._bounds.calls and self.bytes + size <= self._bounds.call_bytes
        if self._batches and not fits:
            return None
        self._next += 1
        batch = Batch(calls, Calls(self._next, requests), size, now_s + self._bounds.answer_s, answer)
        self._batches[self._next] = batch
        self.calls += len(calls)
        self.bytes += size
        return batch

    def pop(self, number: int) -> Batch | None:
        """The batch with this number, which waits no longer; None when it does not wait."""
        batch = self._batches.pop(number, None)
        if batch is not None:
            self.calls -= len(batch.calls)
            self.bytes -= batch.size
        return batch

    def expired(self, now_s: float) -> list[Batch]:
        """What has waited too long, oldest first; it waits no longer."""
        due = list(itertools.takewhile(lambda batch: batch.until_s <= now_s, self._batches.values()))
        for batch in due:
            self.pop(batch.frame.number)
        return due

    @property
    def next_until_s(self) -> float | None:
        """When the oldest one is given up."""
        return next((batch.until_s for batch in self._batches.values()), None)
