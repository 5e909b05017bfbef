"""Marks on every backend: they only rise, a sender's own go with his words, and what lies above them is unread.

Read next: test_sync.py.
"""

from __future__ import annotations

import asyncio

from longlink import errors
from longlink.storage.base import MENTIONS_COUNTED, Append, Conversation, Mark, Marked, Member, Store

from .scene import Scene, direct, refused, say

BOTH = ("alice", "bob")


async def _seen(store: Store, user: str = "bob", peer: str = "alice") -> Conversation:
    """The conversation as the user sees it; the same in all three places that show it."""
    opened = (await store.conversations.open_direct(user, peer)).conversation
    listed = await store.conversations.changed(user, since=0, cursor="", limit=100)
    synced = await store.conversations.sync(user, since=0, cursor="", limit=100, messages=0, page_bytes=100_000)
    assert opened in listed.conversations
    assert opened in [change.conversation for change in synced.changes]
    return opened


def test_marks_only_rise_and_a_read_one_raises_the_delivered_one(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chat = (await direct(store)).id
        await say(store, chat, *"123456")
        asked = [(2, 0), (1, 0), (2, 0), (0, 0), (0, 1), (1, 3), (5, 4), (3, 2), (6, 6), (0, 5)]
        assert await store.conversations.mark([Mark(chat, "bob", *one) for one in asked]) == [
            Marked(2, 0, True, False, BOTH),
            Marked(2, 0, False, False, BOTH),
            Marked(2, 0, False, False, BOTH),
            Marked(2, 0, False, False, BOTH),
            Marked(2, 1, False, True, BOTH),
            Marked(3, 3, True, True, BOTH),
            Marked(5, 4, True, True, BOTH),
            Marked(5, 4, False, False, BOTH),
            Marked(6, 6, True, True, BOTH),
            Marked(6, 6, False, False, BOTH),
        ]

    async def again(store: Store) -> None:
        assert (await _seen(store)).members == (Member("alice", 6, 6), Member("bob", 6, 6))

    scene.play(story)
    scene.play(again)


def test_each_mark_is_refused_for_itself(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chat = (await direct(store)).id
        await say(store, chat, "1", "2")
        ahead, read_ahead, unknown, foreign, good = await store.conversations.mark(
            [
                Mark(chat, "bob", 3),
                Mark(chat, "bob", 1, 3),
                Mark("d_nothing", "bob", 1),
                Mark(chat, "carol", 1),
                Mark(chat, "bob", 2, 1),
            ]
        )
        assert refused(ahead) is refused(read_ahead) is errors.SEQ_AHEAD
        assert refused(unknown) is errors.CONVERSATION_UNKNOWN
        assert refused(foreign) is errors.NOT_A_MEMBER
        # The refused ones have moved nothing, also not the half of them that was in order.
        assert good == Marked(2, 1, True, True, BOTH)

    scene.play(story)


def test_what_lies_above_the_read_mark_is_unread(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chat = (await direct(store)).id
        assert (await _seen(store, "alice", "bob")).unread == 0
        await say(store, chat, *"12345")
        assert [(await _seen(store)).unread, (await _seen(store, "alice", "bob")).unread] == [5, 0]
        await store.conversations.mark([Mark(chat, "bob", 5)])
        assert (await _seen(store)).unread == 5, "received is not read"
        await store.conversations.mark([Mark(chat, "bob", 0, 3)])
        assert (await _seen(store)).unread == 2

    scene.play(story)


def test_a_users_own_entries_are_never_unread(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chat = (await direct(store)).id
        await say(store, chat, "1")
        await say(store, chat, "2", "3", "4", sender="bob")
        assert [(await _seen(store)).unread, (await _seen(store, "alice", "bob")).unread] == [1, 3]
        await say(store, chat, "5")
        await say(store, chat, "6", sender="bob")
        assert (await _seen(store)).unread == 2
        for read, left in ((1, 1), (3, 1), (5, 0), (6, 0)):
            await store.conversations.mark([Mark(chat, "bob", 0, read)])
            assert (await _seen(store)).unread == left

    scene.play(story)
    scene.play(lambda store: _nothing_is_unread(store))


async def _nothing_is_unread(store: Store) -> None:
    assert (await _seen(store)).unread == 0


def test_the_marks_of_a_sender_go_with_his_words_only_without_a_gap(scene: Scene) -> None:
    async def marks(store: Store) -> tuple[Member, ...]:
        return (await _seen(store)).members

    async def story(store: Store) -> None:
        chat = (await direct(store)).id
        await say(store, chat, "1", "2")
        assert await marks(store) == (Member("alice", 2, 2), Member("bob", 0, 0))
        await say(store, chat, "3", sender="bob")
        # Bob has not said that he has 1 and 2, so his own 3 says nothing of them.
        assert await marks(store) == (Member("alice", 2, 2), Member("bob", 0, 0))
        await say(store, chat, "4")
        assert await marks(store) == (Member("alice", 2, 2), Member("bob", 0, 0))
        # Each mark for itself: bob has received all and read the half.
        await store.conversations.mark([Mark(chat, "bob", 4, 2)])
        await say(store, chat, "5", "6", sender="bob")
        assert await marks(store) == (Member("alice", 2, 2), Member("bob", 6, 2))
        await store.conversations.mark([Mark(chat, "bob", 0, 6)])
        await say(store, chat, "7", "6", sender="bob")
        assert await marks(store) == (Member("alice", 2, 2), Member("bob", 7, 7))
        assert (await _seen(store)).unread == 0

    scene.play(story)
    scene.play(lambda store: _still(store, (Member("alice", 2, 2), Member("bob", 7, 7))))


async def _still(store: Store, members: tuple[Member, ...]) -> None:
    assert (await _seen(store)).members == members


def test_a_resend_moves_no_mark(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chat = (await direct(store)).id
        await say(store, chat, "1", sender="bob")
        await say(store, chat, "2")
        await say(store, chat, "1", sender="bob")
        assert (await _seen(store)).members == (Member("alice", 0, 0), Member("bob", 1, 1))

    scene.play(story)


def _mention(chat: str, client_id: str, *users: str, everybody: bool = False, sender: str = "alice") -> Append:
    return Append(chat, sender, client_id, b"", users, everybody)


def test_mentions_count_for_members_other_than_the_sender_and_once_a_message(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chat = (await direct(store)).id
        await store.users.remember(["carol"])
        await store.messages.append(
            [
                _mention(chat, "1"),
                _mention(chat, "2", "bob"),
                _mention(chat, "3", "bob", "bob", everybody=True),
                _mention(chat, "4", "carol", "nobody", "", "alice"),
                _mention(chat, "5", "carol", "bob"),
                _mention(chat, "2", "bob"),
                _mention(chat, "6", everybody=True),
                _mention(chat, "7", "alice", "bob", everybody=True, sender="bob"),
            ]
        )
        assert [((await _seen(store, *pair)).mentions) for pair in (BOTH[::-1], BOTH)] == [4, 1]
        await store.conversations.mark([Mark(chat, "bob", 7)])
        assert (await _seen(store)).mentions == 4, "received is not read"
        for read, left in ((2, 3), (4, 2), (5, 1), (6, 0)):
            await store.conversations.mark([Mark(chat, "bob", 0, read)])
            assert (await _seen(store)).mentions == left

    scene.play(story)


def test_nobody_mentions_himself(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chat = (await direct(store, "alice", "alice")).id
        await store.messages.append([_mention(chat, "1", "alice"), _mention(chat, "2", everybody=True)])
        seen = await _seen(store, "alice", "alice")
        assert (seen.unread, seen.mentions, seen.members) == (0, 0, (Member("alice", 2, 2),))

    scene.play(story)


def test_unread_mentions_are_counted_up_to_a_bound(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chat = (await direct(store)).id
        most = MENTIONS_COUNTED + 5
        await store.messages.append([_mention(chat, str(number), "bob") for number in range(most)])
        seen = await _seen(store)
        assert (seen.unread, seen.mentions) == (most, MENTIONS_COUNTED)
        await store.conversations.mark([Mark(chat, "bob", 0, 10)])
        seen = await _seen(store)
        assert (seen.unread, seen.mentions) == (most - 10, most - 10)

    scene.play(story)


def test_calls_that_were_made_before_show_in_what_is_opened_after(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chat = (await direct(store)).id
        said = store.messages.append([_mention(chat, "1", "bob"), _mention(chat, "2", "bob")])
        marked = store.conversations.mark([Mark(chat, "bob", 0, 1)])
        opened = store.conversations.open_direct("bob", "alice")
        await asyncio.gather(said, marked)
        seen = (await opened).conversation
        assert (seen.head, seen.unread, seen.mentions) == (2, 1, 1)

    scene.play(story)
