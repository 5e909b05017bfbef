"""The message log on SQLite: base.Messages over the writer and the readers.

Never touches SQLite itself. Read next: committer.py for what an append does, history.py for what a page is.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, cast

from longlink.errors import LonglinkError
from longlink.storage.base import Append, Appended, Page
from longlink.storage.sqlite.history import history_query
from longlink.storage.sqlite.reader import Readers
from longlink.storage.sqlite.requests import Appends
from longlink.storage.sqlite.writer import Writer


class SqliteMessages:
    """base.Messages."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    def append(self, batch: Sequence[Append]) -> Coroutine[Any, Any, list[Appended | LonglinkError]]:
        """As base.Messages.append. In the line as soon as it is called."""
        return cast("Coroutine[Any, Any, list[Appended | LonglinkError]]", self._writer.ask(Appends(batch)))

    async def history(
        self, conversation: str, user: str, *, after: int, before: int, limit: int, page_bytes: int
    ) -> Page:
        """As base.Messages.history. Sees every write that this user called before it."""
        await self._writer.settled(user)
        query = history_query(conversation, user, after, before, limit, page_bytes)
        return cast("Page", await self._readers.submit(query))
