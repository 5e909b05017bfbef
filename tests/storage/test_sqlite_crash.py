"""kill -9 at any moment: what was acknowledged is there once, in order, without gaps. Read next: writing_child.py."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import apsw
import pytest

from longlink.config import Storage
from longlink.storage.base import Append, Appended
from longlink.storage.sqlite import engine, open_store

CHILD = Path(__file__).with_name("writing_child.py")
NOOP = -1  # SQLITE_CHECKPOINT_NOOP: tells the sizes only
KILLS = 12
Acks = dict[tuple[str, str], tuple[int, int]]


def _run_and_kill(folder: Path, round_: int, after_lines: int) -> list[tuple[str, str, int, int]]:
    """Run the child until it has told of so many acknowledgements; the kill then falls at any point of a commit."""
    command = [sys.executable, str(CHILD), str(folder), str(round_)]
    acks = []
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        deadline = threading.Timer(30, child.kill)
        deadline.start()
        for line in child.stdout:
            if not line.endswith(b"\n"):
                break
            conversation, client_id, seq, sent_at = json.loads(line)
            acks.append((conversation, client_id, seq, sent_at))
            if len(acks) == after_lines:
                os.kill(child.pid, signal.SIGKILL)
        deadline.cancel()
    assert child.returncode == -signal.SIGKILL
    assert len(acks) >= after_lines
    return acks


def test_nothing_acknowledged_is_lost_doubled_or_moved_by_kill_9(tmp_path: Path) -> None:
    moments = random.Random(20261120)
    acked: Acks = {}
    for round_ in range(KILLS):
        for conversation, client_id, seq, sent_at in _run_and_kill(tmp_path, round_, moments.randrange(1, 600)):
            # The children resend what an earlier one had sent: the first answer holds for ever.
            assert acked.setdefault((conversation, client_id), (seq, sent_at)) == (seq, sent_at)
    asyncio.run(_verify(tmp_path, acked))
    connection = apsw.Connection(str(tmp_path / engine.DATABASE))
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


async def _verify(folder: Path, acked: Acks) -> None:
    store = await open_store(folder, Storage())
    for conversation in {key[0] for key in acked}:
        page = await store.messages.history(
            conversation, "alice", after=0, before=0, limit=1_000_000, page_bytes=1 << 30
        )
        assert [entry.seq for entry in page.entries] == list(range(1, page.head + 1))
        times = [entry.sent_at for entry in page.entries]
        assert times == sorted(times)
        stored = {entry.client_id: (entry.seq, entry.sent_at) for entry in page.entries}
        assert len(stored) == len(page.entries)
        wanted = {client_id: place for (where, client_id), place in acked.items() if where == conversation}
        assert wanted.items() <= stored.items()
        results = await store.messages.append([Append(conversation, "alice", name, name.encode()) for name in wanted])
        assert all(isinstance(result, Appended) and result.duplicate for result in results)
    await store.close()


def _used_bytes(file: Path) -> int:
    """Where the newest commit ends in the log: behind a header of 32 bytes, and 24 more than a page for each page."""
    connection = apsw.Connection(str(file))
    connection.execute("PRAGMA schema_version").fetchall()
    pages, _ = connection.wal_checkpoint(mode=NOOP)
    connection.close()
    return 32 + pages * (engine.PAGE_BYTES + 24)


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("cut", [1, 24, 4096])
def test_a_log_that_ends_in_the_middle_loses_only_what_was_under_way(tmp_path: Path, cut: int, zeros: bool) -> None:
    """As after power loss: the last frames of the log are not whole. zeros: they lie in room that was made ready."""

    async def whole() -> None:
        store = await open_store(tmp_path / "data", Storage())
        await store.users.remember(["alice"])
        chat = (await store.conversations.open_direct("alice", "alice")).conversation.id
        for number in range(20):
            await store.messages.append([Append(chat, "alice", str(number), b"x" * 100)])
        copy = tmp_path / "copy"
        copy.mkdir()
        for name in (engine.DATABASE, engine.DATABASE + "-wal"):
            (copy / name).write_bytes((tmp_path / "data" / name).read_bytes())
        used = _used_bytes(tmp_path / "data" / engine.DATABASE)
        await store.close()
        wal = copy / (engine.DATABASE + "-wal")
        os.truncate(wal, used - cut)
        if zeros:
            os.truncate(wal, used + 2**20)
        again = await open_store(copy, Storage())
        page = await again.messages.history(chat, "alice", after=0, before=0, limit=100, page_bytes=1 << 30)
        assert [entry.seq for entry in page.entries] == list(range(1, page.head + 1))
        assert page.head == 19
        await again.close()

    asyncio.run(whole())
