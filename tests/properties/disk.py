"""The shelf of a world that is the real store: every death of the server closes it and opens it again from the disk.

Read next: world.py.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from longlink.config import Storage
from longlink.storage.base import Append, Conversation, Mark
from longlink.storage.sqlite import SqliteStore, open_store
from longlink.testing import Entry

from .world import PAGE

Result = TypeVar("Result")
ALL: Final = 10_000


class Disk:
    """members: by conversation, as World wants it. Close it at the end."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="longlink-world-"))
        self._loop = asyncio.new_event_loop()
        self._now_ms = 1_790_000_000_000
        self._store = self._run(self._opened())
        self._run(self._store.users.remember(sorted({user for pair in pairs for user in pair})))
        self._pairs = {self._run(self._store.conversations.open_direct(*pair)).conversation.id: pair for pair in pairs}
        self.members = {name: tuple(sorted(set(pair))) for name, pair in self._pairs.items()}

    def append(self, conversation: str, sender: str, client_id: str, text: str) -> tuple[int, bool]:
        self._now_ms += 1
        (stored,) = self._run(self._store.messages.append([Append(conversation, sender, client_id, text.encode())]))
        if isinstance(stored, Exception):
            raise stored
        return stored.seq, stored.duplicate

    def mark(self, conversation: str, user: str, seq: int) -> int:
        self._now_ms += 1
        (marked,) = self._run(self._store.conversations.mark([Mark(conversation, user, seq)]))
        if isinstance(marked, Exception):
            raise marked
        return marked.delivered

    def log(self, conversation: str) -> list[Entry]:
        user = self.members[conversation][0]
        read = self._store.messages.history(conversation, user, after=0, before=0, limit=ALL, page_bytes=1 << 30)
        return [Entry(each.seq, each.sender, each.client_id, each.content.decode()) for each in self._run(read).entries]

    def marks(self, conversation: str) -> dict[str, int]:
        stands: Conversation = self._run(self._store.conversations.open_direct(*self._pairs[conversation])).conversation
        return {member.user: member.delivered for member in stands.members}

    def changed(self, user: str, since: int, cursor: str) -> tuple[list[str], str, int]:
        page = self._run(self._store.conversations.changed(user, since=since, cursor=cursor, limit=PAGE))
        return [each.id for each in page.conversations], page.next, page.synced_at

    def reopen(self) -> None:
        self._run(self._store.close())
        self._store = self._run(self._opened())

    def close(self) -> None:
        self._run(self._store.close())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
        shutil.rmtree(self._folder)

    async def _opened(self) -> SqliteStore:
        return await open_store(self._folder, Storage(readers=1, batch=3, mark_delay_ms=1), now_ms=lambda: self._now_ms)

    def _run(self, call: Coroutine[Any, Any, Result]) -> Result:
        return self._loop.run_until_complete(asyncio.wait_for(call, 30))
