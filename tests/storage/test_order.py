"""The line of writes on every backend: the order of calls, its bound, cancelled callers, the end, and the clock.

Read next: test_sqlite_crash.py.
"""

from __future__ import annotations

import asyncio

import pytest

from longlink import errors
from longlink.config import Storage
from longlink.errors import LonglinkError
from longlink.storage.base import Append, Mark, Store

from .scene import Scene, direct, say, texts


def test_calls_are_applied_in_their_order_though_none_was_awaited(scene: Scene) -> None:
    async def story(store: Store) -> None:
        remembered = store.users.remember(["alice", "bob"])
        opened = store.conversations.open_direct("alice", "bob")
        chat = (await opened).conversation.id
        await remembered
        appends = [store.messages.append([Append(chat, "alice", str(number), b"")]) for number in range(50)]
        marks = store.conversations.mark([Mark(chat, "bob", 50)])
        page = await store.messages.history(chat, "bob", after=0, before=0, limit=100, page_bytes=1 << 30)
        assert [entry.client_id for entry in page.entries] == [str(number) for number in range(50)]
        shown = (await store.conversations.open_direct("bob", "alice")).conversation
        assert [member.delivered for member in shown.members] == [50, 50]
        await asyncio.gather(marks, *reversed(appends))

    scene.play(story)


def test_a_write_that_was_called_before_the_user_was_known_fails(scene: Scene) -> None:
    async def story(store: Store) -> None:
        early = store.conversations.open_direct("alice", "bob", accept=False)
        remembered = store.users.remember(["alice", "bob"])
        late = store.conversations.open_direct("alice", "bob", accept=False)
        with pytest.raises(LonglinkError):
            await early
        await remembered
        assert (await late).conversation.head == 0

    scene.play(story)


def test_a_cancelled_caller_does_not_cancel_the_write(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chat = (await direct(store)).id
        first = asyncio.ensure_future(say(store, chat, "one"))
        second = asyncio.ensure_future(say(store, chat, "two"))
        await asyncio.sleep(0)
        second.cancel()
        first.cancel()
        assert await texts(store, chat) == [b"one", b"two"]

    scene.play(story)


def test_what_does_not_fit_in_the_line_is_refused_at_once(scene: Scene) -> None:
    scene.settings = Storage(queue=4)

    async def story(store: Store) -> None:
        chat = (await direct(store)).id
        items = [Append(chat, "alice", str(number), b"x") for number in range(6)]
        first, second = store.messages.append(items[:3]), store.messages.append(items[3:5])
        third = store.messages.append(items[5:])
        with pytest.raises(LonglinkError, match="at most 4 writes") as caught:
            await second
        assert caught.value.row is errors.OVERLOADED
        assert caught.value.retry_after_ms > 0
        await asyncio.gather(first, third)
        assert len(await texts(store, chat)) == 4

    scene.play(story)


def test_the_line_is_bounded_in_bytes_too(scene: Scene) -> None:
    scene.settings = Storage(queue_bytes=1_000)

    async def story(store: Store) -> None:
        chat = (await direct(store)).id
        calls = [store.messages.append([Append(chat, "alice", name, b"x" * 600)]) for name in "ab"]
        await calls[0]
        with pytest.raises(LonglinkError, match="at most 1000 bytes") as caught:
            await calls[1]
        assert caught.value.row is errors.OVERLOADED
        assert await store.messages.append([Append(chat, "alice", "b", b"x" * 600)])

    scene.play(story)


def test_a_small_batch_size_changes_nothing_but_the_number_of_commits(scene: Scene) -> None:
    scene.settings = Storage(batch=3)

    async def story(store: Store) -> None:
        chat = (await direct(store)).id
        calls = [say(store, chat, *[f"{call}-{item}" for item in range(call % 5 + 1)]) for call in range(40)]
        seqs = [result.seq for results in await asyncio.gather(*calls) for result in results]
        assert seqs == list(range(1, 121))

    scene.play(story)


def test_closing_finishes_what_waits(scene: Scene) -> None:
    chats: list[str] = []

    async def story(store: Store) -> None:
        chats.append((await direct(store)).id)
        calls = [say(store, chats[0], str(number)) for number in range(100)]
        waiting = asyncio.gather(*calls)
        await asyncio.sleep(0)
        await asyncio.gather(store.close(), store.close())
        assert len(await waiting) == 100
        with pytest.raises(LonglinkError, match="closed"):
            await store.messages.append([])
        with pytest.raises(LonglinkError, match="closed"):
            await store.messages.history(chats[0], "alice", after=0, before=0, limit=1, page_bytes=1 << 30)

    async def after(store: Store) -> None:
        assert len(await texts(store, chats[0])) == 100

    scene.play(story)
    scene.play(after)


def test_a_check_is_a_write_that_works(scene: Scene) -> None:
    async def story(store: Store) -> None:
        await asyncio.gather(*[store.check() for _ in range(10)])

    scene.play(story)


def test_times_follow_the_clock_and_the_order_does_not(scene: Scene) -> None:
    """A clock that was ten years ahead for one message leaves no trace in the others, after a restart neither."""
    stamps: list[int] = []

    async def story(store: Store) -> None:
        chat = (await direct(store)).id
        for step_ms in (0, 10 * 365 * 86_400_000, -10 * 365 * 86_400_000, -60_000, 7):
            scene.now_ms += step_ms
            (said,) = await say(store, chat, f"{len(stamps)}")
            assert said.sent_at == scene.now_ms
            assert (await store.conversations.open_direct("alice", "bob")).conversation.changed_at == scene.now_ms
            stamps.append(said.stamp)

    scene.play(story)
    scene.now_ms -= 3_600_000
    scene.play(story)
    assert stamps == sorted(set(stamps))
