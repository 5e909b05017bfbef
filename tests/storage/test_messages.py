"""base.Messages on every backend: appended once, in order, and read back in pages. Read next: test_conversations.py."""

from __future__ import annotations

import pytest

from longlink import errors
from longlink.errors import LonglinkError
from longlink.storage.base import ENTRY_OVERHEAD_BYTES, Append, Appended, Mark, Store

from .scene import NOON_MS, Scene, direct, refused, say, stored, texts


def test_messages_get_the_sequence_1_2_3_and_come_back_as_they_were(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chat = await direct(store)
        contents = [b"", b"\x00\xff", "grüße \U0001f600".encode(), bytes(range(256)) * 200]
        batch = [Append(chat.id, "bob", f"c-{number}", content) for number, content in enumerate(contents)]
        results = stored(await store.messages.append(batch))
        assert results == [Appended(seq, NOON_MS, results[0].stamp, False, ("alice", "bob")) for seq in (1, 2, 3, 4)]
        page = await store.messages.history(chat.id, "alice", after=0, before=0, limit=10, page_bytes=1 << 30)
        assert [entry.content for entry in page.entries] == contents
        assert [(entry.seq, entry.sender, entry.client_id, entry.sent_at) for entry in page.entries] == [
            (number + 1, "bob", f"c-{number}", NOON_MS) for number in range(4)
        ]

    scene.play(story)


def test_a_resend_gets_the_first_answer_again_and_stores_nothing(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chat = await direct(store)
        first = (await say(store, chat.id, "one", "two"))[0]
        scene.now_ms += 5_000
        again = (await say(store, chat.id, "one"))[0]
        assert again == Appended(first.seq, first.sent_at, first.stamp, True, first.members)
        assert await texts(store, chat.id) == [b"one", b"two"]

    scene.play(story)


def test_a_resend_after_a_restart_gets_the_first_answer_again(scene: Scene) -> None:
    chats = []

    async def before(store: Store) -> None:
        chats.append((await direct(store)).id)
        await say(store, chats[0], "one")

    async def after(store: Store) -> None:
        mixed = await say(store, chats[0], "zero", "one", "two")
        assert [(result.seq, result.duplicate) for result in mixed] == [(2, False), (1, True), (3, False)]

    scene.play(before)
    scene.play(after)


def test_a_resend_within_one_batch_is_stored_once(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chat = await direct(store)
        results = await say(store, chat.id, "one", "one", "two", "one")
        assert [(result.seq, result.duplicate) for result in results] == [(1, False), (1, True), (2, False), (1, True)]

    scene.play(story)


def test_resends_among_many_concurrent_calls_are_stored_once(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chat = await direct(store)
        items = [Append(chat.id, "alice", f"m-{number % 40}", b"x") for number in range(200)]
        calls = [store.messages.append([item]) for item in items]
        results = [stored(await call)[0] for call in calls]
        assert [result.seq for result in results] == [number % 40 + 1 for number in range(200)]
        assert sum(result.duplicate for result in results) == 160
        assert len(await texts(store, chat.id)) == 40

    scene.play(story)


@pytest.mark.parametrize("restart", [False, True], ids=["same batch", "other batch"])
def test_the_same_client_id_with_other_content_is_refused(scene: Scene, restart: bool) -> None:
    async def story(store: Store) -> None:
        chat = await direct(store)
        first = [Append(chat.id, "alice", "one", b"1")]
        second = [Append(chat.id, "alice", "one", b"2"), Append(chat.id, "alice", "two", b"2")]
        if restart:
            await store.messages.append(first)
            results = await store.messages.append(second)
        else:
            results = (await store.messages.append([*first, *second]))[1:]
        assert refused(results[0]) is errors.CONTENT_DIFFERS
        assert isinstance(results[1], Appended)
        assert await texts(store, chat.id) == [b"1", b"2"]

    scene.play(story)


def test_the_same_client_id_of_another_sender_is_another_message(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chat = await direct(store)
        await say(store, chat.id, "one", sender="alice")
        assert (await say(store, chat.id, "one", sender="bob"))[0].seq == 2

    scene.play(story)


@pytest.mark.parametrize("client_id", ["", "1", "a\x00b", "'", '"\\', "é", "\U0001f600", "x" * 500])
def test_any_text_is_a_client_id(scene: Scene, client_id: str) -> None:
    async def story(store: Store) -> None:
        chat = await direct(store)
        batch = [Append(chat.id, "alice", client_id, b"1"), Append(chat.id, "alice", client_id + "~", b"2")]
        await store.messages.append(batch)
        assert [result.duplicate for result in stored(await store.messages.append(batch))] == [True, True]
        page = await store.messages.history(chat.id, "alice", after=0, before=2, limit=1, page_bytes=1 << 30)
        assert page.entries[0].client_id == client_id

    scene.play(story)


def test_each_item_is_refused_for_itself(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chat = await direct(store)
        await store.users.remember(["carol"])
        unknown, foreign, good = await store.messages.append(
            [
                Append("d_nobody", "alice", "1", b""),
                Append(chat.id, "carol", "2", b""),
                Append(chat.id, "alice", "3", b""),
            ]
        )
        assert refused(unknown) is errors.CONVERSATION_UNKNOWN
        assert refused(foreign) is errors.NOT_A_MEMBER
        assert isinstance(good, Appended)
        assert good.seq == 1

    scene.play(story)


def test_an_empty_batch_has_an_empty_answer(scene: Scene) -> None:
    async def story(store: Store) -> None:
        assert await store.messages.append([]) == []

    scene.play(story)


async def _seqs(store: Store, chat: str, after: int, before: int, limit: int) -> tuple[list[int], bool]:
    page = await store.messages.history(chat, "bob", after=after, before=before, limit=limit, page_bytes=1 << 30)
    assert page.head == 10
    return [entry.seq for entry in page.entries], page.more


@pytest.mark.parametrize(
    ("after", "before", "limit", "seqs", "more"),
    [
        (0, 0, 4, [1, 2, 3, 4], True),
        (4, 0, 4, [5, 6, 7, 8], True),
        (6, 0, 4, [7, 8, 9, 10], False),
        (8, 0, 4, [9, 10], False),
        (10, 0, 4, [], False),
        (99, 0, 4, [], False),
        (0, 11, 4, [7, 8, 9, 10], True),
        (0, 2**62, 4, [7, 8, 9, 10], True),
        (0, 7, 4, [3, 4, 5, 6], True),
        (0, 5, 4, [1, 2, 3, 4], False),
        (0, 3, 4, [1, 2], False),
        (0, 1, 4, [], False),
        (5, 9, 2, [6, 7], True),
        (6, 9, 2, [7, 8], False),
        (7, 99, 2, [8, 9], True),
        (8, 99, 2, [9, 10], False),
        (8, 9, 2, [], False),
    ],
)
def test_history_pages(scene: Scene, after: int, before: int, limit: int, seqs: list[int], more: bool) -> None:
    async def story(store: Store) -> None:
        chat = await direct(store)
        await say(store, chat.id, *map(str, range(10)))
        assert await _seqs(store, chat.id, after, before, limit) == (seqs, more)

    scene.play(story)


@pytest.mark.parametrize("far", [2**53, 2**63 - 1, 2**64 - 1])
def test_numbers_of_64_bits_are_far_away_and_no_error(scene: Scene, far: int) -> None:
    async def story(store: Store) -> None:
        chat = await direct(store)
        await say(store, chat.id, *map(str, range(10)))
        assert await _seqs(store, chat.id, far, 0, 4) == ([], False)
        assert await _seqs(store, chat.id, 8, far, far) == ([9, 10], False)
        assert await _seqs(store, chat.id, far, far, 4) == ([], False)
        found = await store.conversations.changed("alice", since=far, cursor="", limit=4)
        assert found.conversations == ()
        found = await store.conversations.changed("alice", since=-far, cursor="", limit=4)
        assert [one.id for one in found.conversations] == [chat.id]
        (mark,) = await store.conversations.mark([Mark(chat.id, "bob", far)])
        assert refused(mark) is errors.SEQ_AHEAD

    scene.play(story)


def test_history_of_an_empty_conversation_is_an_empty_page(scene: Scene) -> None:
    async def story(store: Store) -> None:
        chat = await direct(store)
        for before in (0, 5):
            page = await store.messages.history(chat.id, "bob", after=0, before=before, limit=5, page_bytes=1 << 30)
            assert (page.entries, page.head, page.more) == ((), 0, False)

    scene.play(story)


@pytest.mark.parametrize(("chat", "user", "row"), [
    ("", "carol", errors.NOT_A_MEMBER),
    ("", "nobody", errors.NOT_A_MEMBER),
    ("d_nothing", "alice", errors.CONVERSATION_UNKNOWN),
])  # fmt: skip
def test_only_members_read(scene: Scene, chat: str, user: str, row: errors.Row) -> None:
    async def story(store: Store) -> None:
        await store.users.remember(["carol"])
        opened = await direct(store)
        await say(store, opened.id, "secret")
        with pytest.raises(LonglinkError) as caught:
            await store.messages.history(chat or opened.id, user, after=0, before=0, limit=5, page_bytes=1 << 30)
        assert caught.value.row is row

    scene.play(story)


@pytest.mark.parametrize(
    ("after", "before", "page_bytes", "seqs", "more"),
    [
        (0, 0, 3 * (1_000 + ENTRY_OVERHEAD_BYTES), [1, 2, 3], True),
        (0, 11, 3 * (1_000 + ENTRY_OVERHEAD_BYTES), [8, 9, 10], True),
        (7, 0, 3 * (1_000 + ENTRY_OVERHEAD_BYTES), [8, 9, 10], False),
        (0, 4, 3 * (1_000 + ENTRY_OVERHEAD_BYTES), [1, 2, 3], False),
        (0, 4, 3 * (1_000 + ENTRY_OVERHEAD_BYTES) - 1, [2, 3], True),
        (0, 0, 1, [1], True),
        (0, 11, 1, [10], True),
    ],
)
def test_a_page_weighs_at_most_its_bytes_and_always_has_one_entry(
    scene: Scene, after: int, before: int, page_bytes: int, seqs: list[int], more: bool
) -> None:
    async def story(store: Store) -> None:
        chat = await direct(store)
        await store.messages.append([Append(chat.id, "alice", f"m{n}", b"x" * 1_000) for n in range(1, 11)])
        page = await store.messages.history(
            chat.id, "bob", after=after, before=before, limit=100, page_bytes=page_bytes
        )
        assert ([entry.seq for entry in page.entries], page.more) == (seqs, more)

    scene.play(story)
