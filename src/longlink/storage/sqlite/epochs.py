"""The epochs of a log: each opening of the database begins one, with a random name, unless it continues the last one.

A copy of a data folder goes its own way from its first opening on, and its epochs have other names: so a client whose
place is of an epoch that is unknown here, or beyond the end of one that is known, has seen a log that went on
differently. Read next: database.py, which begins them.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final, NamedTuple

import apsw

from longlink import errors
from longlink.errors import LonglinkError

KEPT: Final = 1_024
"""Epochs that are remembered. A client whose last one is older syncs from the beginning."""
_NAME_BYTES: Final = 9
_AGES: Final = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256, 512)
"""Which epochs a client keeps for us, in openings before this one: dense near the end, where copies are made."""
_FOR_EVER: Final = 1 << 62


class Epoch(NamedTuple):
    """newest: the newest stamp of the log when the next epoch began."""

    name: str
    newest: int


class Epochs:
    """Those of one opening. known: oldest first, the last one is under way."""

    def __init__(self, known: Sequence[Epoch]) -> None:
        self._newest = {epoch.name: epoch.newest for epoch in known}
        names = [epoch.name for epoch in reversed(known)]
        self.current = names[0]
        # What clients keep and show again: this epoch, then some of those before it.
        self.place = ".".join([names[age] for age in _AGES if age < len(names)])

    def agreed(self, place: str) -> int | None:
        """The stamp up to which a log with this `place` was the same as this one; None if nobody can say."""
        return next((self._newest[name] for name in place.split(".") if name in self._newest), None)

    def refuse_ahead(self, place: str, newest: int) -> None:
        """Raises SINCE_AHEAD unless whatever a client has seen is in this log.

        place: of the epoch in which it saw that; empty passes, because clients of earlier versions have none.
        newest: the highest stamp that it saw.
        """
        if not place:
            return
        end = self._newest.get(place.split(".", 1)[0])
        if end is None:
            message = "epoch: expected one of this log, got another; the data was restored, or it is another server"
            raise LonglinkError(errors.SINCE_AHEAD, message)
        if newest > end:
            message = f"newest: expected at most {end}, the end of that epoch in this log; got {newest}"
            raise LonglinkError(errors.SINCE_AHEAD, message)


def continue_epoch(connection: apsw.Connection) -> Epochs:
    """The epoch under way goes on; one begins if there is none. Raises apsw.Error."""
    if connection.execute("SELECT 1 FROM epochs WHERE newest IS NULL").fetchall():
        return _known(connection)
    return begin_epoch(connection)


def begin_epoch(connection: apsw.Connection) -> Epochs:
    """End the epoch before, and begin one; durable when it returns. Raises apsw.Error."""
    name = secrets.token_urlsafe(_NAME_BYTES)
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(
            "UPDATE epochs SET newest = (SELECT coalesce(max(changed), 0) FROM conversations) WHERE newest IS NULL"
        )
        connection.execute("INSERT INTO epochs (name) VALUES (?)", (name,))
        connection.execute("DELETE FROM epochs WHERE number <= (SELECT max(number) FROM epochs) - ?", (KEPT,))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return _known(connection)


def _known(connection: apsw.Connection) -> Epochs:
    rows = connection.execute("SELECT name, newest FROM epochs ORDER BY number").fetchall()
    return Epochs([Epoch(str(name), _FOR_EVER if newest is None else int(str(newest))) for name, newest in rows])
