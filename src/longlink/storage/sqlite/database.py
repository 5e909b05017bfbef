"""The database file of a data folder: found, or made where there was none, and brought to the newest schema.

A folder that was in use and has no database any more is refused: a new one would hide that the old one is gone. Never
opens what others own or can write. Read next: migrations.py, epochs.py.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

import apsw

from longlink import errors
from longlink.errors import LonglinkError
from longlink.storage.sqlite import engine, migrations
from longlink.storage.sqlite.epochs import Epochs, begin_epoch, continue_epoch
from longlink.storage.sqlite.folder import sync_folder

_TRACES: Final = ("signing-key.json", "resume.key", f"{engine.DATABASE}-wal")
"""Files that a server makes after its database, so none of them is there without one."""


def make_database(folder: Path) -> None:
    """Make a new, empty database in a folder that has none, whatever else lies there.

    The caller holds the folder's lock. Raises DATA_UNUSABLE.
    """
    file = folder / engine.DATABASE
    if _size(file):
        raise LonglinkError(errors.DATA_UNUSABLE, f"{file} is a database already; start without --new-database")
    for name in (f"{file}-wal", f"{file}-shm"):
        Path(name).unlink(missing_ok=True)
    _prepare(file)


def prepare_database(folder: Path) -> None:
    """The database of the folder with the newest schema; made if the folder was never in use.

    The caller holds the folder's lock. Raises DATA_NEWER, DATA_UNUSABLE.
    """
    file = folder / engine.DATABASE
    traces = [name for name in _TRACES if (folder / name).exists()]
    if traces and not _size(file):
        message = (
            f"{file} is missing or empty, and the folder was in use ({', '.join(traces)}): put the database back"
            " (longlink restore), or start with --new-database to begin without the old messages"
        )
        raise LonglinkError(errors.DATA_UNUSABLE, message)
    _prepare(file)


def open_epoch(folder: Path, *, continues: bool) -> Epochs:
    """Begin the epoch of this opening, or continue the last one.

    It lies in the database itself, not in its log, before anybody is served.

    Raises apsw.Error.
    """
    connection = apsw.Connection(str(folder / engine.DATABASE), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        return continue_epoch(connection) if continues else begin_epoch(connection)
    finally:
        # The last connection moves the log into the database.
        engine.close_quietly(connection)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _prepare(file: Path) -> None:
    try:
        # Made by us, for the owner alone: SQLite would let everybody read it. Its log and index get the mode of this
        # file. Before any connection, because closing a file drops the locks that this process has on it.
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            migrations.migrate(connection, file, migrations.shipped())
        finally:
            engine.close_quietly(connection)
        sync_folder(file.parent)
    except (apsw.Error, OSError) as error:
        raise unusable(file, error) from error


def unusable(file: Path, error: apsw.Error | OSError) -> LonglinkError:
    """DATA_UNUSABLE with the reason."""
    reason = engine.reason(error)
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        reason = "it is a symbolic link; give the folder in which it lies instead (data.dir)"
    return LonglinkError(errors.DATA_UNUSABLE, f"the database {file} cannot be used: {reason}")
