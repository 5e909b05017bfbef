"""How writes become commits: natural batches, a defect that fails alone, what is remembered, and the log's bound."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
import pytest

from longlink import errors
from longlink.config import Storage
from longlink.errors import LonglinkError
from longlink.ops import catalogue
from longlink.storage.base import Append, Appended, Mark, Marked
from longlink.storage.sqlite import SqliteStore, engine, known, open_store

from .scene import direct, refused, say, stored, texts

Story = Callable[[SqliteStore], Awaitable[None]]
BUSY_MS = 5_000
"""How long another program waits for the store's own short writes, as every program should."""


LOG = engine.DATABASE + "-wal"


def _play(folder: Path, story: Story, settings: Storage | None = None) -> None:
    asyncio.run(asyncio.wait_for(_played(folder, story, settings), 60))


async def _played(folder: Path, story: Story, settings: Storage | None = None) -> None:
    store = await open_store(folder, settings or Storage())
    try:
        await story(store)
    finally:
        await store.close()


def test_what_arrives_during_a_commit_is_one_commit(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        chat = (await direct(store)).id
        before = _count(store, "commits")
        with store.gate:
            calls = [asyncio.ensure_future(say(store, chat, str(number))) for number in range(100)]
            await _started(store, 100)
        await asyncio.gather(*calls)
        after = _count(store, "commits")
        # The first call may have been taken alone; all that came while it waited at the gate went together.
        assert after in (before + 1, before + 2)

    _play(tmp_path, story)


async def _started(store: SqliteStore, writes: int) -> None:
    """Let the tasks run until so many writes wait."""
    while _count(store, "writes_waiting") != writes:  # noqa: ASYNC110 - turns of the loop, no wait
        await asyncio.sleep(0)


def _count(store: SqliteStore, name: str) -> float:
    value = store.stats()[name]
    assert not isinstance(value, tuple)
    return value


def test_a_write_that_cannot_be_stored_fails_alone(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        chat = (await direct(store)).id
        with store.gate:
            # A lone surrogate is no text, so it has no place in the database.
            bad = [Append(chat, "alice", name, b"") for name in ("1", "\ud800", "2")]
            # Called in this order, all while the first waits at the gate.
            first = store.messages.append([Append(chat, "alice", "0", b"")])
            middle = store.messages.append(bad)
            last = store.messages.append([Append(chat, "alice", "3", b"")])
            marks = store.conversations.mark([Mark(chat, "bob", 1)])
        good, broken, more = await middle
        assert refused(broken) is errors.INTERNAL
        assert [one.seq for one in stored([*await first, good, more, *await last])] == [1, 2, 3, 4]
        assert await marks == [Marked(1, 0, True, False, ("alice", "bob"))]
        assert len(await texts(store, chat)) == 4

    _play(tmp_path, story)


def test_a_row_that_was_stolen_fails_its_own_write_only(tmp_path: Path) -> None:
    """Another program has written a message with the next seq: the guard holds, and is not taken for a resend."""

    async def story(store: SqliteStore) -> None:
        stolen = (await direct(store)).id
        other = (await direct(store, "alice", "carol")).id
        with apsw.Connection(str(tmp_path / engine.DATABASE)) as connection:
            connection.set_busy_timeout(BUSY_MS)
            connection.execute("INSERT INTO messages VALUES (1, 1, 1, 'stolen', 0, x'', 0)")
        connection.close()
        batch = [Append(stolen, "alice", "1", b"1"), Append(other, "alice", "2", b"2")]
        bad, good = await store.messages.append(batch)
        assert isinstance(bad, LonglinkError)
        assert bad.row is errors.INTERNAL
        assert isinstance(good, Appended)

    _play(tmp_path, story)


def test_what_another_program_wrote_is_met_and_read(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        await direct(store)
        with apsw.Connection(str(tmp_path / engine.DATABASE)) as connection:
            connection.set_busy_timeout(BUSY_MS)
            connection.execute("INSERT INTO users (name) VALUES ('dave')")
        connection.close()
        # The next id that is remembered as free is taken.
        await store.users.remember(["erin"])
        opened = await store.conversations.open_direct("dave", "erin")
        assert [member.user for member in opened.conversation.members] == ["dave", "erin"]

    _play(tmp_path, story)


def test_what_was_forgotten_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "CONVERSATIONS", 2)
    monkeypatch.setattr(known, "USERS", 2)

    async def story(store: SqliteStore) -> None:
        chats = [(await direct(store, "alice", f"peer-{number}")).id for number in range(6)]
        for round_ in range(3):
            results = await store.messages.append([Append(chat, "alice", str(round_), b"x") for chat in chats])
            assert [result.seq for result in results if isinstance(result, Appended)] == [round_ + 1] * 6
            peers = [Mark(chat, f"peer-{number}", round_ + 1) for number, chat in enumerate(chats)]
            marks = await store.conversations.mark(peers)
            assert all(not isinstance(mark, LonglinkError) and mark.delivered_moved for mark in marks)
        again = [
            (await store.conversations.open_direct(f"peer-{number}", "alice")).conversation.id for number in range(6)
        ]
        assert again == chats

    _play(tmp_path, story)


def test_stamps_go_on_after_a_restart_whatever_the_clock_says(tmp_path: Path) -> None:
    stamps = []

    async def story(now_ms: int) -> None:
        store = await open_store(tmp_path, Storage(), now_ms=lambda: now_ms)
        chat = (await direct(store)).id
        stamps.append((await say(store, chat, str(now_ms)))[0].stamp)
        found = await store.conversations.changed("alice", since=stamps[-1] - 1, cursor="", limit=5)
        assert [(one.head, one.changed_at, one.stamp) for one in found.conversations] == [
            (len(stamps), now_ms, stamps[-1])
        ]
        await store.close()

    for now_ms in (2_000_000_000_000, 1_000_000_000_000, 3_000_000_000_000):
        asyncio.run(story(now_ms))
    assert stamps == sorted(set(stamps))


def test_the_log_starts_again_under_constant_writing_and_reading(tmp_path: Path) -> None:
    limit = 65_536

    async def story(store: SqliteStore) -> None:
        chat = (await direct(store)).id
        log = tmp_path / LOG
        written = 0
        async with asyncio.timeout(40):
            while written < 100 * limit or _size(log) > written / 4:
                names = [f"{written}-{number}" for number in range(50)]
                append = store.messages.append([Append(chat, "alice", name, b"x" * 1_000) for name in names])
                reads = [
                    store.messages.history(chat, "bob", after=0, before=0, limit=20, page_bytes=1 << 30)
                    for _ in range(4)
                ]
                await asyncio.gather(append, *reads)
                written += 50_000
        assert store.stats()["checkpoints"]
        assert len(await texts(store, chat)) == written // 1_000

    _play(tmp_path, story, Storage(checkpoint_bytes=limit))


def test_room_is_made_in_the_log_beside_the_commits_of_this_and_another_program(tmp_path: Path) -> None:
    """As after power loss: what both have committed by then is in a copy of the two files."""
    folder, copy = tmp_path / "data", tmp_path / "copy"

    async def story(store: SqliteStore) -> None:
        chat = (await direct(store)).id
        foreign = apsw.Connection(str(folder / engine.DATABASE))
        foreign.set_busy_timeout(5_000)
        written = 0
        while _size(folder / LOG) < 4 * 2**20:
            await say(store, chat, str(written))
            foreign.execute("INSERT INTO users (name) VALUES (?)", (f"foreign-{written}",)).fetchall()
            written += 1
        copy.mkdir()
        for name in (engine.DATABASE, LOG):
            (copy / name).write_bytes((folder / name).read_bytes())
        foreign.close()

        async def after(again: SqliteStore) -> None:
            assert len(await texts(again, chat)) == written

        await _played(copy, after)
        connection = apsw.Connection(str(copy / engine.DATABASE))
        assert connection.execute("SELECT count(*) FROM users").fetchall() == [(2 + written,)]
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()

    _play(folder, story)


def _size(file: Path) -> int:
    return file.stat().st_size


def test_writes_are_refused_while_another_program_keeps_the_log_from_starting_again(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        chat = (await direct(store)).id
        foreign = apsw.Connection(str(tmp_path / engine.DATABASE))
        foreign.execute("BEGIN; SELECT count(*) FROM messages").fetchall()
        count = 0
        while (refusal := await _refusal(store, Append(chat, "alice", str(count), b"x" * 10_000))) is None:
            count += 1
        assert refusal.row is errors.STORAGE_UNAVAILABLE
        assert "another program" in refusal.message
        foreign.close(True)
        last = Append(chat, "alice", "last", b"")
        while await _refusal(store, last) is not None:  # noqa: ASYNC110 - nothing tells that the log has started again
            await asyncio.sleep(0.05)
        assert len(await texts(store, chat)) == count + 1

    _play(tmp_path, story, Storage(checkpoint_bytes=8_192))


async def _refusal(store: SqliteStore, item: Append) -> LonglinkError | None:
    try:
        await store.messages.append([item])
    except LonglinkError as refusal:
        return refusal
    return None


def test_every_number_is_described(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        assert set(store.stats()) == set(catalogue.STORE)

    _play(tmp_path, story)
