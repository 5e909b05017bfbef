"""What the client does when the server refuses, falls silent, breaks the link or says goodbye."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

import longlink
from longlink import errors
from longlink.client.events import Connected, Disconnected, Message, Reconnected
from longlink.errors import LonglinkError
from longlink.protocol.frames import body_name

from .double import running
from .scene import alice, events, play, seen

BUSY = LonglinkError(errors.OVERLOADED, "full", retry_after_ms=1)


# Sending --------------------------------------------------------------------------------------------------------------


def test_a_message_whose_answer_never_comes_is_sent_again_with_the_same_client_id() -> None:
    async def scene() -> None:
        async with running() as double, alice(double, resend_after=0.05) as client:
            chat = await client.direct("bob")
            double.muted.add("send")
            sending = asyncio.create_task(chat.send("hello"))
            await double.until(lambda: len([f for f in double.seen if body_name(f) == "send"]) == 2)
            double.muted.clear()
            sent = await sending
            ids = {frame.send.client_id for frame in double.seen if body_name(frame) == "send"}
            assert ids == {sent.client_id}
            assert double.texts(chat.id) == ["hello"]

    play(scene())


def test_a_message_that_was_stored_before_the_link_broke_is_answered_as_a_duplicate_and_stored_once() -> None:
    async def scene() -> None:
        async with running() as double, alice(double) as client:
            chat = await client.direct("bob")
            await double.append(chat.id, "alice", "one", "hello", None)
            double.muted.add("send")
            sending = asyncio.create_task(chat.send("hello", client_id="one"))
            await double.until(lambda: any(body_name(f) == "send" for f in double.seen))
            double.muted.clear()
            double.cut()
            sent = await sending
            assert (sent.seq, sent.duplicate, double.texts(chat.id)) == (1, True, ["hello"])

    play(scene())


def test_a_refusal_that_may_pass_never_lets_a_later_message_overtake() -> None:
    async def scene() -> None:
        async with running() as double, alice(double) as client:
            chat = await client.direct("bob")
            double.refusals.extend([BUSY, None, BUSY, BUSY, None])
            texts = [str(number) for number in range(10)]
            await asyncio.gather(*(chat.send(text) for text in texts))
            assert double.texts(chat.id) == texts

    play(scene())


def test_a_final_refusal_is_raised_and_the_messages_behind_it_go_on() -> None:
    async def scene() -> None:
        async with running() as double, alice(double) as client:
            chat = await client.direct("bob")
            double.refusals.append(LonglinkError(errors.NOT_A_MEMBER, "no"))
            first, second = await asyncio.gather(chat.send("1"), chat.send("2"), return_exceptions=True)
            assert isinstance(first, LonglinkError)
            assert first.row is errors.NOT_A_MEMBER
            assert not isinstance(second, BaseException)
            assert double.texts(chat.id) == ["2"]

    play(scene())


def test_a_send_that_nobody_answers_ends_with_a_typed_error_when_its_time_is_over() -> None:
    async def scene() -> None:
        async with running() as double, alice(double, send_timeout=0.05, flush_timeout=0.1) as client:
            chat = await client.direct("bob")
            double.muted.add("send")
            with pytest.raises(LonglinkError) as caught:
                await chat.send("hello")
            assert caught.value.row is errors.UNANSWERED

    play(scene())


def test_a_cancelled_send_is_not_tried_again() -> None:
    async def scene() -> None:
        async with running() as double, alice(double, resend_after=0.02) as client:
            chat = await client.direct("bob")
            double.refusals.extend([BUSY])
            double.muted.add("send")
            sending = asyncio.create_task(chat.send("given up"))
            await double.until(lambda: seen(double, "send"))
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            double.muted.clear()
            double.refusals.clear()
            await chat.send("next")
            assert double.texts(chat.id) == ["next"]

    play(scene())


def test_send_waits_when_too_much_is_unacknowledged() -> None:
    async def scene() -> None:
        async with running() as double, alice(double, max_pending=2) as client:
            chats = [client.chat(double.open("alice", f"bob{number}")) for number in range(4)]
            double.muted.add("send")
            sends = [asyncio.create_task(chat.send("x")) for chat in chats]
            await double.until(lambda: sum(body_name(f) == "send" for f in double.seen) == 2)
            assert len(client._outgoing.outbox) == 2
            double.muted.clear()
            double.cut()
            await asyncio.gather(*sends)

    play(scene())


def test_a_message_larger_than_the_server_takes_is_refused_before_it_is_sent() -> None:
    async def scene() -> None:
        async with running(max_frame_bytes=100) as double, alice(double) as client:
            with pytest.raises(LonglinkError) as caught:
                await client.chat("c").send("x" * 100)
            assert caught.value.row is errors.FRAME_TOO_LARGE
            with pytest.raises(LonglinkError) as caught:
                await client.chat("c").send("")
            assert caught.value.row is errors.FIELD_INVALID

    play(scene())


def test_leaving_waits_for_what_is_unacknowledged() -> None:
    async def scene() -> None:
        async with running() as double:
            async with alice(double, resend_after=0.05) as client:
                chat = await client.direct("bob")
                double.muted.add("send")
                sending = asyncio.create_task(chat.send("hello"))
                await double.until(lambda: any(body_name(f) == "send" for f in double.seen))
                double.muted.clear()
            assert (await sending).seq == 1

    play(scene())


def test_leaving_does_not_wait_for_ever_and_says_what_became_of_the_rest() -> None:
    async def scene() -> None:
        async with running() as double:
            async with alice(double, flush_timeout=0.05) as client:
                chat = await client.direct("bob")
                double.muted.add("send")
                sending = asyncio.create_task(chat.send("hello"))
                await double.until(lambda: any(body_name(f) == "send" for f in double.seen))
            with pytest.raises(LonglinkError) as caught:
                await sending
            assert caught.value.row in (errors.UNANSWERED, errors.DISCONNECTED)
            with pytest.raises(LonglinkError):
                await chat.send("after the end")

    play(scene())


# Receiving ------------------------------------------------------------------------------------------------------------


def test_a_push_that_was_dropped_is_found_after_missed() -> None:
    async def scene() -> None:
        async with running() as double, alice(double) as client:
            chat = await client.direct("bob")
            double.pushes = False
            for text in "abcde":
                await double.write(chat.id, "bob", text)
            await double.missed()
            assert [message.text for message in await events(client, Message, 5)] == list("abcde")

    play(scene())


def test_a_push_that_was_dropped_is_found_by_the_gap_before_the_next_one() -> None:
    async def scene() -> None:
        async with running() as double, alice(double) as client:
            chat = await client.direct("bob")
            double.pushes = False
            for text in "abc":
                await double.write(chat.id, "bob", text)
            double.pushes = True
            await double.write(chat.id, "bob", "d")
            assert [message.text for message in await events(client, Message, 4)] == list("abcd")

    play(scene())


def test_what_came_while_the_link_was_down_is_handed_out_after_it_is_back() -> None:
    async def scene() -> None:
        async with running() as double, alice(double) as client:
            chats = [await client.direct(f"bob{number}") for number in range(3)]
            double.cut()
            await double.until(lambda: not double.lines)
            for chat in chats:
                for text in "abc":
                    await double.write(chat.id, "bob", text)
            found = await events(client, Message, 9)
            for chat in chats:
                assert [m.text for m in found if m.conversation == chat.id] == list("abc")

    play(scene())


def test_an_application_that_reads_late_gets_everything_in_order() -> None:
    async def scene() -> None:
        async with running() as double, alice(double, max_events=4) as client:
            chat = await client.direct("bob")
            for number in range(50):
                await double.write(chat.id, "bob", str(number))
            await chat.send("still alive")
            found = await events(client, Message, 50)
            assert [message.text for message in found] == [str(number) for number in range(50)]

    play(scene())


def test_what_was_handed_out_is_acknowledged_and_what_was_not_is_not() -> None:
    async def scene() -> None:
        async with running() as double:
            name = double.open("alice", "bob")
            for text in "abc":
                await double.write(name, "bob", text)
            async with alice(double) as client:
                assert [m.text for m in await events(client, Message, 2)] == ["a", "b"]
            assert double.members[name]["alice"] == 2
            async with alice(double) as client:
                assert [m.text for m in await events(client, Message, 1)] == ["c"]

    play(scene())


def test_without_auto_ack_only_the_application_acknowledges() -> None:
    async def scene() -> None:
        async with running() as double:
            name = double.open("alice", "bob")
            for text in "abc":
                await double.write(name, "bob", text)
            async with alice(double, auto_ack=False) as client:
                found = await events(client, Message, 3)
                await client.ack(found[0])
            assert double.members[name]["alice"] == 1

    play(scene())


# The link -------------------------------------------------------------------------------------------------------------


def test_silence_is_filled_with_heartbeats() -> None:
    async def scene() -> None:
        async with running(heartbeat_ms=50) as double, alice(double):
            await double.until(lambda: double.heartbeats >= 3)
            assert len(double.connects) == 1

    play(scene())


def test_a_half_dead_link_is_given_up_and_replaced() -> None:
    async def scene() -> None:
        async with running(heartbeat_ms=40) as double, alice(double, dead_after=0.2) as client:
            double.deaf = True
            await double.until(lambda: double.heartbeats >= 1)
            down = await events(client, Disconnected, 1)
            assert "silent" in down[0].error.message
            double.deaf = False
            assert await events(client, Reconnected, 1)

    play(scene())


def test_the_servers_wait_is_respected_after_closing() -> None:
    async def scene() -> None:
        async with running() as double, alice(double) as client:
            await double.close(LonglinkError(errors.DRAINING, "bye", retry_after_ms=300))
            (down,) = await events(client, Disconnected, 1)
            assert down.error.row is errors.DRAINING
            assert 0.3 <= down.retry_in_s <= 0.55
            assert await events(client, Reconnected, 1)

    play(scene())


def test_a_final_close_is_raised_out_of_the_iteration_and_of_every_waiting_call() -> None:
    async def scene() -> None:
        async with running() as double, alice(double) as client:
            chat = await client.direct("bob")
            double.muted |= {"send", "open_direct"}
            waiting = [asyncio.create_task(chat.send("x")), asyncio.create_task(client.direct("carol"))]
            await double.until(lambda: sum(body_name(f) in ("send", "open_direct") for f in double.seen) == 3)
            await double.close(LonglinkError(errors.REPLACED, "another one"))
            with pytest.raises(LonglinkError) as caught:
                await events(client, Message, 1)
            assert caught.value.row is errors.REPLACED
            for outcome in await asyncio.gather(*waiting, return_exceptions=True):
                assert isinstance(outcome, LonglinkError)
                assert outcome.row is errors.REPLACED
            with pytest.raises(LonglinkError):
                await chat.send("later")

    play(scene())


def test_states_are_told_as_events_and_to_the_callback() -> None:
    told: list[object] = []

    async def scene() -> None:
        async with running() as double, alice(double, on_state=told.append) as client:
            double.cut()
            assert await events(client, Reconnected, 1)

    play(scene())
    assert [type(state) for state in told] == [Connected, Disconnected, Reconnected]


def test_a_defect_in_the_callback_reaches_the_handler_of_the_loop_and_the_client_goes_on() -> None:
    def broken(state: object) -> None:
        raise ZeroDivisionError

    async def scene() -> None:
        caught: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: caught.append(context["exception"]))
        async with running() as double, alice(double, on_state=broken) as client:
            assert (await (await client.direct("bob")).send("hello")).seq == 1
        assert [type(error) for error in caught] == [ZeroDivisionError]

    play(scene())


# The first connection and tokens --------------------------------------------------------------------------------------


def test_a_server_that_is_not_there_is_an_error_that_says_so_after_the_timeout() -> None:
    async def scene() -> None:
        async with running() as double:
            url = double.url
        with pytest.raises(LonglinkError) as caught:
            async with longlink.connect(url, token="alice", connect_timeout=0.1):
                pass
        assert caught.value.row is errors.DISCONNECTED
        assert url in caught.value.message

    play(scene())


def test_a_refused_token_is_raised_at_once() -> None:
    async def scene() -> None:
        async with running() as double:
            double.connect_refusals.append(LonglinkError(errors.TOKEN_INVALID, "bad signature"))
            with pytest.raises(LonglinkError) as caught:
                async with alice(double):
                    pass
            assert caught.value.row is errors.TOKEN_INVALID
            assert len(double.connects) == 1

    play(scene())


def test_an_expired_token_is_replaced_once_by_the_token_function() -> None:
    tokens = iter(["old", "alice"])

    async def fresh() -> str:
        return next(tokens)

    async def scene() -> None:
        async with running() as double:
            double.connect_refusals.append(LonglinkError(errors.TOKEN_EXPIRED, "old"))
            async with alice(double, token=fresh) as client:
                assert client.user == "alice"
            assert [frame.connect.token for frame in double.connects] == ["old", "alice"]

    play(scene())


def test_a_second_token_that_is_refused_as_well_is_final() -> None:
    async def scene() -> None:
        async with running() as double:
            double.connect_refusals.extend([LonglinkError(errors.TOKEN_EXPIRED, "old")] * 3)
            with pytest.raises(LonglinkError) as caught:
                async with alice(double, token=lambda: "old"):
                    pass
            assert caught.value.row is errors.TOKEN_EXPIRED
            assert len(double.connects) == 2

    play(scene())


def test_a_token_function_cannot_turn_a_client_into_another_user() -> None:
    tokens = iter(["alice", "mallory"])

    async def scene() -> None:
        async with running() as double, alice(double, token=lambda: next(tokens)) as client:
            double.keys.clear()
            double.cut()
            with pytest.raises(LonglinkError) as caught:
                await events(client, Message, 1)
            assert caught.value.row is errors.TOKEN_FOREIGN

    play(scene())


def test_a_token_function_that_fails_is_tried_again() -> None:
    answers: Iterator[OSError | str] = iter([OSError("host is down"), "alice"])

    def token() -> str:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    async def scene() -> None:
        async with running() as double, alice(double, token=token) as client:
            assert client.user == "alice"

    play(scene())


def test_the_json_encoding_does_all_the_same() -> None:
    async def scene() -> None:
        async with running() as double, alice(double, encoding="json") as client:
            chat = await client.direct("bob")
            assert (await chat.send("hello")).seq == 1
            await double.write(chat.id, "bob", "hi")
            assert [message.text for message in await events(client, Message, 1)] == ["hi"]

    play(scene())


# Reading back ---------------------------------------------------------------------------------------------------------


def test_history_pages_under_the_hood_oldest_first_and_last_gives_the_newest() -> None:
    async def scene() -> None:
        async with running() as double, alice(double) as client:
            chat = await client.direct("bob")
            for number in range(7):
                await double.write(chat.id, "bob", str(number))
            assert [message.text async for message in chat.history()] == list("0123456")
            assert [message.seq async for message in chat.history(after=5)] == [6, 7]
            assert [message.text for message in await chat.last(3)] == list("456")
            assert [message.text for message in await chat.last(50)] == list("0123456")

    play(scene())


def test_chats_lists_every_page() -> None:
    async def scene() -> None:
        async with running() as double, alice(double) as client:
            for number in range(5):
                await client.direct(f"bob{number}")
            assert {chat.peer for chat in await client.chats()} == {f"bob{number}" for number in range(5)}

    play(scene())


def test_a_call_made_while_the_link_is_down_is_answered_when_it_is_back() -> None:
    async def scene() -> None:
        async with running() as double, alice(double) as client:
            double.cut()
            await double.until(lambda: not double.lines)
            assert (await client.direct("bob")).peer == "bob"

    play(scene())
