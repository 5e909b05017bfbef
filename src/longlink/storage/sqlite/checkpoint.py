"""The checkpoint thread: moves the write-ahead log into the database beside the commits, and keeps the log bounded.

Above checkpoint_bytes of unmoved log it moves what it can without holding anyone up. Under constant writing the log
never gets the chance to start again, so at 4 times that size commits wait at the gate while the last pages are moved.
Only a foreign reader can prevent that (a backup, a shell); at 64 times writes are refused until it is gone. Before
commits get there it fills the log file with zeros, because a commit that makes a file longer waits for the file
system too (docs/decisions/0016-a-quiet-message.md). Asleep while nothing is written. Never writes rows. Read next:
engine.py; https://sqlite.org/wal.html#avoiding_excessively_large_wal_files.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import Final

import apsw

from longlink import config
from longlink.storage.sqlite.engine import PAGE_BYTES, close_quietly, connect_checkpointer, reason
from longlink.storage.sqlite.health import Health
from longlink.storage.sqlite.identity import Identity
from longlink.storage.sqlite.stats import Stats

RESTART_AT: Final = 4
"""The log starts again at so many times checkpoint_bytes at the latest; its file may keep that size."""
_REFUSE_AT: Final = 64
_PAUSE_SECONDS: Final = 0.05
_RESTART_WAIT_MS: Final = 100
_RETRY_SECONDS: Final = 1.0
_FRAME_BYTES: Final = PAGE_BYTES + 24
# How much of the log file lies ready. Filled in small parts, because commits wait for each of them.
_READY_BYTES: Final = 4 * 2**20
_ZEROS: Final = bytes(2**18)
# A disk with less room than this keeps it for messages.
_LEAST_FREE_BYTES: Final = 64 * 2**20
_NOOP: Final = -1  # SQLITE_CHECKPOINT_NOOP: only tells the sizes (SQLite 3.51)


class Checkpointer:
    """gate: held by a thread that writes to the log, and by this thread while the log must stand still."""

    def __init__(self, file: Path, settings: config.Storage, stats: Stats, health: Health) -> None:
        """Opens the connection at once. Raises apsw.Error."""
        self._file = file
        self._log = file.with_name(file.name + "-wal")
        self._limit = settings.checkpoint_bytes
        self._stats = stats
        self._health = health
        # Whether the database is still the one at its path; None until it is known which files these are.
        self.identity: Identity | None = None
        self._dirty = threading.Event()
        self._stop = threading.Event()
        self._connection: apsw.Connection | None = None
        self.gate = threading.Lock()
        # Why writes are refused; empty while they are not.
        self.overgrown = ""
        # At once: a connection made later would create a new log if somebody has deleted this one.
        self._connected()
        self._thread = threading.Thread(target=self._run, name="longlink-checkpoint", daemon=True)
        self._thread.start()

    def notify(self) -> None:
        """Something was committed. Called by the writer's thread; costs nothing while the thread is awake already."""
        if not self._dirty.is_set():
            self._dirty.set()

    def close(self) -> None:
        """Move everything, cut the log to nothing, end the thread. Blocks; call it when all others have closed."""
        self._stop.set()
        self._dirty.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._dirty.wait()
            self._dirty.clear()
            self._stop.wait(self._guarded_round())
        try:
            if not self._health.lost:
                self._checkpoint(self._connected(), apsw.SQLITE_CHECKPOINT_TRUNCATE)
            elif self._connection is not None and self._may_save():
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except (apsw.Error, OSError) as error:
            # The log stays beside the database and is read at the next start.
            self._failed(error)
        close_quietly(self._connection, checkpoint=not self._health.lost)

    def _may_save(self) -> bool:
        """Whether what only the log holds may go into the database: it is ours, only its log was deleted.

        The log is still open here, and nobody finds it again once it is closed.
        """
        return self.identity is not None and self.identity.has_own_database()

    def _guarded_round(self) -> float:
        """One look at the log. Returns the seconds until the next one."""
        if self._health.lost:
            return _RETRY_SECONDS
        try:
            pause = self._round()
        except (apsw.Error, OSError) as error:
            self._failed(error)
            close_quietly(self._connection, checkpoint=not self._health.lost)
            self._connection = None
            self._dirty.set()
            return _RETRY_SECONDS
        self._health.worked("checkpoint")
        return pause

    def _failed(self, error: BaseException) -> None:
        self._stats.checkpoint_failures += 1
        if not isinstance(error, apsw.BusyError):
            self._health.failed("checkpoint", reason(error, self._connection), error)

    def _checkpoint(self, connection: apsw.Connection, mode: int) -> None:
        identity = self.identity
        with identity.moving() if identity is not None else contextlib.nullcontext():
            connection.wal_checkpoint(mode=mode)
        if identity is not None:
            identity.check_epoch()

    def _round(self) -> float:
        connection = self._connected()
        size, moved = self._measure(connection)
        if size - moved >= self._limit:
            self._checkpoint(connection, apsw.SQLITE_CHECKPOINT_PASSIVE)
            self._stats.checkpoints += 1
            size, moved = self._measure(connection)
        self._make_ready(connection, size)
        if size < self._limit * RESTART_AT:
            self.overgrown = ""
            return _PAUSE_SECONDS
        if self._restart(connection):
            self.overgrown = ""
            return _PAUSE_SECONDS
        self._dirty.set()
        if size >= self._limit * _REFUSE_AT:
            self.overgrown = (
                f"the write-ahead log has {size} bytes and cannot start again, because another program holds a"
                f" read transaction on {self._file}; end it"
            )
        return _RETRY_SECONDS

    def _restart(self, connection: apsw.Connection) -> bool:
        with self.gate:
            try:
                self._checkpoint(connection, apsw.SQLITE_CHECKPOINT_RESTART)
            except apsw.BusyError:
                return False
        self._stats.wal_bytes = 0
        self._stats.checkpoints += 1
        return True

    def _make_ready(self, connection: apsw.Connection, used: int) -> None:
        """Lengthen the log file until so much of it is unused, but not beyond the size at which it starts again."""
        wanted = min(used // PAGE_BYTES * _FRAME_BYTES + _READY_BYTES, self._limit * RESTART_AT)
        # Without it commits take longer, no more: a full disk, or another program that writes, must not stop a round.
        with contextlib.suppress(apsw.BusyError, OSError):
            while not self._stop.is_set() and self._free_bytes() > _LEAST_FREE_BYTES:
                if not self._lengthen(connection, wanted):
                    break

    def _free_bytes(self) -> int:
        disk = os.statvfs(self._file)
        return disk.f_bavail * disk.f_frsize

    def _lengthen(self, connection: apsw.Connection, wanted: int) -> bool:
        """By one part. Returns whether it was shorter than wanted."""
        try:
            log = os.open(self._log, os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            with self.gate:
                # SQLite's own lock as well: another program that writes must not append where the zeros go.
                connection.execute("BEGIN IMMEDIATE")
                try:
                    found = os.fstat(log)
                    short = self._is_ours(found) and 0 < found.st_size < wanted
                    if short and self.identity is not None:
                        self.identity.log_bytes = found.st_size + os.pwrite(log, _ZEROS, found.st_size)
                finally:
                    connection.execute("ROLLBACK")
            if not short:
                return False
            os.fdatasync(log)
            return True
        finally:
            os.close(log)

    def _is_ours(self, log: os.stat_result) -> bool:
        # The file at the path may be another one by now, and nothing is written to that. One that was cut is left as
        # it is: the next commit finds it too short.
        identity = self.identity
        return identity is not None and identity.is_open(self._log, log) and log.st_size >= identity.log_bytes

    def _measure(self, connection: apsw.Connection) -> tuple[int, int]:
        pages, moved = connection.wal_checkpoint(mode=_NOOP)
        self._stats.wal_bytes = pages * PAGE_BYTES
        return pages * PAGE_BYTES, moved * PAGE_BYTES

    def _connected(self) -> apsw.Connection:
        if self._connection is None:
            self._connection = connect_checkpointer(self._file, wal_limit=self._limit * RESTART_AT)
            self._connection.set_busy_timeout(_RESTART_WAIT_MS)
        return self._connection
