"""Run by test_sqlite_disk.py: lets the log reach a limit of file size, and looks at what the store says and does."""

from __future__ import annotations

import asyncio
import resource
import sys
from pathlib import Path

from longlink import errors
from longlink.config import Storage
from longlink.errors import LonglinkError
from longlink.storage.base import Append, Appended, Mark, Opened
from longlink.storage.sqlite import SqliteStore, open_store


async def _append(store: SqliteStore, chat: str, names: list[str]) -> list[Appended | LonglinkError]:
    return await store.messages.append([Append(chat, "alice", name, name.encode() * 100) for name in names])


async def _main(folder: Path) -> None:
    store = await open_store(folder, Storage())
    await store.users.remember(["alice", "bob"])
    chat = (await store.conversations.open_direct("alice", "bob")).conversation.id
    acked = await _until_full(store, chat)
    await _all_writes_fail(store, chat)
    page = await store.messages.history(chat, "bob", after=0, before=0, limit=100_000, page_bytes=1 << 30)
    assert [entry.client_id for entry in page.entries] == acked, "reads go on, and hold exactly what was acknowledged"
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.check()
    again = await _append(store, chat, ["refused", acked[0]])
    assert [(one.seq, one.duplicate) for one in again if isinstance(one, Appended)] == [
        (len(acked) + 1, False),
        (1, True),
    ]
    await store.conversations.mark([Mark(chat, "bob", len(acked) + 1)])
    assert (await store.conversations.open_direct("bob", "alice")).conversation.members[1].delivered == len(acked) + 1
    await store.close()


async def _until_full(store: SqliteStore, chat: str) -> list[str]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    acked: list[str] = []
    for number in range(1_000):
        names = [f"{number}-{item}" for item in range(10)]
        results, failure = await _outcome(store, chat, names)
        if failure is not None:
            assert failure.row is errors.STORAGE_UNAVAILABLE, failure
            assert "File too large" in failure.message, failure
            return acked
        assert all(isinstance(result, Appended) for result in results)
        acked += names
    raise AssertionError("the limit was never met")


async def _outcome(
    store: SqliteStore, chat: str, names: list[str]
) -> tuple[list[Appended | LonglinkError], LonglinkError | None]:
    try:
        return await _append(store, chat, names), None
    except LonglinkError as failure:
        return [], failure


async def _all_writes_fail(store: SqliteStore, chat: str) -> None:
    full = ["refused", *[f"refused-{number}" for number in range(100)]]
    calls = [_append(store, chat, full), store.check(), store.conversations.open_direct("alice", "alice")]
    *large, small = await asyncio.gather(*calls, return_exceptions=True)
    for outcome in large:
        assert isinstance(outcome, LonglinkError), outcome
        assert outcome.row is errors.STORAGE_UNAVAILABLE, outcome
    # In a commit of its own it may find room behind the last one that fitted.
    assert isinstance(small, Opened) or (isinstance(small, LonglinkError) and small.row is errors.STORAGE_UNAVAILABLE)


asyncio.run(_main(Path(sys.argv[1])))
