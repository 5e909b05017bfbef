"""The embedded backend: one SQLite file in the data folder, for one server at a time.

open_store is all that the rest of the program uses. One thread writes, `readers` threads read, one checkpoints; the
event loop never waits for the disk. Read next: writer.py and committer.py for the way of a write, reader.py for a read.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw

from longlink import config, errors
from longlink.errors import LonglinkError
from longlink.storage.base import Conversations, Histogram, Messages, Users
from longlink.storage.sqlite import engine
from longlink.storage.sqlite.checkpoint import Checkpointer
from longlink.storage.sqlite.committer import Committer
from longlink.storage.sqlite.conversations import SqliteConversations
from longlink.storage.sqlite.database import open_epoch, prepare_database, unusable
from longlink.storage.sqlite.epochs import Epochs
from longlink.storage.sqlite.health import Health
from longlink.storage.sqlite.identity import Identity
from longlink.storage.sqlite.lock import FolderLock, lock_folder
from longlink.storage.sqlite.messages import SqliteMessages
from longlink.storage.sqlite.reader import Readers, connect_readers
from longlink.storage.sqlite.requests import Answer, Probe
from longlink.storage.sqlite.stats import Stats
from longlink.storage.sqlite.users import SqliteUsers
from longlink.storage.sqlite.writer import Writer

__all__ = ["SqliteStore", "open_store"]

_CHECK_SECONDS: Final = 2.0


def wall_clock_ms() -> int:
    """ms since the Unix epoch."""
    return time.time_ns() // 1_000_000


class SqliteStore:
    """base.Store. Belongs to the event loop in which it was opened."""

    def __init__(
        self, lock: FolderLock, checkpointer: Checkpointer, committer: Committer, readers: Readers, writer: Writer,
        stats: Stats, health: Health, identity: Identity, epochs: Epochs,
    ) -> None:  # fmt: skip
        self._lock = lock
        self._health = health
        self._identity = identity
        self._epochs = epochs
        health.waiting = lambda: writer.waiting
        self._checkpointer = checkpointer
        self._writer = writer
        self._readers = readers
        self._stats = stats
        self._probe: asyncio.Future[Answer] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._messages = SqliteMessages(writer, readers)
        self._conversations = SqliteConversations(writer, readers, epochs)
        self._users = SqliteUsers(writer)

    @property
    def messages(self) -> Messages:
        return self._messages

    @property
    def conversations(self) -> Conversations:
        return self._conversations

    @property
    def users(self) -> Users:
        return self._users

    @property
    def gate(self) -> threading.Lock:
        """While someone holds it no commit starts; a test holds it to stand for a disk that hangs."""
        return self._checkpointer.gate

    @property
    def epoch(self) -> str:
        """As base.Store.epoch."""
        return self._epochs.place

    async def check(self) -> None:
        """As base.Store.check. Raises STORAGE_UNAVAILABLE also when no commit came within 2 s.

        After a failure more than a small row must be written, what could not be read must be read, and a damaged or
        lost database fails every check until the store is opened again. Checks that wait at the same time share one
        write, so that checks of a stuck disk do not pile up.
        """
        if self._probe is None or self._probe.done():
            self._probe = self._writer.submit(Probe())
        done, _ = await asyncio.wait([self._probe], timeout=_CHECK_SECONDS)
        if not done:
            message = f"a write has not come back from the disk for {_CHECK_SECONDS:.0f} s"
            self._health.failed("write", message)
            raise LonglinkError(errors.STORAGE_UNAVAILABLE, message)
        self._probe.result()
        if self._health.fails("read"):
            await self._readers.try_again()
        if self.problem:
            raise engine.unavailable(self.problem)

    @property
    def problem(self) -> str:
        """As base.Store.problem."""
        return self._health.problem

    def stats(self) -> dict[str, float | Histogram]:
        """Counters since the opening, and gauges, by name.

        commits, failures (commits that failed, and single writes refused as defects), appended, duplicates, marks
        (that moved), batch_writes (of one commit) and commit_seconds (histograms),
        reads, read_failures, checkpoints, checkpoint_failures, wal_bytes (as of the last look);
        writes_over_share and reads_over_share (refused because their user had an eighth of the free room);
        writes_waiting and reads_waiting now; ready (0 from a failure of
        the disk until it works again).
        """
        return {
            **self._stats.shown(),
            "ready": not self.problem,
            "writes_waiting": self._writer.waiting,
            "reads_waiting": self._readers.waiting,
        }

    async def close(self) -> None:
        """As base.Store.close. A second call waits for the first."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await self._writer.close()
        await self._readers.close()
        # In this order the checkpointer closes last, which takes the log away; but when the files are
        # others by now, nothing may touch them.
        if not self._health.lost:
            self._identity.close()
        await asyncio.to_thread(self._checkpointer.close)
        self._identity.close()
        self._lock.release()


async def open_store(
    directory: Path,
    settings: config.Storage,
    *,
    now_ms: Callable[[], int] = wall_clock_ms,
    lock: FolderLock | None = None,
    continues: bool = False,
) -> SqliteStore:
    """Lock the folder, bring the database to the newest schema, start the threads.

    now_ms: returns ms since the Unix epoch
    lock: of the folder, if it is held already
    continues: whether the lock has been held since the last opening, so that the log cannot be a restored one. Then
        its epoch goes on: connections that outlive a process bring stamps of both openings, with nothing in between.

    The folder is made when only its last part is missing. Raises DATA_LOCKED, DATA_NEWER, DATA_UNUSABLE; the message
    names the path and the reason.
    """
    engine.require_sound_sqlite(apsw.sqlite_lib_version())
    held = await asyncio.to_thread(lock_folder, directory) if lock is None else lock
    file = directory / engine.DATABASE
    with contextlib.ExitStack() as undo:
        undo.callback(held.release)
        try:
            store = await _opened(directory, file, settings, now_ms, held, undo, continues)
        except (apsw.Error, OSError) as error:
            raise unusable(file, error) from error
        undo.pop_all()
    return store


async def _opened(
    directory: Path, file: Path, settings: config.Storage, now_ms: Callable[[], int], lock: FolderLock,
    undo: contextlib.ExitStack, continues: bool,
) -> SqliteStore:  # fmt: skip
    await asyncio.to_thread(prepare_database, directory)
    epochs = await asyncio.to_thread(functools.partial(open_epoch, directory, continues=continues))
    stats, health = Stats(), Health(file)
    checkpointer = Checkpointer(file, settings, stats, health)
    undo.callback(checkpointer.close)
    committer = await asyncio.to_thread(Committer, file, settings, checkpointer, stats, health, now_ms)
    undo.callback(committer.close)
    connections = await asyncio.to_thread(connect_readers, file, settings.readers)
    for connection in connections:
        undo.callback(engine.close_quietly, connection)
    identity = await asyncio.to_thread(Identity, file, epochs.current, health)
    checkpointer.identity = committer.identity = identity
    readers = Readers(file, connections, settings, stats, health, lambda: committer.committed)
    writer = Writer(committer, settings, stats)
    return SqliteStore(lock, checkpointer, committer, readers, writer, stats, health, identity, epochs)
