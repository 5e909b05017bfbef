"""The checkpoint thread: moves the write-ahead log into the database beside the commits, and keeps the log bounded.

Above checkpoint_bytes of unmoved log it moves what it can without holding anyone up. Under constant writing the log
never gets the chance to start again, so at 4 times that size commits wait at the gate while the last pages are moved.
Only a foreign reader can prevent that (a backup, a shell); at 64 times writes are refused until it is gone. Asleep
while nothing is written. Never writes rows. Read next: engine.py; https://sqlite.org/wal.html#avoiding_excessively_large_wal_files.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

import apsw

from longlink import config
from longlink.storage.sqlite.engine import PAGE_BYTES, close_quietly, connect_checkpointer
from longlink.storage.sqlite.stats import Stats

_RESTART_AT: Final = 4
_REFUSE_AT: Final = 64
_PAUSE_SECONDS: Final = 0.05
_RESTART_WAIT_MS: Final = 100
_RETRY_SECONDS: Final = 1.0
_NOOP: Final = -1  # SQLITE_CHECKPOINT_NOOP: only tells the sizes (SQLite 3.51)


class Checkpointer:
    """gate: held by whoever writes to the log, and by this thread while the log must stand still."""

    def __init__(self, file: Path, settings: config.Storage, stats: Stats) -> None:
        self._file = file
        self._limit = settings.checkpoint_bytes
        self._stats = stats
        self._dirty = threading.Event()
        self._stop = threading.Event()
        self._connection: apsw.Connection | None = None
        self.gate = threading.Lock()
        # Why writes are refused; empty while they are not.
        self.overgrown = ""
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
            self._connected().wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except (apsw.Error, OSError):
            # The log stays beside the database and is read at the next start.
            self._stats.checkpoint_failures += 1
        close_quietly(self._connection)

    def _guarded_round(self) -> float:
        """One look at the log. Returns the seconds until the next one."""
        try:
            return self._round()
        except (apsw.Error, OSError):
            self._stats.checkpoint_failures += 1
            close_quietly(self._connection)
            self._connection = None
            self._dirty.set()
            return _RETRY_SECONDS

    def _round(self) -> float:
        connection = self._connected()
        size, moved = self._measure(connection)
        if size - moved >= self._limit:
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            self._stats.checkpoints += 1
            size, moved = self._measure(connection)
        if size < self._limit * _RESTART_AT:
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
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
            except apsw.BusyError:
                return False
        self._stats.wal_bytes = 0
        self._stats.checkpoints += 1
        return True

    def _measure(self, connection: apsw.Connection) -> tuple[int, int]:
        pages, moved = connection.wal_checkpoint(mode=_NOOP)
        self._stats.wal_bytes = pages * PAGE_BYTES
        return pages * PAGE_BYTES, moved * PAGE_BYTES

    def _connected(self) -> apsw.Connection:
        if self._connection is None:
            self._connection = connect_checkpointer(self._file, wal_limit=self._limit)
            self._connection.set_busy_timeout(_RESTART_WAIT_MS)
        return self._connection
