"""Brings a database to the newest schema: numbered files, forward only, each in one transaction.

A file that was applied and has changed since is refused, for then nobody knows what is on disk; so is a database of a
newer server or of another program. Never migrates down. Read next: schema/sqlite/0001_initial.sql.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

import apsw

from longlink import errors
from longlink.errors import LonglinkError

# "LLNK", in the header of the file (https://sqlite.org/pragma.html#pragma_application_id).
APPLICATION_ID: Final = 0x4C4C4E4B
_FILE: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of the schema. checksum: SHA-256 of its text, hex."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def shipped() -> list[Migration]:
    """The migrations of this version of the server, in order: 1, 2, 3, ..."""
    files = (file for file in (resources.files("longlink.storage") / "schema" / "sqlite").iterdir())
    found = [(match, file) for file in files if (match := _FILE.fullmatch(file.name))]
    migrations = [Migration(int(match[1]), file.name, file.read_text("utf-8")) for match, file in found]
    return sorted(migrations, key=lambda migration: migration.version)


def migrate(connection: apsw.Connection, file: Path, migrations: Sequence[Migration]) -> None:
    """Apply what is missing.

    Raises DATA_NEWER when the database is ahead of `migrations`, DATA_UNUSABLE when it belongs to another program or
    was made by another text of the same migration. May raise apsw.Error.
    """
    version = _pragma(connection, "user_version")
    newest = migrations[-1].version
    if _pragma(connection, "application_id") not in (APPLICATION_ID, 0) or (not version and _has_tables(connection)):
        raise LonglinkError(errors.DATA_UNUSABLE, f"{file} is the database of another program")
    if version > newest:
        message = f"{file} has schema version {version}, this server knows versions up to {newest}"
        raise LonglinkError(errors.DATA_NEWER, message)
    if version:
        _check_history(connection, file, migrations[:version])
    for migration in migrations[version:]:
        _apply(connection, migration)


def _check_history(connection: apsw.Connection, file: Path, applied: Sequence[Migration]) -> None:
    rows = connection.execute("SELECT version, checksum FROM migrations").fetchall()
    recorded = {row[0]: row[1] for row in rows}
    for migration in applied:
        if recorded.get(migration.version) != migration.checksum:
            message = f"{file} was made by another text of {migration.name}; an applied migration must never change"
            raise LonglinkError(errors.DATA_UNUSABLE, message)


def _apply(connection: apsw.Connection, migration: Migration) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations"
            " (version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL) STRICT"
        )
        connection.execute(migration.sql)
        connection.execute(
            "INSERT INTO migrations VALUES (?, ?, ?)", (migration.version, migration.name, migration.checksum)
        )
        connection.execute(f"PRAGMA user_version = {migration.version}; PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _pragma(connection: apsw.Connection, name: str) -> int:
    value = connection.execute(f"PRAGMA {name}").fetchall()[0][0]
    return value if isinstance(value, int) else 0


def _has_tables(connection: apsw.Connection) -> bool:
    return bool(connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall())
