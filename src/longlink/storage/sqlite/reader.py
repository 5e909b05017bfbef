"""The reader threads: pages of logs and conversations as users see them, each thread on its own read-only connection.

Each answer is one step of SQLite, however many rows it has, for each step releases the GIL; so rows are gathered into
one JSON text by SQLite, contents as hex, and all history pages that wait together are one statement. A page needs no
LIMIT because the sequence has no gaps: it is a range of seq. Never writes. Read next: read_turns.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import apsw

from longlink import config, errors
from longlink.errors import LonglinkError
from longlink.ops import logs
from longlink.storage.sqlite.changes import ListQuery, OneQuery, SyncQuery, read_changed, read_one, read_sync
from longlink.storage.sqlite.engine import STORAGE_ERRORS, close_quietly, connect_reader, reason, unavailable
from longlink.storage.sqlite.health import Health
from longlink.storage.sqlite.history import HistoryQuery, read_history
from longlink.storage.sqlite.read_turns import Found, Query, ReadJob, ReadTurns, weigh
from longlink.storage.sqlite.shares import SHARE, Shares
from longlink.storage.sqlite.stats import Stats

log = logs.get("storage")

_RETRY_AFTER_MS: Final = 500


def connect_readers(file: Path, number: int) -> list[apsw.Connection]:
    """The connections of all threads, or none. Raises apsw.Error.

    At the start and not at the first read, which may find that the clients have taken the last file of the process.
    """
    with contextlib.ExitStack() as opened:
        connections: list[apsw.Connection] = []
        for _ in range(number):
            connections.append(connect_reader(file))
            opened.callback(close_quietly, connections[-1])
        opened.pop_all()
        return connections


class Readers:
    """The public methods belong to the event loop's thread."""

    def __init__(
        self, file: Path, connections: Sequence[apsw.Connection], settings: config.Storage, stats: Stats,
        health: Health, committed: Callable[[], int],
    ) -> None:  # fmt: skip
        """connections: one a thread, from now on the threads'; committed: the stamp of the newest commit that is
        visible, asked before each look.
        """
        self._health = health
        self._failed: Query | None = None
        self._file = file
        self._settings = settings
        self._stats = stats
        self._committed = committed
        self._loop = asyncio.get_running_loop()
        self._shares = Shares(settings.queue, settings.queue_bytes)
        self._turns = ReadTurns(len(connections))
        # Guards the turns and the end; waited for by threads that have nothing to do.
        self._work = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, args=(connection,), name=f"longlink-reader-{number}", daemon=True)
            for number, connection in enumerate(connections)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, query: Query) -> asyncio.Future[Found]:
        """Put a query in the line of its user.

        Raises OVERLOADED when the line is full or the user fills their share of it, STORAGE_UNAVAILABLE after close().
        """
        if self._closed:
            raise LonglinkError(errors.STORAGE_UNAVAILABLE, "the store is closed")
        self._health.refuse_if_lost()
        if self.waiting >= self._settings.queue:
            message = f"at most {self._settings.queue} reads may wait, {self.waiting} do"
            raise LonglinkError(errors.OVERLOADED, message, retry_after_ms=_RETRY_AFTER_MS)
        if self._shares.take([(query.user, 0)]):
            self._stats.reads_over_share += 1
            message = f"a user's reads may take one part in {SHARE} of the room that is left; this user's do"
            raise LonglinkError(errors.OVERLOADED, message, retry_after_ms=_RETRY_AFTER_MS)
        future: asyncio.Future[Found] = self._loop.create_future()
        with self._work:
            self._turns.put(ReadJob(query, future, weigh(query)))
            self._work.notify()
        return future

    async def try_again(self) -> None:
        """Ask what has failed last once more; its answer is of no interest, only whether there is one."""
        if self._failed is not None:
            with contextlib.suppress(LonglinkError):
                await self.submit(self._failed)

    @property
    def waiting(self) -> int:
        """Reads whose answer is not given yet."""
        return self._shares.waiting

    async def close(self) -> None:
        """Finish what waits, end the threads, close the connections. Call it once."""
        with self._work:
            self._closed = True
            self._work.notify_all()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _settle(self, jobs: Sequence[ReadJob]) -> None:
        self._shares.release([(job.query.user, 0) for job in jobs])
        for job in jobs:
            if job.future.done():
                continue
            if isinstance(job.answer, LonglinkError):
                job.future.set_exception(job.answer)
            elif job.answer is not None:
                job.future.set_result(job.answer)

    # From here on: the readers' threads -----------------------------------------------------------------------------

    def _run(self, connection: apsw.Connection | None) -> None:
        while jobs := self._take():
            try:
                if connection is None:
                    connection = connect_reader(self._file)
                self._answer(connection, jobs)
                self._health.worked("read")
            except (apsw.Error, OSError) as error:
                self._stats.read_failures += 1
                why = reason(error, connection)
                self._failed = jobs[0].query
                self._health.failed("read", why, error)
                failure = unavailable(why)
                for job in jobs:
                    job.answer = failure
                close_quietly(connection)
                connection = None
            self._done(jobs)
            try:
                self._loop.call_soon_threadsafe(self._settle, jobs)
            except RuntimeError:
                # The loop is closed: nobody is left to hear the answer.
                break
        close_quietly(connection)

    def _take(self) -> list[ReadJob]:
        """The next look; empty when the end has come."""
        with self._work:
            while not (jobs := self._turns.take()) and not (self._closed and not self._turns):
                self._work.wait()
            return jobs

    def _done(self, jobs: Sequence[ReadJob]) -> None:
        with self._work:
            self._turns.done(jobs)
            # What their users asked next may be looked at now, and the end may have come for all threads.
            self._work.notify_all()

    def _answer(self, connection: apsw.Connection, jobs: Sequence[ReadJob]) -> None:
        """Raises the errors of the disk; a defect of one query fails that query alone."""
        try:
            self._answer_together(connection, jobs)
        except STORAGE_ERRORS:
            raise
        except Exception:
            if len(jobs) == 1:
                self._stats.read_failures += 1
                log.exception("read_defect")
                jobs[0].answer = LonglinkError(errors.INTERNAL, "the store met a defect; the server's log says which")
                return
            for job in jobs:
                self._answer(connection, [job])

    def _answer_together(self, connection: apsw.Connection, jobs: Sequence[ReadJob]) -> None:
        histories = []
        for job in jobs:
            match job.query:
                case HistoryQuery() as query:
                    histories.append((job, query))
                case OneQuery() as query:
                    job.answer = read_one(connection, query)
                # Asked before the look: whatever is committed later has a later stamp.
                case ListQuery() as query:
                    job.answer = read_changed(connection, query, self._committed())
                case SyncQuery() as query:
                    job.answer = read_sync(connection, query, self._committed())
        if histories:
            answers = read_history(connection, [query for _, query in histories])
            for (job, _), answer in zip(histories, answers, strict=True):
                job.answer = answer
        self._stats.reads += len(jobs)
