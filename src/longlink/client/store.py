"""What a client keeps on disk: unacknowledged messages, how far each conversation has got, messages to read offline.

The only place of the client that knows SQL. One file, SQLite, for one user on one device; the process that has opened
it keeps it locked. All calls are synchronous and small, 10 to 100 µs; `run` and `sync` wait for the disk. After a power
cut what was written before them holds, and the last moments after them may be gone, so that messages may be handed out
again; the death of the process alone loses nothing. Read next: outgoing.py and incoming.py, which use it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from longlink import errors
from longlink.client.options import random_device, random_prefix
from longlink.client.track import Track
from longlink.errors import LonglinkError
from longlink.protocol import frames
from longlink.protocol.limits import PAGE_MAX, SEQ_MAX

VERSION: Final = 2
APPLICATION: Final = 0x4C4C4331
"""`PRAGMA application_id`: "LLC1", so that another program's file is not taken for ours."""
UNKNOWN: Final = SEQ_MAX
"""Connect.received when nobody knows it, after a crash: never the right number, so the server says `missed`."""
SCHEMA: Final = f"""
CREATE TABLE facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE outbox (number INTEGER PRIMARY KEY AUTOINCREMENT, send BLOB NOT NULL);
CREATE TABLE places (
    conversation TEXT PRIMARY KEY, handled INTEGER, head INTEGER, acked INTEGER, read INTEGER, read_acked INTEGER,
    mentions INTEGER, changed_at INTEGER, members TEXT, own INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE messages (
    conversation TEXT, seq INTEGER, message BLOB NOT NULL, PRIMARY KEY (conversation, seq)
) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
"""
UPGRADE: Final = "ALTER TABLE places ADD COLUMN own INTEGER NOT NULL DEFAULT 0"
"""From version 1 to 2."""
PLACE: Final = (
    "INSERT OR REPLACE INTO places "
    "(conversation, handled, head, acked, read, read_acked, mentions, changed_at, members, own) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


_fsync: Final = getattr(os, "fdatasync", os.fsync)
_opened: Final[weakref.WeakSet[Store]] = weakref.WeakSet()
"""The stores of this process, for its forks."""


class Queued(NamedTuple):
    """A message that waits on disk. number: its place in the order of sending."""

    number: int
    send: frames.Send


class Store:
    """Made by `open_store`. kept: messages of each conversation that stay for reading, the newest."""

    def __init__(self, path: Path, database: sqlite3.Connection, kept: int) -> None:
        self.path = path
        self._database = database
        self._kept = kept
        self._log = -1
        _opened.add(self)

    # Who it belongs to, and the session -------------------------------------------------------------------------------

    def fact(self, name: str, default: str = "") -> str:
        """user, device, prefix (of this store's client_ids) and key (of the session); default when not known."""
        row = self._one("SELECT value FROM facts WHERE name = ?", name)
        return str(row[0]) if row else default

    def number(self, name: str) -> int:
        """received, interval_ms and synced_at; 0 when not known."""
        return int(self.fact(name, "0"))

    def note(self, **facts: str | int) -> None:
        with self._writing():
            self._note(facts)

    def run(self) -> int:
        """A number that this store has never given before, for the client_ids of this process."""
        number = self.number("run") + 1
        with self._writing(on_disk=True):
            self._note({"run": number})
        return number

    # Messages to send -------------------------------------------------------------------------------------------------

    def queued(self) -> list[Queued]:
        """What no server has acknowledged, in the order of sending."""
        rows = self._all("SELECT number, send FROM outbox ORDER BY number")
        return [Queued(number, frames.Send.FromString(send)) for number, send in rows]

    def add(self, send: frames.Send) -> int:
        """Written when it returns, and on disk after the next `sync`. The number names it for `settle`."""
        with self._writing():
            done = self._database.execute("INSERT INTO outbox (send) VALUES (?)", (send.SerializeToString(),))
            return int(done.lastrowid or 0)

    def settle(self, number: int, stored: frames.Message | None = None) -> None:
        """A message need not be sent any more. stored: how it stands in the log now."""
        with self._writing():
            self._database.execute("DELETE FROM outbox WHERE number = ?", (number,))
            if stored is not None:
                self._keep([stored])

    # Conversations ----------------------------------------------------------------------------------------------------

    def places(self) -> dict[str, Track]:
        """Every conversation, as it stood when the last process ended, the one that changed last at the end."""
        found = {}
        for name, handled, head, acked, read, read_acked, mentions, changed_at, members, own in self._all(
            "SELECT conversation, handled, head, acked, read, read_acked, mentions, changed_at, members, own "
            "FROM places ORDER BY changed_at"
        ):
            track = found[name] = Track(handled, head, acked=acked, read=read, read_acked=read_acked)
            track.mentions_counted, track.counted_at, track.changed = mentions, head, changed_at
            track.own_counted = own
            for user, delivered, read_by in json.loads(members):
                track.delivered[user], track.reads[user] = delivered, read_by
        return found

    def place(self, changed: Iterable[tuple[str, Track]], **facts: str | int) -> None:
        """How conversations stand now. facts: what holds only together with it, such as synced_at."""
        with self._writing():
            self._database.executemany(PLACE, (_row(name, track) for name, track in changed))
            self._note(facts)

    def forget(self, above: Iterable[tuple[str, int]]) -> None:
        """Messages of each conversation with a higher seq are of another log."""
        with self._writing():
            self._database.executemany("DELETE FROM messages WHERE conversation = ? AND seq > ?", above)

    def forget_all(self, conversations: Iterable[str]) -> None:
        """These conversations are not in the server's log."""
        with self._writing():
            for name in conversations:
                self._database.execute("DELETE FROM messages WHERE conversation = ?", (name,))
                self._database.execute("DELETE FROM places WHERE conversation = ?", (name,))

    # Messages to read -------------------------------------------------------------------------------------------------

    def keep(self, messages: Iterable[frames.Message]) -> None:
        with self._writing():
            self._keep(messages)

    def history(self, conversation: str, after: int) -> list[frames.Message]:
        """At most a page of what is kept beyond a seq, oldest first."""
        rows = self._all(
            "SELECT message FROM messages WHERE conversation = ? AND seq > ? ORDER BY seq LIMIT ?",
            *(conversation, after, PAGE_MAX),
        )
        return [frames.Message.FromString(message) for (message,) in rows]

    def last(self, conversation: str, before: int, count: int) -> list[frames.Message]:
        """The newest of what is kept below a seq, oldest first."""
        rows = self._all(
            "SELECT message FROM messages WHERE conversation = ? AND seq < ? ORDER BY seq DESC LIMIT ?",
            *(conversation, before, count),
        )
        return [frames.Message.FromString(message) for (message,) in reversed(rows)]

    def sync(self) -> None:
        """Everything that was written before is on disk when it returns. For a thread: it touches the log file only.

        What SQLite itself does at a commit with synchronous = FULL. The log is there, because `run` has written to it.
        """
        with _told(self.path):
            if self._log < 0:
                self._log = os.open(f"{self.path}-wal", os.O_RDWR)
            _fsync(self._log)

    def close(self) -> None:
        """Release the lock. Idempotent."""
        if self._log >= 0:
            os.close(self._log)
            self._log = -1
        self._database.close()

    def forked(self) -> None:
        """In the child of a fork: leave the file to the parent.

        Even closing the copy would do harm: SQLite would take itself for the owner of the lock, and empty and delete
        the log under the parent. So the copy is never freed, and a closed connection stands in its place.
        """
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._database))
        self._database = sqlite3.connect(":memory:")
        self._database.close()

    # SQL --------------------------------------------------------------------------------------------------------------

    def _note(self, facts: dict[str, str | int]) -> None:
        self._database.executemany("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", facts.items())

    def _keep(self, messages: Iterable[frames.Message]) -> None:
        newest: dict[str, int] = {}
        for each in messages:
            row = (each.conversation, each.seq, each.SerializeToString())
            self._database.execute("INSERT OR REPLACE INTO messages (conversation, seq, message) VALUES (?, ?, ?)", row)
            newest[each.conversation] = max(each.seq, newest.get(each.conversation, 0))
        for conversation in newest:
            self._database.execute(
                "DELETE FROM messages WHERE conversation = ?1 AND seq <= "
                "(SELECT max(seq) FROM messages WHERE conversation = ?1) - ?2",
                (conversation, self._kept),
            )

    def _one(self, query: str, *values: str | int) -> tuple[object, ...] | None:
        return next(iter(self._all(query, *values)), None)

    def _all(self, query: str, *values: str | int) -> list[tuple]:  # type: ignore[type-arg]
        with _told(self.path):
            return self._database.execute(query, values).fetchall()

    @contextlib.contextmanager
    def _writing(self, *, on_disk: bool = False) -> Iterator[None]:
        with _told(self.path):
            # In WAL mode NORMAL waits for the disk only at checkpoints, FULL at every commit.
            self._database.execute(f"PRAGMA synchronous = {'FULL' if on_disk else 'NORMAL'}")
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")


