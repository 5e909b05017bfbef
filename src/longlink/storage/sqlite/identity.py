"""Whether the database that is open is still the one at its path.

A file that was deleted, moved or replaced takes writes as before, and the next start does not find them. So the writer
looks after each commit, before it answers: the three files of the database must be those that were opened. A file that
was copied over keeps its place on the disk; it is noticed because only the checkpoint thread may change it, and
recognised by the epoch of this opening, which no older copy has. A log that was cut is shorter afterwards, because
zeros lie ready behind its used part. Not noticed: a copy that was made since this opening, has the same size or more,
and is put back by writing into the file. Read next: committer.py, checkpoint.py.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import apsw

from longlink.ops import logs
from longlink.storage.sqlite.engine import PAGE_BYTES, close_quietly, connect_reader, first_value
from longlink.storage.sqlite.health import Health

log = logs.get("storage")

# Of the log (sqlite.org/fileformat2.html#the_write_ahead_log): both headers hold the salts of its present round.
_LOG_HEADER_BYTES: Final = 32
_LOG_SALTS: Final = slice(16, 24)
_FRAME_HEADER_BYTES: Final = 24
_FRAME_SALTS: Final = slice(8, 16)
_NOOP: Final = -1  # SQLITE_CHECKPOINT_NOOP: only tells the sizes (SQLite 3.51)
_EPOCH: Final = "SELECT name FROM epochs WHERE number = (SELECT max(number) FROM epochs)"


class Identity:
    """Made once the database, its log and its index are open.

    epoch: the name of this opening, which stands in the database.
    log_bytes: the size that the log's file had last, kept by the writer and the checkpoint thread.
    """

    def __init__(self, file: Path, epoch: str, health: Health) -> None:
        """Raises apsw.Error, OSError."""
        self._file = file
        self._name = str(file)
        self._log_name = f"{file}-wal"
        self._epoch = epoch
        self._health = health
        # Open as long as the store is: the last connection that is closed takes the log and the index with it.
        self._anchor = connect_reader(file)
        self._files = {name: _place(name) for name in (str(file), f"{file}-wal", f"{file}-shm")}
        self._rounds = 0
        self._moving = False
        self._content = _content(file)
        self.log_bytes = os.stat(self._log_name).st_size

    def check(self) -> None:
        """Look at the files, and report to the health of the store if they are others. Blocks for microseconds."""
        if self._health.lost:
            return
        # Each look releases the GIL, which costs a commit beside a busy event loop more than the look itself.
        moving, round_ = self._moving, self._rounds
        content, log_bytes = self._content, self.log_bytes
        for name, place in self._files.items():
            try:
                # A symbolic link is another file: SQLite would look for the log beside the one that it points to.
                found = os.lstat(name)
            except OSError as error:
                self._lose(f"{name} is gone: {error.strerror}")
                return
            if (found.st_dev, found.st_ino) != place:
                self._lose(f"{name} is another file than the one that was opened")
                return
            if name == self._name:
                content = (found.st_size, found.st_mtime_ns)
            elif name == self._log_name and not moving and not self._log_may_have(found.st_size, log_bytes):
                self._lose(f"{name} was cut short")
                return
        if not moving:
            self._check_content(round_, content)

    def is_open(self, name: Path, found: os.stat_result) -> bool:
        """Whether this is the file of that name which the store has open."""
        return self._files.get(str(name)) == (found.st_dev, found.st_ino)

    @contextlib.contextmanager
    def moving(self) -> Iterator[None]:
        """While a checkpoint writes to the database: what changes in it is its own doing."""
        self._rounds += 1
        self._moving = True
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                self._content = _content(self._file)
                self.log_bytes = os.stat(self._log_name).st_size
            self._moving = False

    def has_own_database(self) -> bool:
        """Whether the database itself is the one that was opened and unchanged, whatever became of its log."""
        try:
            return _place(self._name) == self._files[self._name] and _content(self._file) == self._content
        except OSError:
            return False

    def check_epoch(self) -> None:
        """Look into the file, and report it if it is not the one of this opening."""
        if not self._has_epoch():
            self._lose(f"{self._file} was overwritten with other content")

    def close(self) -> None:
        """Idempotent."""
        close_quietly(self._anchor, checkpoint=not self._health.lost)

    def _check_content(self, round_: int, found: tuple[int, int]) -> None:
        known = self._content
        if self._moving or self._rounds != round_ or found == known:
            return
        if found[0] < known[0] or not self._has_epoch():
            self._lose(f"{self._file} was overwritten with other content")
            return
        self._content = found
        log.warning("database_written_by_others", file=str(self._file))

    def _log_may_have(self, size: int, before: int) -> bool:
        """Whether the log may have this size: one that has become shorter is read."""
        if size < before and not self._moving and not self._log_is_whole():
            return False
        self.log_bytes = size
        return True

    def _log_is_whole(self) -> bool:
        """Whether each frame that the index counts is in the log and of its present round."""
        frames, _ = self._anchor.wal_checkpoint(mode=_NOOP)
        if frames < 1:
            return True
        with open(self._log_name, "rb", buffering=0) as log:
            salts = log.read(_LOG_HEADER_BYTES)[_LOG_SALTS]
            begins = range(
                _LOG_HEADER_BYTES,
                _LOG_HEADER_BYTES + frames * (_FRAME_HEADER_BYTES + PAGE_BYTES),
                _FRAME_HEADER_BYTES + PAGE_BYTES,
            )
            headers = (os.pread(log.fileno(), _FRAME_HEADER_BYTES, begin) for begin in begins)
            return any(salts) and all(header[_FRAME_SALTS] == salts for header in headers)

    def _has_epoch(self) -> bool:
        """Whether somebody who opens the file now finds the epoch of this opening."""
        connection = None
        try:
            connection = connect_reader(self._file)
            return first_value(connection, _EPOCH, ()) == self._epoch
        except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError):
            return False
        except apsw.Error:
            # Nothing is known: no files are left, or another program holds a lock.
            return True
        finally:
            close_quietly(connection)

    def _lose(self, what: str) -> None:
        self._health.lose(
            f"the database is lost: {what}; nothing is written any more. Put the right file in place and restart"
        )


def _place(name: str) -> tuple[int, int]:
    found = os.lstat(name)
    return found.st_dev, found.st_ino


def _content(file: Path) -> tuple[int, int]:
    found = os.stat(file)
    return found.st_size, found.st_mtime_ns
