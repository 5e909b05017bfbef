"""The line of writes and the thread that serves it: whatever arrived during the last commit is the next batch.

Bounded in writes and in bytes; beyond that a write is refused with OVERLOADED. Answers go back to the event loop in one
call per batch. Never waits for a timer and never touches SQLite itself. Read next: committer.py.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from longlink import config, errors
from longlink.errors import LonglinkError
from longlink.storage.sqlite.committer import Committer
from longlink.storage.sqlite.requests import Answer, Job, Request, weigh

_RETRY_AFTER_MS: Final = 500


class Writer:
    """The public methods belong to the event loop's thread, the rest to the writer's own."""

    def __init__(self, committer: Committer, settings: config.Storage) -> None:
        self._committer = committer
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._inbox: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._held: Job | None = None
        self._ending = False
        self._waiting = 0
        self._waiting_bytes = 0
        self._submitted = 0
        self._settled = 0
        self._watchers: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="longlink-writer", daemon=True)
        self._thread.start()

    def ask(self, request: Request) -> Coroutine[Any, Any, Answer]:
        """Put a request in the line now; awaiting the coroutine gives the answer or raises its error."""
        try:
            return _wait(self.submit(request))
        except LonglinkError as refusal:
            return _refuse(refusal)

    def submit(self, request: Request, *, refusable: bool = True) -> asyncio.Future[Answer]:
        """Put a request in the line now; the future has its answer once it is durable.

        Raises OVERLOADED when the line is full and the request is refusable, STORAGE_UNAVAILABLE after close().
        """
        if self._closed:
            raise LonglinkError(errors.STORAGE_UNAVAILABLE, "the store is closed")
        weight, size = weigh(request)
        if refusable and self._waiting:
            self._refuse_beyond_bounds(weight, size)
        self._waiting += weight
        self._waiting_bytes += size
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._submitted += 1
        self._inbox.put(Job(request, future, weight, size))
        return future

    @property
    def waiting(self) -> int:
        """Writes whose answer is not given yet."""
        return self._waiting

    async def settled(self) -> None:
        """Wait for the writes that are in the line now, whatever their outcome. Raises OVERLOADED beyond `queue`."""
        if self._settled < self._submitted:
            if len(self._watchers) >= self._settings.queue:
                message = f"at most {self._settings.queue} reads may wait for the writes before them"
                raise LonglinkError(errors.OVERLOADED, message, retry_after_ms=_RETRY_AFTER_MS)
            watcher: asyncio.Future[None] = self._loop.create_future()
            self._watchers.append((self._submitted, watcher))
            await watcher

    async def close(self) -> None:
        """Finish what waits, end the thread, close the connection. Call it once."""
        self._closed = True
        self._inbox.put(None)
        await asyncio.to_thread(self._thread.join)

    def _refuse_beyond_bounds(self, weight: int, size: int) -> None:
        settings = self._settings
        if self._waiting + weight > settings.queue:
            message = f"at most {settings.queue} writes may wait for the disk, {self._waiting} do"
        elif self._waiting_bytes + size > settings.queue_bytes:
            message = f"at most {settings.queue_bytes} bytes may wait for the disk, {self._waiting_bytes} do"
        else:
            return
        raise LonglinkError(errors.OVERLOADED, message, retry_after_ms=_RETRY_AFTER_MS)

    def _settle(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._waiting -= job.weight
            self._waiting_bytes -= job.size
            # A caller that was cancelled has no future to fill; its write stands.
            if job.future.done():
                continue
            if isinstance(job.answer, LonglinkError):
                job.future.set_exception(job.answer)
            else:
                job.future.set_result(job.answer)
        self._settled += len(jobs)
        while self._watchers and self._watchers[0][0] <= self._settled:
            watcher = self._watchers.popleft()[1]
            if not watcher.done():
                watcher.set_result(None)

    # From here on: the writer's thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        while jobs := self._take():
            answers = self._committer.commit([job.request for job in jobs])
            for job, answer in zip(jobs, answers, strict=True):
                job.answer = answer
            try:
                self._loop.call_soon_threadsafe(self._settle, jobs)
            except RuntimeError:
                # The loop is closed: nobody is left to hear the answer.
                break
        self._committer.close()

    def _take(self) -> list[Job]:
        """The next batch; empty when the end has come."""
        job, self._held = self._held, None
        if job is None and not self._ending:
            job = self._inbox.get()
        if job is None:
            return []
        jobs, weight = [job], job.weight
        while weight < self._settings.batch and not self._ending:
            try:
                job = self._inbox.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._ending = True
            elif weight + job.weight > self._settings.batch:
                self._held = job
                break
            else:
                jobs.append(job)
                weight += job.weight
        return jobs


async def _wait(future: asyncio.Future[Answer]) -> Answer:
    return await future


async def _refuse(refusal: LonglinkError) -> Answer:
    raise refusal