def open_store(path: Path, *, device: str, kept: int) -> Store:
    """The store in a file, made when it is not there. device: empty takes the store's own, or a new random one.

    Raises DATA_LOCKED (another client has it open), DATA_NEWER, DATA_UNUSABLE (damaged, no database, no room) and
    CONFIG_INVALID (it belongs to another device).
    """
    with _told(path):
        # What stands in it is private, and the key of the session as good as a token.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        database = sqlite3.connect(path, timeout=0.0, isolation_level=None, check_same_thread=False)
        try:
            _prepare(path, database)
        except BaseException:
            database.close()
            raise
    store = Store(path, database, kept)
    try:
        owner = store.fact("device")
        if owner and device and owner != device:
            raise LonglinkError(errors.CONFIG_INVALID, f"store {path}: belongs to device {owner!r}, not to {device!r}")
        if not owner:
            store.note(device=device or random_device(), prefix=random_prefix())
    except BaseException:
        store.close()
        raise
    return store


def _forked() -> None:
    for store in list(_opened):
        store.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _prepare(path: Path, database: sqlite3.Connection) -> None:
    # Exclusive: the lock of the first write is kept until the file is closed, also by the kernel after kill -9.
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("BEGIN EXCLUSIVE")
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    (tables,) = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION and (tables or application):
        raise LonglinkError(errors.DATA_UNUSABLE, f"store {path}: it is a database of another program")
    if version > VERSION:
        raise LonglinkError(errors.DATA_NEWER, f"store {path}: it has version {version}, this client knows {VERSION}")
    if tables:
        (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise LonglinkError(errors.DATA_UNUSABLE, f"store {path}: it is damaged: {found}")
        if version == 1:
            database.execute(UPGRADE)
            database.execute(f"PRAGMA user_version = {VERSION}")
        database.execute("COMMIT")
    else:
        for statement in SCHEMA.split(";"):
            database.execute(statement)
        database.execute("COMMIT")


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Every failure of SQLite as an error of the table."""
    try:
        yield
    except OSError as error:
        raise LonglinkError(errors.DATA_UNUSABLE, f"store {path}: {error.strerror}") from error
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise LonglinkError(errors.DATA_LOCKED, f"store {path}: another client has it open") from error
        raise LonglinkError(errors.DATA_UNUSABLE, f"store {path}: {error}") from error


def _row(name: str, track: Track) -> tuple[str | int, ...]:
    members = json.dumps([[user, mark, track.reads.get(user, 0)] for user, mark in track.delivered.items()])
    marks = (track.done, track.head, track.acked, track.read, track.read_acked, track.mentions, track.changed)
    return (name, *marks, members, track.own_above)
