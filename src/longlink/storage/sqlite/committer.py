"""Commits batches of requests on the one connection that writes.

Per batch: load what is not known, plan in memory, one INSERT into `work` (schema/sqlite/commit.sql). Each step of
SQLite releases the GIL, and a busy event loop returns it only once per switch interval: so the time of a commit depends
on the number of steps, not of rows. After an error of the disk nothing remembered is trusted: the connection is opened
again for the next batch. Never knows who asked. Read next: plan.py, known.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Final, cast

import apsw
import msgspec

from longlink import config, errors
from longlink.errors import LonglinkError
from longlink.ops import logs
from longlink.storage.sqlite.checkpoint import RESTART_AT, Checkpointer
from longlink.storage.sqlite.clock import Clock
from longlink.storage.sqlite.engine import (
    SENT_AT,
    STORAGE_ERRORS,
    close_quietly,
    connect_writer,
    first_value,
    reason,
    unavailable,
)
from longlink.storage.sqlite.health import Health
from longlink.storage.sqlite.identity import Identity
from longlink.storage.sqlite.known import Known, newest_change
from longlink.storage.sqlite.plan import MessageKey, Plan, StoredMessage
from longlink.storage.sqlite.requests import Answer, Appends, Marks, OpenDirect, Probe, Remember, Request, weigh
from longlink.storage.sqlite.stats import Stats

log = logs.get("storage")

COMMIT: Final = (
    "INSERT INTO work (stamp, now_ms, new_users, new_conversations, new_directs, new_members, new_messages, contents,"
    " new_mentions, new_own, heads, listed, marks, probe) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_FIND_MESSAGES: Final = f"""
