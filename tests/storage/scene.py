"""A store on a clean place with a clock that stands still until it is told: what every test of storage plays on.

Knows backends only by their opener, so that one suite holds for all of them. Read next: conftest.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from longlink.config import Storage
from longlink.errors import LonglinkError, Row
from longlink.storage.base import Append, Appended, Conversation, Marked, Store

NOON_MS = 1_790_000_000_000


class Opener(Protocol):
    """How a backend is opened at a place."""

    async def __call__(self, place: Path, settings: Storage, /, *, now_ms: Callable[[], int]) -> Store: ...


@dataclass
class Scene:
    """One place, one clock; open it as often as needed."""

    opener: Opener
    place: Path
    settings: Storage = field(default_factory=Storage)
    now_ms: int = NOON_MS

    async def open(self) -> Store:
        return await self.opener(self.place, self.settings, now_ms=lambda: self.now_ms)

    def play(self, story: Callable[[Store], Awaitable[None]]) -> None:
        """Open the store, run the story, close the store. A second call finds what the first has left."""

        async def whole() -> None:
            store = await self.open()
            try:
                await story(store)
            finally:
                await store.close()

        asyncio.run(asyncio.wait_for(whole(), 60))


async def direct(store: Store, user: str = "alice", peer: str = "bob") -> Conversation:
    """The direct conversation of two users, who exist from now on."""
    await store.users.remember([user, peer])
    return (await store.conversations.open_direct(user, peer)).conversation


async def say(store: Store, conversation: str, *client_ids: str, sender: str = "alice") -> list[Appended]:
    """Append one message per client_id, in one call; the content is the client_id."""
    return stored(
        await store.messages.append([Append(conversation, sender, name, name.encode()) for name in client_ids])
    )


def stored(results: Sequence[Appended | LonglinkError]) -> list[Appended]:
    """All of them, which must have been stored."""
    good = [result for result in results if isinstance(result, Appended)]
    assert len(good) == len(results), results
    return good


def refused(result: Appended | Marked | LonglinkError) -> Row:
    """The row of the table that a single result was refused with."""
    assert isinstance(result, LonglinkError), result
    return result.row


async def texts(store: Store, conversation: str, user: str = "alice") -> list[bytes]:
    """The contents of the whole log, which must have no gap."""
    page = await store.messages.history(conversation, user, after=0, before=0, limit=10_000, page_bytes=1 << 30)
    assert [entry.seq for entry in page.entries] == list(range(1, page.head + 1))
    return [entry.content for entry in page.entries]
