"""Many conversations at once: what the client asks for does not grow with their number, however late it is read."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from longlink.client.events import Message
from longlink.protocol.frames import body_name

from .double import PAGE, Double, running
from .scene import alice, events, play

CHATS = 60


async def filled(double: Double, messages: int) -> None:
    for number in range(CHATS):
        name = double.open("alice", f"bob{number}")
        for _ in range(messages):
            await double.write(name, f"bob{number}", "hello")


def asked(double: Double) -> Counter[str]:
    return Counter(str(body_name(frame)) for frame in double.seen)


@pytest.mark.parametrize("late", [False, True])
def test_chats_are_listed_first_and_the_events_come_in_pages(late: bool) -> None:
    async def scene() -> None:
        async with running() as double:
            await filled(double, 1)
            async with alice(double, max_events=20) as client:
                if late:
                    chats = await client.chats()
                    assert [chat.unread for chat in chats] == [1] * CHATS
                    await double.until(lambda: asked(double)["sync"] >= 20 // PAGE // 2)
                    # Nobody reads, so nothing more comes, however long that takes.
                    for _ in range(100):
                        await asyncio.sleep(0)
                    assert asked(double)["sync"] < CHATS // PAGE
                assert len({each.conversation for each in await events(client, Message, CHATS)}) == CHATS
                assert asked(double)["sync"] == CHATS // PAGE
                assert asked(double)["read_history"] == 0

    play(scene())


def test_a_new_device_reads_what_no_device_has_in_pages_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longlink.client.exchange.FEW", 1)

    async def scene() -> None:
        async with running() as double:
            await filled(double, 2)
            async with alice(double) as client:
                assert len(await events(client, Message, 2 * CHATS)) == 2 * CHATS
                assert asked(double)["sync"] == CHATS // PAGE + 1
                assert asked(double)["read_history"] <= PAGE

    play(scene())


def test_a_conversation_that_was_only_listed_gets_its_place_when_something_comes() -> None:
    async def scene() -> None:
        async with running() as double, alice(double) as client:
            await double.until(lambda: asked(double)["sync"] == 1)
            name = double.open("alice", "bob")
            (chat,) = await client.chats()
            assert (chat.id, chat.unread) == (name, 0)
            await double.write(name, "bob", "hello")
            assert [each.text for each in await events(client, Message)] == ["hello"]
            assert chat.unread == 1

    play(scene())
