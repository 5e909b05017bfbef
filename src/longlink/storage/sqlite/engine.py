"""Connections to the one SQLite file: how each is opened, and what its errors mean.

Never runs a statement of the store's own. Foreign keys are declared but not enforced: the writer plans every row from
what it has read, and the check would cost a look-up for each. Read next: migrations.py, writer.py.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import apsw

from longlink import errors
from longlink.errors import LonglinkError

DATABASE: Final = "longlink.db"
SENT_AT: Final = "coalesce(m.sent_at, m.stamp)"
"""The time of a row `m` of messages; in those of earlier versions the stamp is the time (schema 0004)."""
PAGE_BYTES: Final = 4096
# Older ones can corrupt a database when a commit and a checkpoint meet (docs/decisions/0004-apsw.md).
_SOUND_SQLITE: Final = (3, 51, 3)
_BUSY_MS: Final = 5_000
_WRITER_CACHE_KIB: Final = 65_536
_READER_CACHE_KIB: Final = 16_384

# The disk, the file or the memory: the next attempt may work, and no operation of the batch is to blame.
STORAGE_ERRORS: Final = (
    apsw.FullError,
    apsw.IOError,
    apsw.ReadOnlyError,
    apsw.CantOpenError,
    apsw.BusyError,
    apsw.LockedError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.NoMemError,
    apsw.PermissionsError,
    apsw.ProtocolError,
    apsw.InterruptError,
    apsw.AuthError,
    apsw.ConnectionClosedError,
    OSError,
)


def require_sound_sqlite(version: str) -> None:
    """Raises DATA_UNUSABLE for a SQLite library that is not safe with a checkpoint thread."""
    if tuple(map(int, version.split("."))) < _SOUND_SQLITE:
        wanted = ".".join(map(str, _SOUND_SQLITE))
        raise LonglinkError(errors.DATA_UNUSABLE, f"SQLite {wanted} or newer is needed, apsw was built with {version}")


def connect_writer(file: Path, *, wal_limit: int) -> apsw.Connection:
    """A connection that commits durably: write-ahead log, synchronous FULL, no checkpoints of its own.

    wal_limit: bytes that the log file keeps when it starts again. Raises apsw.Error.
    """
    # Without SQLITE_OPEN_CREATE: a database that is gone must not be replaced by an empty one.
    connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=64)
    connection.set_busy_timeout(_BUSY_MS)
    connection.execute(
        f"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;"
        f"PRAGMA journal_size_limit = {wal_limit}; PRAGMA cache_size = -{_WRITER_CACHE_KIB};"
        f"PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;"
    ).fetchall()
    return connection


def connect_reader(file: Path) -> apsw.Connection:
    """A connection that cannot write, with every file open that it needs. Raises apsw.Error."""
    connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY, statementcachesize=16)
    connection.set_busy_timeout(_BUSY_MS)
    # The last one looks into the database: SQLite opens the log and its index at the first look, not before.
    connection.execute(
        f"PRAGMA query_only = ON; PRAGMA cache_size = -{_READER_CACHE_KIB}; PRAGMA trusted_schema = OFF;"
        "PRAGMA schema_version;"
    ).fetchall()
    return connection


def connect_checkpointer(file: Path, *, wal_limit: int) -> apsw.Connection:
    """A connection that moves the log into the database. Raises apsw.Error."""
    connection = connect_writer(file, wal_limit=wal_limit)
    connection.execute("PRAGMA cache_size = -256").fetchall()
    return connection


def close_quietly(connection: apsw.Connection | None, *, checkpoint: bool = True) -> None:
    """Give the connection up. One that is broken has nothing left to say.

    checkpoint: False leaves the files at the database's path alone, because they may be others by now.
    """
    if connection is not None:
        with contextlib.suppress(apsw.Error):
            if not checkpoint:
                connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            connection.close(True)


def first_value(
    connection: apsw.Connection, sql: str, bindings: tuple[object, ...] | Mapping[str, object]
) -> object:  # fmt: skip
    """The only column of the first row, in one step of SQLite, or None.

    The statement is reset at once: one left open would pin its snapshot, and the log could not start again.
    """
    cursor = connection.cursor()
    try:
        row = cursor.execute(sql, bindings).fetchone()
    finally:
        cursor.close(True)
    return None if row is None else row[0]


def reason(error: BaseException, connection: apsw.Connection | None = None) -> str:
    """The error in words: SQLite's text and symbol, and the operating system's when it knows one."""
    if not isinstance(error, apsw.Error):
        return str(error)
    parts = [str(error)]
    symbol = apsw.mapping_extended_result_codes.get(getattr(error, "extendedresult", 0))
    if symbol is None:
        symbol = apsw.mapping_result_codes.get(getattr(error, "result", 0))
    if isinstance(symbol, str):
        parts.append(symbol)
    with contextlib.suppress(apsw.Error):
        if connection is not None and connection.system_errno:
            parts.append(os.strerror(connection.system_errno))
    return ", ".join(parts)


def unavailable(reason: str) -> LonglinkError:
    """STORAGE_UNAVAILABLE with the reason."""
    return LonglinkError(errors.STORAGE_UNAVAILABLE, f"the store cannot work now: {reason}")
