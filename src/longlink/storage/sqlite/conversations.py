"""Conversations, members and marks on SQLite: base.Conversations over the writer and the readers.

Never touches SQLite itself. Read next: plan.py for what a write does, changes.py for what a read finds.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, cast

from longlink.errors import LonglinkError
from longlink.storage.base import NOTHING, Changes, Conversation, Mark, Marked, Opened, Seen, Synced
from longlink.storage.sqlite.changes import OneQuery, list_query, sync_query
from longlink.storage.sqlite.epochs import Epochs
from longlink.storage.sqlite.reader import Readers
from longlink.storage.sqlite.requests import Answer, Marks, OpenDirect
from longlink.storage.sqlite.writer import Writer


class SqliteConversations:
    """base.Conversations."""

    def __init__(self, writer: Writer, readers: Readers, epochs: Epochs) -> None:
        self._epochs = epochs
        self._writer = writer
        self._readers = readers

    def open_direct(
        self, user: str, peer: str, *, accept: bool = True, create: bool = True
    ) -> Coroutine[Any, Any, Opened]:
        """As base.Conversations.open_direct. In the line as soon as it is called; shown as it is once it is durable."""
        return self._shown(user, self._writer.ask(OpenDirect(user, peer, accept, create)))

    async def changed(self, user: str, *, since: int, cursor: str, limit: int) -> Changes:
        """As base.Conversations.changed. Sees every write that this user called before it.

        Pages go by the stamp of the last change, which only grows: a conversation that changes between two pages comes
        again later, and none is passed over.
        """
        query = list_query(user, since, cursor, limit)
        await self._writer.settled(user)
        return cast("Changes", await self._readers.submit(query))

    async def sync(
        self, user: str, *, since: int, cursor: str, limit: int, messages: int, page_bytes: int, seen: Seen = NOTHING
    ) -> Synced:  # fmt: skip
        """As base.Conversations.sync. Sees every write that this user called before it."""
        if since:
            self._epochs.refuse_ahead(seen.epoch, max(since, seen.newest))
        agreed = None if since else self._epochs.agreed(seen.epoch)
        query = sync_query(user, since, cursor, limit, messages, page_bytes, agreed)
        await self._writer.settled(user)
        return cast("Synced", await self._readers.submit(query))

    def mark(self, batch: Sequence[Mark]) -> Coroutine[Any, Any, list[Marked | LonglinkError]]:
        """As base.Conversations.mark. In the line as soon as it is called."""
        return cast("Coroutine[Any, Any, list[Marked | LonglinkError]]", self._writer.ask(Marks(batch)))

    async def _shown(self, user: str, opening: Coroutine[Any, Any, Answer]) -> Opened:
        public_id, created = cast("tuple[str, bool]", await opening)
        return Opened(cast("Conversation", await self._readers.submit(OneQuery(user, public_id))), created)
