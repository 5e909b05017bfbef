"""A session that goes on over the next link, what it saves, and how it ends."""

from __future__ import annotations

import asyncio

import pytest

from longlink import errors
from longlink.client.events import Disconnected, Message, Read, Reconnected
from longlink.errors import LonglinkError
from longlink.protocol.frames import body_name, error_frame

from .double import running
from .scene import alice, events, play, seen


def test_when_nothing_was_missed_nothing_is_fetched() -> None:
    async def scene() -> None:
        async with running() as double, alice(double) as client:
            chat = await client.direct("bob")
            for text in "abc":
                await double.write(chat.id, "bob", text)
            await events(client, Message, 3)
            await double.until(lambda: seen(double, "sync"))
            before = len(double.seen)
            double.cut()
            (again,) = await events(client, Reconnected)
            assert again.resumed
            await chat.send("still here")
            assert (double.connects[-1].connect.received, double.connects[-1].connect.token) == (3, "")
            assert {body_name(frame) for frame in double.seen[before:]} <= {"send", "ack"}

    play(scene())


def test_what_was_missed_comes_by_one_sync_and_no_history_when_it_is_little() -> None:
    async def scene() -> None:
        async with running() as double, alice(double) as client:
            chat = await client.direct("bob")
            await double.write(chat.id, "bob", "a")
            await events(client, Message)
            await double.until(lambda: seen(double, "sync"))
            double.seen.clear()
            double.cut()
            await double.until(lambda: not double.lines)
            await double.write(chat.id, "bob", "b")
            assert [message.text for message in await events(client, Message)] == ["b"]
            assert [frame.sync.since for frame in seen(double, "sync")] == [1]
            assert seen(double, "read_history") == []

    play(scene())


def test_a_key_that_is_refused_costs_one_frame_and_no_other_link() -> None:
    async def scene() -> None:
        async with running() as double, alice(double) as client:
            double.key_refusals.append(LonglinkError(errors.KEY_EXPIRED, "too old"))
            double.cut()
            (again,) = await events(client, Reconnected)
            assert not again.resumed
            assert [(bool(f.connect.key), f.connect.token) for f in double.connects] == [
                (False, "alice"),
                (True, ""),
                (False, "alice"),
            ]
            assert len(double.lines) == 1

    play(scene())


def test_the_token_function_is_asked_only_when_there_is_no_session() -> None:
    asked: list[int] = []

    def token() -> str:
        asked.append(1)
        return "alice"

    async def scene() -> None:
        async with running() as double, alice(double, token=token) as client:
            for _ in range(3):
                double.cut()
                await events(client, Reconnected)
            assert len(asked) == 1

    play(scene())


def test_after_the_token_has_expired_the_key_is_not_tried() -> None:
    async def scene() -> None:
        async with running() as double, alice(double, token=lambda: "alice") as client:
            await double.close(LonglinkError(errors.TOKEN_EXPIRED, "over"))
            await events(client, Reconnected)
            assert [frame.connect.key for frame in double.connects] == ["", ""]

    play(scene())


def test_a_sync_that_was_cut_off_is_made_again_although_nothing_was_missed() -> None:
    async def scene() -> None:
        async with running() as double:
            name = double.open("alice", "bob")
            await double.write(name, "bob", "old")
            double.muted.add("sync")
            async with alice(double) as client:
                await double.until(lambda: seen(double, "sync"))
                double.muted.clear()
                double.cut()
                assert [message.text for message in await events(client, Message)] == ["old"]

    play(scene())


def test_a_place_that_is_ahead_of_the_server_is_dropped() -> None:
    async def scene() -> None:
        async with running() as double, alice(double) as client:
            chat = await client.direct("bob")
            await double.until(lambda: seen(double, "sync"))
            double.pushes = False
            await double.write(chat.id, "bob", "new")
            refused = False

            async def sync(line: object, frame: object) -> object:
                nonlocal refused
                if not refused:
                    refused = True
                    return double_error
                return await plain(line, frame)  # type: ignore[arg-type]

            double_error = error_frame(LonglinkError(errors.SINCE_AHEAD, "restored"), 0)
            plain, double.sync = double.sync, sync  # type: ignore[method-assign, assignment]
            await double.missed()
            assert [message.text for message in await events(client, Message)] == ["new"]
            assert [frame.sync.since for frame in seen(double, "sync")][-2:] == [1, 0]

    play(scene())


def test_in_the_background_the_server_is_told_now_and_on_every_later_link() -> None:
    async def scene() -> None:
        async with running() as double, alice(double) as client:
            await client.background(True)
            assert [frame.adjust.background for frame in seen(double, "adjust")] == [True]
            double.cut()
            await events(client, Reconnected)
            assert double.connects[-1].connect.background
            await client.background(False)
            assert [frame.adjust.background for frame in seen(double, "adjust")] == [True, False]

    play(scene())


def test_logging_out_ends_the_client_and_the_iteration() -> None:
    async def scene() -> None:
        async with running() as double, alice(double) as client:
            reading = asyncio.create_task(events(client, Message))
            await client.logout(everywhere=True)
            assert await reading == []
            assert [frame.logout.everywhere for frame in seen(double, "logout")] == [True]
            with pytest.raises(LonglinkError):
                await client.chat("c").send("too late")

    play(scene())


def test_what_kind_of_device_it_is_and_how_long_it_would_be_silent_is_said_at_the_beginning() -> None:
    async def scene() -> None:
        async with running() as double, alice(double, platform="ios", heartbeat=45):
            said = double.connects[0].connect
            assert (said.platform, said.heartbeat_ms) == ("ios", 45_000)

    play(scene())


# Marks ----------------------------------------------------------------------------------------------------------------


def test_two_devices_agree_on_what_is_read_and_what_mentions_the_user() -> None:
    async def scene() -> None:
        async with running() as double, alice(double, device="a") as here, alice(double, device="b") as there:
            chat, same = await here.direct("bob"), await there.direct("bob")
            for text in "abc":
                await double.write(chat.id, "bob", text)
            await events(here, Message, 3)
            await events(there, Message, 3)
            assert (chat.unread, same.unread) == (3, 3)
            chat.read(2)
            assert await events(there, Read) == [Read(chat.id, "alice", 2)]
            assert (chat.unread, same.unread, same.read_by("alice")) == (1, 1, 2)
            with pytest.raises(LonglinkError) as caught:
                chat.read(4)
            assert caught.value.row is errors.SEQ_AHEAD

    play(scene())


def test_what_was_read_while_the_link_was_down_is_told_when_it_is_back() -> None:
    async def scene() -> None:
        async with running() as double, alice(double) as client:
            chat = await client.direct("bob")
            await double.write(chat.id, "bob", "a")
            (message,) = await events(client, Message)
            double.cut()
            await events(client, Disconnected)
            chat.read(message)
            await double.until(lambda: double.reads[chat.id]["alice"] == 1)

    play(scene())


def test_many_conversations_are_acknowledged_in_one_frame() -> None:
    async def scene() -> None:
        async with running() as double, alice(double) as client:
            chats = [await client.direct(f"bob{number}") for number in range(5)]
            double.muted.add("ack")
            await double.write(chats[0].id, "bob0", "first")
            await events(client, Message)
            for number, chat in enumerate(chats):
                await double.write(chat.id, f"bob{number}", "x")
            await events(client, Message, 5)
            double.muted.clear()
            double.cut()
            await double.until(lambda: all(double.members[chat.id]["alice"] for chat in chats))
            assert max(len(frame.ack.marks) for frame in seen(double, "ack")) >= 4

    play(scene())
