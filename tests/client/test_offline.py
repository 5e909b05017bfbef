"""What a store is for: sending and reading without a link, and forgetting nothing when a process ends."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

import longlink
from longlink import errors
from longlink.client.client import Client
from longlink.client.events import Connected, Message, Refused, Sent
from longlink.client.store import UNKNOWN
from longlink.errors import LonglinkError

from .double import Double, running
from .scene import alice, events, play, seen


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "alice.db"


def crash(client: Client) -> None:
    """What is left when the process dies now: the file as it is, and its lock free."""
    assert client._supervisor is not None
    client._supervisor.cancel()
    assert client._store is not None
    client._store.close()
    client._closed = True


def offline(path: Path, **options: object) -> Client:
    """A client that finds nobody."""
    return longlink.connect("ws://127.0.0.1:1", token="alice", store=path, **options)  # type: ignore[arg-type]


def jwt(user: str) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"sub": user}).encode()).decode().rstrip("=")
    return f"e30.{claims}.signature"


# Posting --------------------------------------------------------------------------------------------------------------


def test_a_post_returns_at_once_and_its_outcome_is_an_event() -> None:
    async def scene() -> None:
        async with running() as double, alice(double) as client:
            chat = await client.direct("bob")
            double.refusals.extend([None, LonglinkError(errors.NOT_A_MEMBER, "no")])
            ids = [await chat.post(text, mentions=["bob"]) for text in "ab"]
            (stored,) = await events(client, Sent)
            (refused,) = await events(client, Refused)
            assert [stored.client_id, refused.client_id] == ids
            assert (stored.seq, refused.error.row) == (1, errors.NOT_A_MEMBER)
            assert list(seen(double, "send")[0].send.content.mentions) == ["bob"]

    play(scene())


def test_posts_and_sends_of_one_conversation_keep_their_order() -> None:
    async def scene() -> None:
        async with running() as double, alice(double) as client:
            chat = await client.direct("bob")
            await chat.post("1")
            await chat.send("2")
            await chat.post("3")
            await chat.send("4")
            assert double.texts(chat.id) == list("1234")

    play(scene())


def test_posts_beyond_what_may_wait_are_refused_after_a_while() -> None:
    async def scene() -> None:
        async with running() as double, alice(double, max_pending=2, send_timeout=0.05, flush_timeout=0.0) as client:
            chat = await client.direct("bob")
            double.muted.add("send")
            await chat.post("1")
            await chat.post("2")
            with pytest.raises(LonglinkError) as caught:
                await chat.post("3")
            assert caught.value.row is errors.UNANSWERED
            assert "max_pending" in caught.value.message

    play(scene())


def test_what_was_posted_offline_is_sent_by_the_next_process_once_and_in_order(path: Path) -> None:
    async def scene() -> None:
        async with running() as double:
            async with alice(double, store=path) as client:
                name = (await client.direct("bob")).id
            async with offline(path) as client:
                (chat,) = await client.chats()
                assert (chat.id, (await client.direct("bob")).id, chat.peer) == (name, name, "bob")
                ids = [await chat.post(text) for text in "abc"]
                assert not client.connected
            async with alice(double, store=path) as client:
                assert [sent.client_id for sent in await events(client, Sent, 3)] == ids
                assert double.texts(name) == list("abc")
            async with alice(double, store=path) as client:
                await client.direct("bob")
            assert double.texts(name) == list("abc")

    play(scene())


def test_more_posts_from_before_than_may_wait_now_are_sent_too(path: Path) -> None:
    async def scene() -> None:
        async with running() as double:
            async with alice(double, store=path) as client:
                name = (await client.direct("bob")).id
            async with offline(path) as client:
                for number in range(5):
                    await client.chat(name).post(str(number))
            async with alice(double, store=path, max_pending=2) as client:
                await client.chat(name).send("last")
            assert double.texts(name) == [*"01234", "last"]

    play(scene())


def test_a_message_is_on_disk_before_it_is_written_to_the_link(path: Path) -> None:
    async def scene() -> None:
        async with running() as double, alice(double, store=path) as client:
            chat = await client.direct("bob")
            waiting: list[int] = []
            plain = double.send

            async def send(line: object, frame: object) -> object:
                assert client._store is not None
                waiting.append(len(client._store.queued()))
                return await plain(line, frame)  # type: ignore[arg-type]

            double.send = send  # type: ignore[method-assign, assignment]
            await chat.send("hello")
            assert waiting == [1]
            assert client._store is not None
            assert client._store.queued() == []

    play(scene())


def test_a_send_that_was_given_up_is_not_sent_by_the_next_process(path: Path) -> None:
    async def scene() -> None:
        async with running() as double:
            async with alice(double, store=path, send_timeout=0.05, flush_timeout=0.0) as client:
                chat = await client.direct("bob")
                double.muted.add("send")
                with pytest.raises(LonglinkError):
                    await chat.send("given up")
            double.muted.clear()
            double.seen.clear()
            async with alice(double, store=path) as client:
                await client.direct("bob")
            assert seen(double, "send") == []

    play(scene())


# Receiving across crashes ---------------------------------------------------------------------------------------------


async def written(double: Double, *texts: str) -> str:
    name = double.open("alice", "bob")
    for text in texts:
        await double.write(name, "bob", text)
    return name


def test_a_message_whose_handling_had_not_ended_is_handed_out_again_and_no_other(path: Path) -> None:
    async def scene() -> None:
        async with running() as double:
            name = await written(double, *"abc")
            client = await longlink.connect(double.url, token="alice", store=path).__aenter__()
            assert [message.text for message in await events(client, Message, 2)] == ["a", "b"]
            crash(client)
            assert double.members[name]["alice"] <= 1
            async with alice(double, store=path) as client:
                assert [message.text for message in await events(client, Message, 2)] == ["b", "c"]
            await double.write(name, "bob", "d")
            async with alice(double, store=path) as client:
                assert [message.text for message in await events(client, Message)] == ["d"]
            assert double.members[name]["alice"] == 4

    play(scene())


def test_an_error_in_the_handling_leaves_the_message_for_the_next_process(path: Path) -> None:
    async def fail(double: Double) -> None:
        async with alice(double, store=path) as client:
            assert [message.text for message in await events(client, Message)] == ["a"]
            raise ZeroDivisionError

    async def scene() -> None:
        async with running() as double:
            await written(double, "a", "b")
            for _ in range(2):
                with pytest.raises(ZeroDivisionError):
                    await fail(double)
            async with alice(double, store=path) as client:
                assert [message.text for message in await events(client, Message, 2)] == ["a", "b"]

    play(scene())


def test_without_auto_ack_the_place_is_what_the_application_acknowledged(path: Path) -> None:
    async def scene() -> None:
        async with running() as double:
            await written(double, *"abc")
            async with alice(double, store=path, auto_ack=False) as client:
                found = await events(client, Message, 3)
                await client.ack(found[1])
            async with alice(double, store=path, auto_ack=False) as client:
                assert [message.text for message in await events(client, Message)] == ["c"]

    play(scene())


def test_a_process_that_ended_in_good_order_resumes_and_fetches_only_what_it_had_not_handled(path: Path) -> None:
    async def scene() -> None:
        async with running() as double:
            async with alice(double, store=path) as client:
                chat = await client.direct("bob")
                await double.until(lambda: seen(double, "sync"))
                for text in "ab":
                    await double.write(chat.id, "bob", text)
                await events(client, Message)
                await chat.send("both are here")
            double.seen.clear()
            async with alice(double, store=path) as client:
                assert [message.text for message in await events(client, Message)] == ["b"]
            assert double.connects[-1].connect.received == 2
            assert seen(double, "sync") == []
            assert [frame.read_history.after for frame in seen(double, "read_history")] == [1]

    play(scene())


def test_a_process_that_died_says_that_it_does_not_know_what_came(path: Path) -> None:
    async def scene() -> None:
        async with running() as double:
            client = await longlink.connect(double.url, token="alice", store=path).__aenter__()
            crash(client)
            async with alice(double, store=path) as client:
                (up,) = await events(client, Connected)
                assert up.resumed
                await double.until(lambda: len(seen(double, "sync")) >= 1)
            assert double.connects[-1].connect.received == UNKNOWN

    play(scene())


def test_own_messages_of_an_earlier_process_are_no_events(path: Path) -> None:
    async def scene() -> None:
        async with running() as double:
            async with alice(double, store=path) as client:
                await (await client.direct("bob")).send("mine")
            await double.write("alice-bob", "bob", "his")
            double.keys.clear()
            async with alice(double, store=path) as client:
                assert [message.text for message in await events(client, Message)] == ["his"]

    play(scene())


# Reading offline ------------------------------------------------------------------------------------------------------


def test_what_has_come_and_what_was_sent_can_be_read_offline(path: Path) -> None:
    async def scene() -> None:
        async with running() as double:
            name = await written(double, *"abc")
            async with alice(double, store=path) as client:
                await events(client, Message, 3)
                chat = client.chat(name)
                await chat.send("d")
                chat.read(2)
                await double.until(lambda: double.reads[name]["alice"] == 2)
            async with offline(path) as client:
                chat = await client.direct("bob")
                assert [message.text async for message in chat.history()] == list("abcd")
                assert [message.seq async for message in chat.history(after=2)] == [3, 4]
                assert [message.text for message in await chat.last(2, before=4)] == ["b", "c"]
                assert (chat.head, chat.unread, client.user) == (4, 1, "alice")

    play(scene())


def test_a_new_device_can_read_offline_what_others_of_the_user_had_received(path: Path) -> None:
    async def scene() -> None:
        async with running() as double:
            name = await written(double, "a")
            double.members[name]["alice"] = 1
            async with alice(double, store=path) as client:
                await events(client, Connected)
                await double.write(name, "bob", "c")
                assert [message.text for message in await events(client, Message)] == ["c"]
            async with offline(path) as client:
                assert [message.text async for message in client.chat(name).history()] == ["a", "c"]

    play(scene())


def test_what_was_read_offline_is_told_by_the_next_process(path: Path) -> None:
    async def scene() -> None:
        async with running() as double:
            name = await written(double, *"abc")
            async with alice(double, store=path) as client:
                await events(client, Message, 3)
            async with offline(path) as client:
                client.chat(name).read(3)
            async with alice(double, store=path):
                await double.until(lambda: double.reads[name]["alice"] == 3)

    play(scene())


def test_only_the_newest_messages_stay(path: Path) -> None:
    async def scene() -> None:
        async with running() as double:
            name = await written(double, *"abcdef")
            async with alice(double, store=path, keep=2) as client:
                await events(client, Message, 6)
            async with offline(path, keep=2) as client:
                assert [message.text async for message in client.chat(name).history()] == ["e", "f"]

    play(scene())


# Whose store it is ----------------------------------------------------------------------------------------------------


def test_a_store_is_not_opened_for_another_user_although_its_key_would_be_taken(path: Path) -> None:
    async def scene() -> None:
        async with running() as double:
            async with alice(double, store=path):
                pass
            links = len(double.connects)
            async with alice(double, store=path, token=jwt("mallory")) as client:
                with pytest.raises(LonglinkError) as caught:
                    await events(client, Message)
            assert caught.value.row is errors.TOKEN_FOREIGN
            assert "alice" in caught.value.message
            assert len(double.connects) == links

    play(scene())


def test_a_store_keeps_its_device(path: Path) -> None:
    async def scene() -> None:
        async with running() as double:
            async with alice(double, store=path) as client:
                device = client.device
            async with alice(double, store=path) as client:
                assert client.device == device
            with pytest.raises(LonglinkError) as caught:
                await longlink.connect(double.url, token="alice", store=path, device="another").__aenter__()
            assert caught.value.row is errors.CONFIG_INVALID

    play(scene())
