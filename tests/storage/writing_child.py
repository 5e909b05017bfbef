"""The process that test_sqlite_crash.py kills: several tasks append, and each acknowledgement goes to stdout at once.

Each run first resends the last messages of the run before, then goes on with new ones, until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from longlink.config import Storage
from longlink.storage.base import Append, Appended, Mark
from longlink.storage.sqlite import SqliteStore, open_store

TASKS = 6


async def _write(store: SqliteStore, conversation: str, task: int, round_: int) -> None:
    names = [f"{old}-{task}-{number}" for old in range(round_) for number in range(20)]
    number = 0
    while True:
        names += [f"{round_}-{task}-{number + offset}" for offset in range(task + 1)]
        number += task + 1
        batch = [Append(conversation, "alice", name, name.encode()) for name in names]
        for name, result in zip(names, await store.messages.append(batch), strict=True):
            assert isinstance(result, Appended), result
            os.write(1, json.dumps([conversation, name, result.seq, result.sent_at]).encode() + b"\n")
        head = max(result.seq for result in await store.messages.append(batch) if isinstance(result, Appended))
        await store.conversations.mark([Mark(conversation, "alice", head)])
        names = []


async def _main(folder: Path, round_: int) -> None:
    # Small, so that checkpoints and restarts of the log happen between the kills too.
    store = await open_store(folder, Storage(checkpoint_bytes=65_536))
    peers = ["bob", "carol", "dave"]
    await store.users.remember(["alice", *peers])
    chats = [(await store.conversations.open_direct("alice", peer)).conversation.id for peer in peers]
    await asyncio.gather(*[_write(store, chats[task % len(chats)], task, round_) for task in range(TASKS)])


asyncio.run(_main(Path(sys.argv[1]), int(sys.argv[2])))
