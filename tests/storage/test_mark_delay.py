"""Marks share a commit: they leave with the next one, at the latest 20 ms after the first, and reads see them at once.

The clock of the event loop is the test's, so nothing here depends on how long anything takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from longlink.config import Storage
from longlink.storage.base import Append, Mark, Marked
from longlink.storage.sqlite import SqliteStore, open_store

from .scene import direct, say

Story = Callable[[SqliteStore, "Clock"], Awaitable[None]]


class Clock:
    """Time of the running event loop, which stands still."""

    def __init__(self) -> None:
        self._now_s = asyncio.get_running_loop().time()
        asyncio.get_running_loop().time = lambda: self._now_s  # type: ignore[method-assign]

    async def passes(self, ms: float) -> None:
        """Let this time pass, and everything happen that is due by then."""
        self._now_s += ms / 1000
        for _ in range(5):
            await asyncio.sleep(0)


def _play(folder: Path, story: Story, settings: Storage | None = None) -> None:
    async def whole() -> None:
        store = await open_store(folder, settings or Storage())
        try:
            await story(store, Clock())
        finally:
            await store.close()

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(whole())


def _commits(store: SqliteStore) -> float:
    value = store.stats()["commits"]
    assert not isinstance(value, tuple)
    return value


def _mark(store: SqliteStore, chat: str, seq: int, user: str = "bob") -> asyncio.Task[list[object]]:
    return asyncio.ensure_future(store.conversations.mark([Mark(chat, user, seq)]))  # type: ignore[arg-type]


def test_a_mark_waits_for_the_message_behind_it(tmp_path: Path) -> None:
    async def story(store: SqliteStore, clock: Clock) -> None:
        chat = (await direct(store)).id
        await say(store, chat, "one")
        before = _commits(store)
        mark = _mark(store, chat, 1)
        await clock.passes(19)
        assert not mark.done()
        assert _commits(store) == before
        await say(store, chat, "two")
        assert await mark == [Marked(1, 0, True, False, ("alice", "bob"))]
        assert _commits(store) == before + 1

    _play(tmp_path, story)


def test_marks_leave_alone_when_the_first_has_waited_long_enough(tmp_path: Path) -> None:
    async def story(store: SqliteStore, clock: Clock) -> None:
        chat = (await direct(store)).id
        await say(store, chat, "one", "two")
        before = _commits(store)
        first = _mark(store, chat, 1)
        await clock.passes(15)
        second = _mark(store, chat, 2)
        await clock.passes(4)
        assert not first.done()
        await clock.passes(1.1)
        await asyncio.gather(first, second)
        assert _commits(store) == before + 1

    _play(tmp_path, story)


def test_the_time_counts_from_the_first_mark_that_still_waits(tmp_path: Path) -> None:
    async def story(store: SqliteStore, clock: Clock) -> None:
        chat = (await direct(store)).id
        await say(store, chat, "one", "two")
        first = _mark(store, chat, 1)
        await clock.passes(10)
        await say(store, chat, "three")
        await first
        second = _mark(store, chat, 2)
        # The timer of the first mark: the second has waited 15 ms only.
        await clock.passes(15)
        before = _commits(store)
        assert not second.done()
        await clock.passes(5.1)
        await second
        assert _commits(store) == before + 1

    _play(tmp_path, story)


def test_a_read_of_their_user_sees_marks_that_wait_and_does_not_wait_for_their_time(tmp_path: Path) -> None:
    async def story(store: SqliteStore, clock: Clock) -> None:
        chat = (await direct(store)).id
        await say(store, chat, "one")
        mark = _mark(store, chat, 1)
        await clock.passes(1)
        listed = await store.conversations.changed("bob", since=0, cursor="", limit=1)
        assert [member.delivered for member in listed.conversations[0].members] == [1, 1]
        await mark

    _play(tmp_path, story)


def test_a_check_and_the_end_take_marks_along(tmp_path: Path) -> None:
    async def story(store: SqliteStore, clock: Clock) -> None:
        chat = (await direct(store)).id
        await say(store, chat, "one", "two")
        mark = _mark(store, chat, 1)
        await clock.passes(1)
        await store.check()
        await mark
        mark = _mark(store, chat, 2)
        await clock.passes(1)
        await store.close()
        assert await mark == [Marked(2, 0, True, False, ("alice", "bob"))]

    _play(tmp_path, story)


def test_a_whole_batch_of_marks_does_not_wait(tmp_path: Path) -> None:
    async def story(store: SqliteStore, clock: Clock) -> None:
        chat = (await direct(store)).id
        await say(store, chat, *[str(number) for number in range(4)])
        await asyncio.gather(*[_mark(store, chat, seq) for seq in range(1, 5)])

    _play(tmp_path, story, Storage(batch=4))


def test_marks_do_not_wait_where_the_delay_is_0(tmp_path: Path) -> None:
    async def story(store: SqliteStore, clock: Clock) -> None:
        chat = (await direct(store)).id
        await say(store, chat, "one")
        await _mark(store, chat, 1)

    _play(tmp_path, story, Storage(mark_delay_ms=0))


def test_a_message_never_waits_for_a_mark(tmp_path: Path) -> None:
    async def story(store: SqliteStore, clock: Clock) -> None:
        chat = (await direct(store)).id
        await store.messages.append([Append(chat, "alice", "one", b"")])

    _play(tmp_path, story, Storage(mark_delay_ms=3_600_000))
