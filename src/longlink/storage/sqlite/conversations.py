"""Conversations, members and marks on SQLite: base.Conversations over the writer and the readers.

Never touches SQLite itself. Read next: plan.py for what a write does, queries.py for what `changed` reads.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, cast

from longlink.errors import LonglinkError
from longlink.storage.base import Changes, Conversation, Mark, Marked
from longlink.storage.sqlite.queries import parse_cursor
from longlink.storage.sqlite.reader import Readers
from longlink.storage.sqlite.requests import Marks, OpenDirect
from longlink.storage.sqlite.writer import Writer


class SqliteConversations:
    """base.Conversations."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    def open_direct(self, user: str, peer: str) -> Coroutine[Any, Any, Conversation]:
        """As base.Conversations.open_direct. In the line as soon as it is called."""
        return cast("Coroutine[Any, Any, Conversation]", self._writer.ask(OpenDirect(user, peer)))

    async def changed(self, user: str, *, since: int, cursor: str, limit: int) -> Changes:
        """As base.Conversations.changed: a mark that moved is a change too. Sees every write that was called before it.

        Pages go by the stamp of the last change, which only grows: a conversation that changes between two pages comes
        again later, and none is passed over.
        """
        query = parse_cursor(user, since, cursor, limit)
        await self._writer.settled()
        return cast("Changes", await self._readers.submit(query))

    def mark_delivered(self, batch: Sequence[Mark]) -> Coroutine[Any, Any, list[Marked | LonglinkError]]:
        """As base.Conversations.mark_delivered. In the line as soon as it is called."""
        return cast("Coroutine[Any, Any, list[Marked | LonglinkError]]", self._writer.ask(Marks(batch)))
