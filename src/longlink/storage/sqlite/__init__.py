"""The embedded backend: one SQLite file in the data folder, for one server at a time.

open_store is all that the rest of the program uses. One thread writes, `readers` threads read, one checkpoints; the
event loop never waits for the disk. Read next: writer.py and committer.py for the way of a write, reader.py for a read.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw

from longlink import config, errors
from longlink.errors import LonglinkError
from longlink.storage.base import Conversations, Histogram, Messages, Users
from longlink.storage.sqlite import engine, migrations
from longlink.storage.sqlite.checkpoint import Checkpointer
from longlink.storage.sqlite.committer import Committer
from longlink.storage.sqlite.conversations import SqliteConversations
from longlink.storage.sqlite.lock import FolderLock, lock_folder, sync_folder
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
        stats: Stats,
    ) -> None:  # fmt: skip
        self._lock = lock
        self._checkpointer = checkpointer
        self._writer = writer
        self._readers = readers
        self._stats = stats
        self._probe: asyncio.Future[Answer] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._messages = SqliteMessages(writer, readers)
        self._conversations = SqliteConversations(writer, readers)
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

    async def check(self) -> None:
        """As base.Store.check. Raises STORAGE_UNAVAILABLE also when no commit came within 2 s.

        Checks that wait at the same time share one write, so that checks of a stuck disk do not pile up.
        """
        if self._probe is None or self._probe.done():
            self._probe = self._writer.submit(Probe())
        done, _ = await asyncio.wait([self._probe], timeout=_CHECK_SECONDS)
        if not done:
            message = f"a write has not come back from the disk for {_CHECK_SECONDS:.0f} s"
            raise LonglinkError(errors.STORAGE_UNAVAILABLE, message)
        self._probe.result()

    def stats(self) -> dict[str, float | Histogram]:
        """Counters since the opening, and gauges, by name.

        commits, failures (commits that failed, and single writes refused as defects), appended, duplicates, marks
        (that moved), batch_sum and batch_max (writes per commit), commit_seconds (histogram),
        reads, read_failures, checkpoints, checkpoint_failures, wal_bytes (as of the last look);
        writes_over_share and reads_over_share (refused because their user had an eighth of the free room);
        writes_waiting and reads_waiting now.
        """
        return {
            **self._stats.shown(),
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
        await asyncio.to_thread(self._checkpointer.close)
        self._lock.release()


async def open_store(
    directory: Path,
    settings: config.Storage,
    *,
    now_ms: Callable[[], int] = wall_clock_ms,
    lock: FolderLock | None = None,
) -> SqliteStore:
    """Lock the folder, bring the database to the newest schema, start the threads. lock: if it is held already.

    The folder is made when only its last part is missing. now_ms: ms since the Unix epoch. Raises DATA_LOCKED,
    DATA_NEWER, DATA_UNUSABLE; the message names the path and the reason.
    """
    engine.require_sound_sqlite(apsw.sqlite_lib_version())
    held = await asyncio.to_thread(lock_folder, directory) if lock is None else lock
    stats = Stats()
    file = directory / engine.DATABASE
    checkpointer: Checkpointer | None = None
    committer: Committer | None = None
    try:
        await asyncio.to_thread(_prepare, file)
        checkpointer = Checkpointer(file, settings, stats)
        committer = await asyncio.to_thread(Committer, file, settings, checkpointer, stats, now_ms)
        connections = await asyncio.to_thread(connect_readers, file, settings.readers)
    except BaseException as error:
        if committer is not None:
            committer.close()
        if checkpointer is not None:
            checkpointer.close()
        held.release()
        if isinstance(error, apsw.Error | OSError):
            message = f"the database {file} cannot be used: {engine.reason(error)}"
            raise LonglinkError(errors.DATA_UNUSABLE, message) from error
        raise
    readers = Readers(file, connections, settings, stats, lambda: committer.committed)
    return SqliteStore(held, checkpointer, committer, readers, Writer(committer, settings, stats), stats)


def _prepare(file: Path) -> None:
    # Made by us, for the owner alone: SQLite would let everybody read it. Its log and index get the mode of this file.
    # Before any connection, because closing a file drops the locks that this process has on it.
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = apsw.Connection(str(file))
    try:
        migrations.migrate(connection, file, migrations.shipped())
    finally:
        engine.close_quietly(connection)
    sync_folder(file.parent)