SELECT json_group_array(json_array(m.conversation, m.sender, m.client_id, m.seq, {SENT_AT}, m.stamp, hex(m.content)))
FROM json_each(?) AS wanted CROSS JOIN messages AS m
ON m.conversation = wanted.value ->> 0 AND m.sender = wanted.value ->> 1 AND m.client_id = wanted.value ->> 2
"""  # noqa: S608 - made of a constant
# After a resend more are likely, since a client that reconnects resends all it has; so look before writing for a while.
_WARY_COMMITS: Final = 16
_FILLER_BYTES: Final = 262_144
_TRY_EVERY_S: Final = 0.1

_messages = msgspec.json.Decoder(list[tuple[int, int, str, int, int, int, str]])
_encode = msgspec.json.Encoder().encode


class Committer:
    """Made by the thread that opens the store, then used by the writer's thread alone."""

    def __init__(
        self,
        file: Path,
        settings: config.Storage,
        checkpointer: Checkpointer,
        stats: Stats,
        health: Health,
        now_ms: Callable[[], int],
    ) -> None:
        """Opens the connection at once. Raises apsw.Error."""
        self._file = file
        self._settings = settings
        self._checkpointer = checkpointer
        self._stats = stats
        self._health = health
        # Whether the database is still the one at its path; None until it is known which files these are.
        self.identity: Identity | None = None
        self._try_at_s = 0.0
        self._setup = (resources.files("longlink.storage") / "schema" / "sqlite" / "commit.sql").read_text("utf-8")
        self._known = Known()
        self._wary = 0
        self._connection: apsw.Connection | None = None
        self._stamp, newest_ms = newest_change(self._connected())
        self._clock = Clock(now_ms, newest_ms)
        # The newest stamp that readers can see, and find again after a restart; any thread may read it.
        self.committed = self._stamp

    def commit(self, requests: Sequence[Request]) -> list[Answer]:
        """One answer per request, durable. Never raises: the disk's errors are everyone's, a defect only its own."""
        try:
            return self._commit(requests)
        except LonglinkError as refusal:
            return [refusal] * len(requests)
        except Exception:
            # Whatever one write has broken must not fail its neighbours. What is remembered may be what is wrong.
            self.close()
            return [self._one_by_one(request) for request in requests]

    def close(self) -> None:
        """Close the connection."""
        close_quietly(self._connection, checkpoint=not self._health.lost)
        self._connection = None

    def _one_by_one(self, request: Request) -> Answer:
        match request:
            case Appends(items) if len(items) > 1:
                return _joined([self._one_by_one(Appends([item])) for item in items])
            case Marks(items) if len(items) > 1:
                return _joined([self._one_by_one(Marks([mark])) for mark in items])
        try:
            return self._commit([request])[0]
        except LonglinkError as refusal:
            return refusal
        except Exception:
            self._stats.failures += 1
            log.exception("write_defect")
            defect = LonglinkError(errors.INTERNAL, "the store met a defect; the server's log says which")
            return _joined([defect]) if isinstance(request, Appends | Marks) else defect

    def _commit(self, requests: Sequence[Request]) -> list[Answer]:
        """Raises STORAGE_UNAVAILABLE; anything else it raises is a defect of one of the requests."""
        self._health.refuse_if_lost()
        if self._checkpointer.overgrown:
            self._health.failed("write", self._checkpointer.overgrown)
            raise LonglinkError(errors.STORAGE_UNAVAILABLE, self._checkpointer.overgrown)
        started = time.perf_counter()
        try:
            connection = self._connected()
            self._load(connection, requests)
            plan, answers, wrote = self._write(connection, requests)
        except STORAGE_ERRORS as error:
            raise unavailable(self._failed(error)) from error
        if wrote and self.identity is not None:
            # Before anybody is answered: a commit into a file that nobody finds again is none.
            self.identity.check()
            self._health.refuse_if_lost()
        plan.apply()
        if wrote:
            self.committed = plan.newest_change or self.committed
            self._checkpointer.notify()
            weight = sum([weigh(request) for request in requests])
            self._stats.committed(weight, time.perf_counter() - started)
        self._stats.planned(plan.appended, plan.duplicates, plan.marked)
        if self._health.fails("write"):
            self._try_again(connection, now=any(isinstance(request, Probe) for request in requests))
        return answers

    def _failed(self, error: BaseException) -> str:
        """Count and report what the disk has done; returns it in words."""
        why = reason(error, self._connection)
        self._stats.failures += 1
        if self.identity is not None:
            self.identity.check()
        self._health.failed("write", why, error)
        self.close()
        return why

    def _try_again(self, connection: apsw.Connection, *, now: bool) -> None:
        """After a failure, and once something was written again: whether there is room for more than a small row."""
        if not now and time.monotonic() < self._try_at_s:
            return
        try:
            with self._checkpointer.gate:
                for filler in (apsw.zeroblob(_FILLER_BYTES), None):
                    connection.execute("UPDATE probe SET filler = ?", (filler,))
        except STORAGE_ERRORS as error:
            self._failed(error)
            self._try_at_s = time.monotonic() + _TRY_EVERY_S
        else:
            self._health.worked("write")

    def _connected(self) -> apsw.Connection:
        if self._connection is None:
            connection = connect_writer(self._file, wal_limit=RESTART_AT * self._settings.checkpoint_bytes)
            try:
                connection.execute(self._setup).fetchall()
                self._known = Known()
                self._known.load_counters(connection)
            except BaseException:
                close_quietly(connection)
                raise
            self._connection = connection
        return self._connection

    def _load(self, connection: apsw.Connection, requests: Sequence[Request]) -> None:
        """Make known what the requests name, in at most three steps; none when all of it is known."""
        users: dict[str, None] = {}
        conversations: dict[str, None] = {}
        opened: list[tuple[str, str]] = []
        for request in requests:
            match request:
                case Appends(items) | Marks(items):
                    conversations.update(dict.fromkeys([item.conversation for item in items]))
                case OpenDirect(user=user, peer=peer):
                    users.update({user: None, peer: None})
                    opened.append((user, peer))
                case Remember(names):
                    users.update(dict.fromkeys(names))
        known = self._known
        known.load_users(connection, users)
        pairs = {
            (min(known.users[user], known.users[peer]), max(known.users[user], known.users[peer])): None
            for user, peer in opened
            if user in known.users and peer in known.users
        }
        known.load_directs(connection, pairs)
        conversations.update({known.directs[pair]: None for pair in pairs if pair in known.directs})
        known.load_conversations(connection, conversations)

    def _write(self, connection: apsw.Connection, requests: Sequence[Request]) -> tuple[Plan, list[Answer], bool]:
        """Plan and write; when a unique key says that a resend is among them, look the messages up and plan again."""
        plan, answers = self._plan(requests, {})
        if self._wary:
            self._wary -= 1
            plan, answers = self._plan_with_stored(connection, requests, plan)
        try:
            return plan, answers, self._insert(connection, plan)
        except apsw.ConstraintError:
            self._wary = _WARY_COMMITS
            plan, answers = self._plan_with_stored(connection, requests, plan)
            return plan, answers, self._insert(connection, plan)

    def _plan(self, requests: Sequence[Request], stored: dict[MessageKey, StoredMessage]) -> tuple[Plan, list[Answer]]:
        # A plain counter: a cursor over the stamps never skips a commit, whatever the clock does.
        self._stamp += 1
        plan = Plan(self._known, self._stamp, self._clock.read_ms(), stored)
        return plan, [plan.answer(request) for request in requests]

    def _plan_with_stored(
        self, connection: apsw.Connection, requests: Sequence[Request], plan: Plan
    ) -> tuple[Plan, list[Answer]]:
        if not plan.keys:
            return self._plan(requests, {})
        found = first_value(connection, _FIND_MESSAGES, (_encode(plan.keys).decode(),))
        rows = _messages.decode(found) if isinstance(found, str) else []
        if rows:
            self._wary = _WARY_COMMITS
        stored = {
            (conversation, sender, client_id): StoredMessage(seq, sent_at, stamp, bytes.fromhex(content))
            for conversation, sender, client_id, seq, sent_at, stamp, content in rows
        }
        return self._plan(requests, stored)

    def _insert(self, connection: apsw.Connection, plan: Plan) -> bool:
        row = plan.row()
        if row is None:
            return False
        with self._checkpointer.gate:
            connection.execute(COMMIT, row)
        return True


def _joined(answers: Sequence[Answer]) -> Answer:
    # Each is the answer to one item: a list of one, or the error of the disk, which then is the item's.
    joined = [answer[0] if isinstance(answer, list) else answer for answer in answers]
    return cast("Answer", joined)
