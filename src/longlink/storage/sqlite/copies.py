"""Copies of a data folder: made while the server runs, and put in place of one that is gone.

A copy is one snapshot of the database, checked page by page, and the key that signs tokens. It never replaces anything:
what exists is refused, and what fails leaves nothing behind. Read next: database.py.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from longlink import errors
from longlink.errors import LonglinkError
from longlink.storage.sqlite import engine, migrations
from longlink.storage.sqlite.database import unusable
from longlink.storage.sqlite.folder import sync_folder
from longlink.storage.sqlite.lock import lock_folder

KEY: Final = "signing-key.json"
"""What a restored server needs beside the database, so that the tokens of before stay good. resume.key is not copied:
sessions do not outlive a server, and a new one is made."""
_PAGES: Final = 1_000
_BUSY_MS: Final = 5_000

Progress = Callable[[int, int], None]
"""Told how many pages are copied, and how many there are."""


class Copied(NamedTuple):
    """What a copy holds. size: bytes of the database; key: whether the signing key is in it."""

    messages: int
    conversations: int
    users: int
    size: int
    key: bool


def back_up(folder: Path, target: Path, progress: Progress) -> Copied:
    """Copy the database of a data folder, whether or not a server runs on it, and the signing key.

    target: a folder to be made or, if its name ends with .db, a file for the database alone. Raises DATA_UNUSABLE.
    """
    file = folder / engine.DATABASE
    if not file.is_file():
        raise LonglinkError(errors.DATA_UNUSABLE, f"there is no database {file}")
    with _beside(target, file) as fresh:
        database = fresh / engine.DATABASE
        _snapshot(file, database, progress)
        alone = target.suffix == ".db"
        key = not alone and _copy_key(folder, fresh)
        copied = _checked(database, key=key)
        if alone:
            # Unlike a rename, a link does not replace what somebody has put there meanwhile.
            os.link(database, target)
        else:
            fresh.rename(target)
        sync_folder(target.parent)
        return copied


def restore(source: Path, folder: Path, progress: Progress) -> Copied:
    """Make a data folder from a copy: of `back_up`, of SQLite, or of the whole folder of a server that was stopped.

    folder: made if only its last part is missing; it must be empty. Raises DATA_UNUSABLE, DATA_LOCKED, DATA_NEWER.
    """
    database = source / engine.DATABASE if source.is_dir() else source
    if not database.is_file():
        raise LonglinkError(errors.DATA_UNUSABLE, f"there is no backup {database}")
    lock = lock_folder(folder)
    try:
        if others := sorted(each.name for each in folder.iterdir() if each.name != "lock"):
            message = f"the data folder {folder} is not empty ({', '.join(others[:3])}): restore into a new folder"
            raise LonglinkError(errors.DATA_UNUSABLE, message)
        with _beside(folder / engine.DATABASE, database) as fresh:
            _copy_files(database, fresh / engine.DATABASE, progress)
            key = source.is_dir() and _copy_key(source, fresh)
            copied = _checked(fresh / engine.DATABASE, key=key)
            if key:
                (fresh / KEY).rename(folder / KEY)
            # Last: a folder with keys and without a database is refused, so what is broken off here is noticed.
            (fresh / engine.DATABASE).rename(folder / engine.DATABASE)
            sync_folder(folder)
            return copied
    finally:
        lock.release()


@contextlib.contextmanager
def _beside(target: Path, file: Path) -> Iterator[Path]:
    """A folder beside the target in which it is made; gone at the end. Every failure is DATA_UNUSABLE."""
    if target.exists() or target.is_symlink():
        raise LonglinkError(errors.DATA_UNUSABLE, f"{target} exists already, and a copy never replaces anything")
    fresh = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        fresh.mkdir(mode=0o700)
        yield fresh
    except (apsw.Error, OSError) as error:
        raise unusable(file, error) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _create(file: Path) -> int:
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _snapshot(file: Path, copy: Path, progress: Progress) -> None:
    os.close(_create(copy))
    source = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READWRITE)
    target = apsw.Connection(str(copy), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        source.set_busy_timeout(_BUSY_MS)
        # The server goes on writing; a read transaction keeps what is copied as it was.
        source.execute("BEGIN; SELECT count(*) FROM sqlite_schema").fetchall()
        with target.backup("main", source, "main") as backup:
            while not backup.done:
                backup.step(_PAGES)
                progress(backup.page_count - backup.remaining, backup.page_count)
        # One file: the copy needs no log beside it.
        target.execute("PRAGMA journal_mode = DELETE").fetchall()
    finally:
        engine.close_quietly(target)
        engine.close_quietly(source, checkpoint=False)


def _copy_files(database: Path, copy: Path, progress: Progress) -> None:
    """The file and, if it is of a folder that was copied as it lay, its log, which SQLite then applies."""
    for suffix in ("", "-wal"):
        part = Path(f"{database}{suffix}")
        if part.is_file():
            with part.open("rb") as source, os.fdopen(_create(Path(f"{copy}{suffix}")), "wb") as target:
                shutil.copyfileobj(source, target, _PAGES * engine.PAGE_BYTES)
    progress(1, 1)


def _copy_key(source: Path, target: Path) -> bool:
    file = source / KEY
    if not file.is_file():
        return False
    with os.fdopen(_create(target / KEY), "wb") as copy:
        copy.write(file.read_bytes())
        copy.flush()
        os.fsync(copy.fileno())
    return True


def _checked(database: Path, *, key: bool) -> Copied:
    """What the copy holds, once every page of it is known to be sound, in one file and on the disk."""
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        application = engine.first_value(connection, "PRAGMA application_id", ())
        version = engine.first_value(connection, "PRAGMA user_version", ())
        newest = migrations.shipped()[-1].version
        if application != migrations.APPLICATION_ID or not isinstance(version, int):
            raise LonglinkError(errors.DATA_UNUSABLE, f"{database.name}: it is not the database of a server")
        if version > newest:
            message = f"the backup has schema version {version}, this version of longlink knows up to {newest}"
            raise LonglinkError(errors.DATA_NEWER, message)
        found = engine.first_value(connection, "PRAGMA quick_check(1)", ())
        if found != "ok":
            raise LonglinkError(errors.DATA_UNUSABLE, f"the database is damaged: {found}")
        messages, conversations, users = [
            int(str(engine.first_value(connection, f"SELECT count(*) FROM {table}", ())))  # noqa: S608 - our own names
            for table in ("messages", "conversations", "users")
        ]
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    finally:
        engine.close_quietly(connection)
    with database.open("rb") as file:
        os.fsync(file.fileno())
    return Copied(messages, conversations, users, database.stat().st_size, key)
