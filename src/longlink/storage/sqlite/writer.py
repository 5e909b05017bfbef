"""The line of writes and the thread that serves it: whatever arrived during the last commit is the next batch.

Bounded in writes and in bytes, for each user and for all; beyond that a write is refused with OVERLOADED. Marks alone
are no reason for a commit: they leave with the next one, or mark_delay_ms after the first. Answers go back to the event
loop in one call per batch. Never touches SQLite itself. Read next: turns.py, shares.py, committer.py.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, Final, cast

from longlink import config, errors
from longlink.errors import LonglinkError
from longlink.storage.sqlite import requests
from longlink.storage.sqlite.committer import Committer
from longlink.storage.sqlite.requests import Answer, Job, Marks, Part, Request
from longlink.storage.sqlite.shares import SHARE, Shares
from longlink.storage.sqlite.stats import Stats
from longlink.storage.sqlite.turns import Turns

_RETRY_AFTER_MS: Final = 500
_COMMIT_BYTES: Final = 16
"""One commit takes at most this part of queue_bytes."""


class Writer:
    """The public methods belong to the event loop's thread, the rest to the writer's own."""

    def __init__(self, committer: Committer, settings: config.Storage, stats: Stats) -> None:
        self._committer = committer
        self._settings = settings
        self._stats = stats
        self._loop = asyncio.get_running_loop()
        self._shares = Shares(settings.queue, settings.queue_bytes)
        self._turns = Turns(settings.batch, settings.queue_bytes // _COMMIT_BYTES)
        # Of the turns and the next two.
        self._lock = threading.Lock()
        self._asleep = False
        self._ending = False
        self._bell = threading.Lock()
        self._bell.acquire()
        self._mark_delay_s = settings.mark_delay_ms / 1000
        self._marks_since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="longlink-writer", daemon=True)
        self._thread.start()

    def ask(self, request: Request) -> Coroutine[Any, Any, Answer]:
        """Put a request in the line now; awaiting the coroutine gives the answer or raises its error.

        Of several items those beyond the share of their user are answered with OVERLOADED, and the others are done.
        """
        try:
            return self._put(request)
        except LonglinkError as refusal:
            return _refuse(refusal)

    def submit(self, request: Request) -> asyncio.Future[Answer]:
        """Put a request in the line however full it is; the future has its answer once it is durable.

        Raises STORAGE_UNAVAILABLE after close().
        """
        self._check_open()
        entries = requests.entries(request)
        self._shares.take(entries)
        return self._join(request, entries)

    @property
    def waiting(self) -> int:
        """Writes whose answer is not given yet."""
        return self._shares.waiting

    async def settled(self, user: str) -> None:
        """Wait for the writes of this user that are in the line now, whatever their outcome; marks leave at once.

        Raises OVERLOADED when too many wait already.
        """
        shares = self._shares
        if not shares.may_watch(user) or shares.watching >= self._settings.queue:
            message = "too many reads of this user wait for the writes before them"
            raise LonglinkError(errors.OVERLOADED, message, retry_after_ms=_RETRY_AFTER_MS)
        watcher = shares.watch(user)
        if watcher is not None:
            self._ring()
            await watcher

    async def close(self) -> None:
        """Finish what waits, end the thread, close the connection. Call it once."""
        self._closed = True
        self._ending = True
        self._ring()
        await asyncio.to_thread(self._thread.join)

    def _check_open(self) -> None:
        if self._closed:
            raise LonglinkError(errors.STORAGE_UNAVAILABLE, "the store is closed")

    def _put(self, request: Request) -> Coroutine[Any, Any, Answer]:
        self._check_open()
        entries = requests.entries(request)
        left_out = self._shares.take(entries)
        if not left_out:
            self._refuse_beyond_bounds(entries)
            return _wait(self._join(request, entries))
        self._stats.writes_over_share += len(left_out)
        refusal = self._over_share(len(left_out))
        out = set(left_out)
        places = [place for place in range(len(entries)) if place not in out]
        kept = [entries[place] for place in places]
        if not places or not isinstance(request, requests.Appends | Marks):
            self._shares.release(kept)
            raise refusal
        self._refuse_beyond_bounds(kept)
        return _wait_for_some(self._join(requests.chosen(request, places), kept), out, refusal)

    def _refuse_beyond_bounds(self, entries: Sequence[tuple[str, int]]) -> None:
        settings, shares = self._settings, self._shares
        if shares.waiting <= settings.queue and shares.size <= settings.queue_bytes:
            return
        waiting, size = shares.waiting - len(entries), shares.size - sum([size for _, size in entries])
        if not waiting:
            # Whatever comes first is taken, or a call that is larger than the line never would be.
            return
        shares.release(entries)
        if waiting + len(entries) > settings.queue:
            message = f"at most {settings.queue} writes may wait for the disk, {waiting} do"
        else:
            message = f"at most {settings.queue_bytes} bytes may wait for the disk, {size} do"
        raise LonglinkError(errors.OVERLOADED, message, retry_after_ms=_RETRY_AFTER_MS)

    def _over_share(self, writes: int) -> LonglinkError:
        message = (
            f"{writes} writes are too many beside those of the same user that wait for the disk; a user may hold"
            f" one part in {SHARE} of the room that is left"
        )
        return LonglinkError(errors.OVERLOADED, message, retry_after_ms=_RETRY_AFTER_MS)

    def _join(self, request: Request, entries: Sequence[tuple[str, int]]) -> asyncio.Future[Answer]:
        future: asyncio.Future[Answer] = self._loop.create_future()
        late = self._mark_delay_s > 0 and isinstance(request, Marks)
        job = Job(request, future, entries, 0 if late else sum([size for _, size in entries]))
        with self._lock:
            if late and not self._turns:
                self._marks_since = self._loop.time()
            self._turns.put(job, late=late)
            ring = self._asleep and self._turns.due
            if ring:
                self._asleep = False
        if ring:
            self._bell.release()
        elif late and self._timer is None:
            self._timer = self._loop.call_later(self._mark_delay_s, self._marks_are_due)
        return future

    def _marks_are_due(self) -> None:
        """The timer was set for the first mark of its time; those that wait now may have come later."""
        self._timer = None
        if not self._turns:
            return
        left_s = self._marks_since + self._mark_delay_s - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._marks_are_due)
        else:
            self._ring()

    def _ring(self) -> None:
        """What waits leaves with the next commit, which begins as soon as it can."""
        with self._lock:
            self._turns.due = True
            ring, self._asleep = self._asleep, False
        if ring:
            self._bell.release()

    def _settle(self, parts: Sequence[Part]) -> None:
        for part in parts:
            job = part.job
            if part.places is None:
                self._shares.release(job.entries)
                _fill(job.future, part.answer)
                continue
            self._shares.release([job.entries[place] for place in part.places])
            answers = part.answer if isinstance(part.answer, list) else [part.answer] * len(part.places)
            job.answers.update(zip(part.places, answers, strict=True))
            if len(job.answers) == job.weight:
                _fill(job.future, _joined(job))

    # From here on: the writer's thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        while parts := self._take():
            answers = self._committer.commit([part.request for part in parts])
            for part, answer in zip(parts, answers, strict=True):
                part.answer = answer
            try:
                self._loop.call_soon_threadsafe(self._settle, parts)
            except RuntimeError:
                # The loop is closed: nobody is left to hear the answer.
                break
        self._committer.close()

    def _take(self) -> list[Part]:
        """The next batch; empty when the end has come."""
        while True:
            with self._lock:
                parts = self._turns.take()
                if parts or self._ending:
                    return parts
                self._asleep = True
            self._bell.acquire()


def _fill(future: asyncio.Future[Answer], answer: Answer) -> None:
    # A caller that was cancelled has no future to fill; its write stands.
    if future.done():
        return
    if isinstance(answer, LonglinkError):
        future.set_exception(answer)
    else:
        future.set_result(answer)


def _joined(job: Job) -> Answer:
    """The answer of a job that was split over several commits: an error only if the disk took none of them."""
    answers = [job.answers[place] for place in range(job.weight)]
    failures = [answer for answer in answers if isinstance(answer, LonglinkError)]
    if isinstance(job.request, requests.Remember):
        return failures[0] if failures else None
    if len(failures) == len(answers) and all(failure.row is errors.STORAGE_UNAVAILABLE for failure in failures):
        return failures[0]
    return cast("Answer", answers)


async def _wait(future: asyncio.Future[Answer]) -> Answer:
    return await future


async def _wait_for_some(future: asyncio.Future[Answer], left_out: set[int], refusal: LonglinkError) -> Answer:
    answers = await future
    assert isinstance(answers, list)
    done = iter(answers)
    places = range(len(left_out) + len(answers))
    return cast("Answer", [refusal if place in left_out else next(done) for place in places])


async def _refuse(refusal: LonglinkError) -> Answer:
    raise refusal
