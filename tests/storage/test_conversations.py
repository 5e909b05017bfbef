"""base.Conversations and base.Users on every backend: opened once, changes that are never missed.

Read next: test_marks.py, test_sync.py.
"""

from __future__ import annotations

import asyncio
import re

import pytest

from longlink import errors
from longlink.errors import LonglinkError
from longlink.storage.base import Append, Changes, Mark, Member, Opened, Store

from .scene import NOON_MS, Scene, direct, say


def test_two_users_have_one_direct_conversation_whoever_opens_it(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chat = await direct(store)
        assert (chat.kind, chat.head, chat.changed_at) == (1, 0, NOON_MS)
        assert chat.members == (Member("alice", 0, 0), Member("bob", 0, 0))
        assert await store.conversations.open_direct("bob", "alice") == Opened(chat, created=False)
        assert re.fullmatch(r"d_[a-z2-7]{20}", chat.id)

    scene.play(story)


def test_opening_at_the_same_time_gives_one_conversation(scene: Scene) -> None:
    async def story(store: Store) -> None:
        await store.users.remember(["alice", "bob"])
        pairs = [("alice", "bob"), ("bob", "alice")] * 10
        opened = await asyncio.gather(*[store.conversations.open_direct(*pair) for pair in pairs])
        assert len({each.conversation.id for each in opened}) == 1
        assert [each.created for each in opened] == [True] + [False] * 19

    scene.play(story)


def test_opening_again_shows_the_conversation_as_it_is_now(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chat = await direct(store)
        scene.now_ms += 1_000
        said = store.messages.append([Append(chat.id, "alice", "one", b"1")])
        marked = store.conversations.mark([Mark(chat.id, "bob", 1)])
        opened = store.conversations.open_direct("bob", "alice")
        await asyncio.gather(said, marked)
        for now in ((await opened).conversation, await direct(store, "bob", "alice")):
            assert (now.head, now.members) == (1, (Member("alice", 1, 1), Member("bob", 1, 0)))
            assert now.changed_at == NOON_MS + 1_000

    scene.play(story)
    scene.play(lambda store: _still_marked(store))


async def _still_marked(store: Store) -> None:
    chat = await direct(store)
    assert (chat.head, chat.members) == (1, (Member("alice", 1, 1), Member("bob", 1, 0)))


def test_a_conversation_with_oneself_has_one_member(scene: Scene) -> None:
    async def story(store: Store) -> None:
        await store.users.remember(["alice"])
        chat = await direct(store, "alice", "alice")
        assert chat.members == (Member("alice", 0, 0),)
        assert (await say(store, chat.id, "note"))[0].members == ("alice",)
        assert (await store.conversations.open_direct("alice", "alice")).conversation.id == chat.id

    scene.play(story)


def test_a_peer_who_is_unknown_is_accepted_or_refused(scene: Scene) -> None:
    async def story(store: Store) -> None:
        with pytest.raises(LonglinkError, match="'bob'") as caught:
            await store.conversations.open_direct("alice", "bob", accept=False)
        assert caught.value.row is errors.USER_UNKNOWN
        assert (await store.conversations.open_direct("alice", "bob")).created
        assert (await store.conversations.open_direct("bob", "alice", accept=False)).created is False
        assert (await store.conversations.open_direct("alice", "alice", accept=False)).created

    scene.play(story)


def test_a_conversation_is_created_only_if_it_may_be(scene: Scene) -> None:
    async def story(store: Store) -> None:
        for peer in ("bob", "nobody"):
            with pytest.raises(LonglinkError) as caught:
                await store.conversations.open_direct("alice", peer, accept=False, create=False)
            assert caught.value.row is errors.CONVERSATION_UNKNOWN
        chat = await direct(store)
        found = await store.conversations.open_direct("alice", "bob", create=False)
        assert found == Opened(chat, created=False)

    scene.play(story)


def test_an_empty_conversation_is_shown_to_its_creator_only(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chat = await direct(store)
        assert [await _shown_to(store, user) for user in ("alice", "bob")] == [[chat.id], []]
        await say(store, chat.id, "one")
        assert [await _shown_to(store, user) for user in ("alice", "bob")] == [[chat.id], [chat.id]]

    scene.play(story)


async def _shown_to(store: Store, user: str) -> list[str]:
    listed = await store.conversations.changed(user, since=0, cursor="", limit=10)
    synced = await store.conversations.sync(user, since=0, cursor="", limit=10, messages=10, page_bytes=1 << 20)
    ids = [conversation.id for conversation in listed.conversations]
    assert [change.conversation.id for change in synced.changes] == ids
    return ids


def test_users_are_remembered_across_restarts(scene: Scene) -> None:
    async def before(store: Store) -> None:
        await store.users.remember([f"user-{number}" for number in range(3_000)])
        await store.users.remember([])

    async def after(store: Store) -> None:
        await store.users.remember(["one more", "user-2999"])
        assert await store.conversations.open_direct("user-0", "user-2999")
        assert await store.conversations.open_direct("one more", "user-1")

    scene.play(before)
    scene.play(after)


async def _changed(store: Store, since: int = 0, *, user: str = "alice", limit: int = 100) -> Changes:
    return await store.conversations.changed(user, since=since, cursor="", limit=limit)


def test_changed_shows_messages_and_marks_oldest_change_first(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chats = [(await direct(store, "alice", peer)).id for peer in ("bob", "carol", "dave")]
        scene.now_ms += 1_000
        await say(store, chats[2], "1")
        scene.now_ms += 1_000
        await say(store, chats[0], "1")
        scene.now_ms += 1_000
        await store.conversations.mark([Mark(chats[2], "dave", 1)])
        found = await _changed(store)
        assert [chat.id for chat in found.conversations] == [chats[1], chats[0], chats[2]]
        assert [chat.changed_at - NOON_MS for chat in found.conversations] == [0, 2_000, 3_000]
        assert found.conversations[2].members == (Member("alice", 1, 1), Member("dave", 1, 0))
        first, second, third = [chat.stamp for chat in found.conversations]
        assert first < second < third == found.synced_at
        assert [chat.id for chat in (await _changed(store, second)).conversations] == [chats[2]]
        assert (await _changed(store, third)).conversations == ()
        assert (await _changed(store, user="nobody")).conversations == ()
        assert [chat.id for chat in (await _changed(store, user="dave")).conversations] == [chats[2]]

    scene.play(story)


def test_what_changes_after_a_sync_is_in_the_next_one(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chats = [(await direct(store, "alice", peer)).id for peer in ("bob", "carol")]
        synced_at = (await _changed(store)).synced_at
        await say(store, chats[1], "1")
        assert chats[1] in [chat.id for chat in (await _changed(store, synced_at)).conversations]
        scene.now_ms -= 3_600_000
        synced_at = (await _changed(store)).synced_at
        await store.conversations.mark([Mark(chats[1], "carol", 1)])
        assert chats[1] in [chat.id for chat in (await _changed(store, synced_at)).conversations]

    scene.play(story)


def test_a_sync_before_the_first_conversation_misses_nothing_after_a_restart_with_the_clock_back(scene: Scene) -> None:
    synced: list[int] = []

    async def before(store: Store) -> None:
        await store.users.remember(["alice"])
        await store.check()
        synced.append((await _changed(store)).synced_at)

    async def after(store: Store) -> None:
        chat = await direct(store)
        assert [one.id for one in (await _changed(store, synced[0])).conversations] == [chat.id]

    scene.play(before)
    scene.now_ms -= 3_600_000
    scene.play(after)


def test_pages_pass_over_nothing_that_changes_meanwhile(scene: Scene) -> None:
    async def story(store: Store) -> None:
        # The clock stands still: order does not need it.
        chats = [(await direct(store, "alice", f"peer-{number}")).id for number in range(25)]
        heads = dict.fromkeys(chats, 0)
        cursor, shown = "", {}
        for touched in [*chats[::3], *chats[20:], *chats]:
            heads[touched] += 1
            assert (await say(store, touched, f"message {heads[touched]}"))[0].seq == heads[touched]
            page = await store.conversations.changed("alice", since=0, cursor=cursor, limit=4)
            assert len(page.conversations) <= 4
            shown.update({chat.id: chat.head for chat in page.conversations})
            cursor = page.next
            if not cursor:
                break
        assert not cursor
        assert shown.keys() == heads.keys()
        # What has changed behind its page is left to the next pass.
        rest = await store.conversations.changed("alice", since=page.synced_at, cursor="", limit=25)
        shown.update({chat.id: chat.head for chat in rest.conversations})
        assert shown == heads

    scene.play(story)


def test_pages_cut_through_the_conversations_of_one_commit(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chats = [(await direct(store, "alice", f"peer-{number}")).id for number in range(10)]
        await store.messages.append([Append(chat, "alice", "1", b"") for chat in chats])
        cursor, shown = "", []
        for _ in chats:
            page = await store.conversations.changed("alice", since=0, cursor=cursor, limit=3)
            shown += [chat.id for chat in page.conversations]
            cursor = page.next
            if not cursor:
                break
        assert sorted(shown) == sorted(chats)

    scene.play(story)


@pytest.mark.parametrize("cursor", ["x", "1.2.3", "1.d_aaaaaaaaaaaaaaaaaaaa.", "1.d_aaaaaaaaaaaaaaaaaaaa.2 ", "٣" * 9])
def test_a_cursor_that_no_page_gave_is_refused(scene: Scene, cursor: str) -> None:
    async def story(store: Store) -> None:
        with pytest.raises(LonglinkError) as caught:
            await store.conversations.changed("alice", since=0, cursor=cursor, limit=5)
        assert caught.value.row is errors.FIELD_INVALID

    scene.play(story)
