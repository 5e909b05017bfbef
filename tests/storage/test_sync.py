"""base.Conversations.sync on every backend: newest first, bounded, and nothing is ever missed.

Read next: ../properties/test_storage_model.py, a client that syncs while everything changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import pytest

from longlink import errors
from longlink.errors import LonglinkError
from longlink.storage.base import Append, Change, Changes, Mark, Store, Synced
from longlink.storage.sqlite import plan

from .scene import NOON_MS, Scene, direct, say

ROOM = 48 * 1024


async def _sync(
    store: Store, since: int = 0, cursor: str = "", *, user: str = "alice", limit: int = 50, messages: int = 20,
    page_bytes: int = ROOM,
) -> Synced:  # fmt: skip
    return await store.conversations.sync(
        user, since=since, cursor=cursor, limit=limit, messages=messages, page_bytes=page_bytes
    )


def _seqs(change: Change) -> list[int]:
    return [entry.seq for entry in change.entries]


async def _chats(store: Store, number: int) -> list[str]:
    return [(await direct(store, "alice", f"peer-{peer}")).id for peer in range(number)]


def test_a_new_device_gets_the_newest_conversations_and_messages_first(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chats = await _chats(store, 3)
        for number, chat in enumerate((chats[1], chats[0], chats[2], chats[0])):
            scene.now_ms += 1_000
            await say(store, chat, f"{number}-a", f"{number}-b")
        page = await _sync(store, messages=3)
        assert [change.conversation.id for change in page.changes] == [chats[0], chats[2], chats[1]]
        assert [_seqs(change) for change in page.changes] == [[2, 3, 4], [1, 2], [1, 2]]
        assert [change.more for change in page.changes] == [True, False, False]
        assert [entry.content for entry in page.changes[0].entries] == [b"1-b", b"3-a", b"3-b"]
        assert [change.conversation.head for change in page.changes] == [4, 2, 2]
        assert (page.next, page.synced_at) == ("", page.changes[0].conversation.stamp)
        assert (await _sync(store, user="nobody")).changes == ()

    scene.play(story)


def test_only_what_happened_since_is_carried(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chats = await _chats(store, 4)
        for chat in chats:
            await say(store, chat, "before")
        scene.now_ms += 1_000
        since = (await _sync(store)).synced_at
        await say(store, chats[0], "after", "after that")
        await store.conversations.mark([Mark(chats[1], "peer-1", 1)])
        await direct(store, "alice", "carol")
        found = (await _sync(store, since)).changes
        assert [(change.conversation.head, _seqs(change), change.more) for change in found] == [
            (0, [], False),
            (1, [], False),
            (3, [2, 3], False),
        ]

    scene.play(story)


def test_what_is_committed_after_a_sync_is_in_the_next_one_whatever_the_clock_does(scene: Scene) -> None:
    async def story(store: Store) -> None:
        (chat,) = await _chats(store, 1)
        for step in (0, -3_600_000, 1, 0, 5_000):
            synced_at = (await _sync(store)).synced_at
            scene.now_ms += step
            (said,) = await say(store, chat, f"{step} {scene.now_ms} {synced_at}")
            (change,) = (await _sync(store, synced_at)).changes
            assert change.entries[-1].seq == said.seq
            assert said.stamp > synced_at

    scene.play(story)
    scene.now_ms -= 3_600_000
    scene.play(_nothing_is_left)


async def _nothing_is_left(store: Store) -> None:
    synced_at = (await _sync(store)).synced_at
    again = await _sync(store, synced_at)
    assert (again.changes, again.synced_at) == ((), synced_at)


def test_a_client_that_has_everything_gets_nothing_again_after_the_clock_was_wrong(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chats = await _chats(store, 30)
        for number, step_ms in enumerate((0, 10 * 365 * 86_400_000, -10 * 365 * 86_400_000, 1, -2)):
            scene.now_ms += step_ms
            for chat in chats:
                await say(store, chat, str(number))
            await _nothing_is_left(store)

    scene.play(story)
    scene.play(_nothing_is_left)


@pytest.mark.parametrize("beyond", [1, NOON_MS, 2**53 - 1, 2**62])
@pytest.mark.parametrize("some", [True, False])
def test_a_stamp_that_the_store_has_not_reached_is_ahead(scene: Scene, beyond: int, *, some: bool) -> None:
    async def story(store: Store) -> None:
        if some:
            await direct(store)
        newest = (await _sync(store)).synced_at
        with pytest.raises(LonglinkError, match="at most") as caught:
            await _sync(store, newest + beyond)
        assert caught.value.row is errors.SINCE_AHEAD
        assert (await _sync(store, newest)).next == ""

    scene.play(story)


def test_pages_cut_through_the_conversations_of_one_commit(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chats = await _chats(store, 10)
        await store.messages.append([Append(chat, "alice", "1", b"") for chat in chats])
        shown, cursor = [], ""
        for _ in chats:
            page = await _sync(store, cursor=cursor, limit=3)
            shown += [change.conversation.id for change in page.changes]
            cursor = page.next
            if not cursor:
                break
        assert sorted(shown) == sorted(chats)

    scene.play(story)


def test_a_conversation_that_overtakes_the_pages_comes_at_their_end(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chats = await _chats(store, 6)
        for chat in chats:
            await say(store, chat, "1")
        first = await _sync(store, limit=2)
        assert [change.conversation.id for change in first.changes] == [chats[5], chats[4]]
        # A mark only: no client hears of a message by it.
        await store.conversations.mark([Mark(chats[0], "peer-0", 1)])
        await say(store, chats[5], "2")
        second = await _sync(store, cursor=first.next, limit=2)
        assert [change.conversation.id for change in second.changes] == [chats[3], chats[2]]
        third = await _sync(store, cursor=second.next, limit=2)
        assert [change.conversation.id for change in third.changes] == [chats[1]]
        await say(store, chats[1], "2")
        fourth = await _sync(store, cursor=third.next, limit=2)
        fifth = await _sync(store, cursor=fourth.next, limit=2)
        late = {change.conversation.id: _seqs(change) for change in (*fourth.changes, *fifth.changes)}
        assert late == {chats[0]: [1], chats[5]: [1, 2], chats[1]: [1, 2]}
        assert (len(fourth.changes), fifth.next) == (2, "")
        assert {page.synced_at for page in (first, second, third, fourth, fifth)} == {
            first.changes[0].conversation.stamp
        }

    scene.play(story)


def test_a_pass_ends_and_shows_everything_though_all_conversations_change_between_its_pages(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chats = await _chats(store, 12)
        for chat in chats:
            await say(store, chat, "1")
        synced, listed = Counter[str](), Counter[str]()
        page = await _sync(store, limit=3)
        list_ = await store.conversations.changed("alice", since=0, cursor="", limit=3)
        for number in range(2, 20):
            synced.update(change.conversation.id for change in page.changes)
            listed.update(one.id for one in list_.conversations)
            for chat in reversed(chats):
                await say(store, chat, str(number))
            if not page.next and not list_.next:
                break
            page = await _sync(store, cursor=page.next, limit=3) if page.next else _END
            if list_.next:
                list_ = await store.conversations.changed("alice", since=0, cursor=list_.next, limit=3)
            else:
                list_ = Changes((), "", 0)
        assert synced.keys() == listed.keys() == set(chats)
        assert max(*synced.values(), *listed.values()) <= 2

    scene.play(story)


_END = Synced((), "", 0)


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_pages_go_by_the_newest_change_however_far_their_index_lags_behind(
    scene: Scene, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "LAG", 7)

    async def story(store: Store) -> None:
        chats = await _chats(store, 10)
        # Some change at each commit, some every third, some once.
        for number in range(30):
            for place, chat in enumerate(chats):
                if number % (1 + place * place // 3) == 0:
                    await say(store, chat, str(number))
        whole = await store.conversations.changed("alice", since=0, cursor="", limit=20)
        seen = {one.id: one.stamp for one in whole.conversations}
        since = sorted(seen.values())[3]
        newest = sorted((one for one in chats if seen[one] > since), key=lambda one: -seen[one])
        down = [one async for one in _all_synced(store, since, limit)]
        assert down == newest
        cursor, up = "", list[str]()
        while True:
            page = await store.conversations.changed("alice", since=since, cursor=cursor, limit=limit)
            up += [one.id for one in page.conversations]
            cursor = page.next
            if not cursor:
                break
        assert up == newest[::-1]

    scene.play(story)


async def _all_synced(store: Store, since: int, limit: int) -> AsyncIterator[str]:
    cursor = ""
    while True:
        page = await _sync(store, since, cursor, limit=limit)
        for change in page.changes:
            yield change.conversation.id
        cursor = page.next
        if not cursor:
            return


def test_every_conversation_has_its_newest_message_before_any_has_more(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chats = await _chats(store, 10)
        for chat in chats:
            await store.messages.append([Append(chat, "alice", str(number), b"x" * 300) for number in range(20)])
        page = await _sync(store, page_bytes=8_192)
        numbers = [len(change.entries) for change in page.changes]
        assert len(numbers) == 10
        assert all(change.more for change in page.changes)
        assert max(numbers) - min(numbers) <= 1
        assert numbers == sorted(numbers, reverse=True)
        assert min(numbers) >= 1
        assert all(_seqs(change) == list(range(21 - len(change.entries), 21)) for change in page.changes)

    scene.play(story)


def test_a_large_message_is_left_out_and_takes_no_room_of_others(scene: Scene) -> None:
    async def story(store: Store) -> None:
        small, large = await _chats(store, 2)
        await say(store, small, "1")
        sizes = [10, 10, 60_000, 10]
        items = [Append(large, "alice", str(number), b"x" * size) for number, size in enumerate(sizes)]
        await store.messages.append(items)
        page = await _sync(store)
        assert [(_seqs(change), change.more) for change in page.changes] == [([4], True), ([1], False)]
        await store.messages.append([Append(large, "alice", "last", b"x" * 60_000)])
        page = await _sync(store)
        assert [(_seqs(change), change.more) for change in page.changes] == [([], True), ([1], False)]

    scene.play(story)


def test_a_page_without_room_still_shows_one_conversation(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chats = await _chats(store, 3)
        await store.messages.append([Append(chat, "alice", "1", b"x" * 100) for chat in chats])
        shown, cursor = [], ""
        for _ in chats:
            page = await _sync(store, cursor=cursor, page_bytes=1)
            (change,) = page.changes
            assert (change.entries, change.more) == ((), True)
            shown.append(change.conversation.id)
            cursor = page.next
        assert cursor == ""
        assert sorted(shown) == sorted(chats)

    scene.play(story)


def test_a_cursor_is_good_for_its_user_and_its_request_only(scene: Scene) -> None:
    async def story(store: Store) -> None:
        await _chats(store, 2)
        await direct(store, "bob", "alice")
        cursor = (await _sync(store, limit=1)).next
        listed = (await store.conversations.changed("alice", since=0, cursor="", limit=1)).next
        assert cursor
        assert listed
        for user, bad in (("bob", cursor), ("alice", listed), ("alice", cursor + "0"), ("alice", "٣" * 9), ("a", "x")):
            with pytest.raises(LonglinkError) as caught:
                await _sync(store, user=user, cursor=bad)
            assert caught.value.row is errors.FIELD_INVALID
        for user, bad in (("bob", listed), ("alice", cursor)):
            with pytest.raises(LonglinkError) as caught:
                await store.conversations.changed(user, since=0, cursor=bad, limit=1)
            assert caught.value.row is errors.FIELD_INVALID
        assert (await _sync(store, cursor=cursor)).changes

    scene.play(story)
