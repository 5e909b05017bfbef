"""send: one commit, one answer a call, one push a message. Read next: test_ack.py."""

from __future__ import annotations

from pathlib import Path

from longlink import errors
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Content, Frame, Message, Sent
from longlink.routing.calls import Call

from .stage import NOON_MS, Stage, play, text


def test_a_message_is_answered_and_pushed_to_all_others(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        bob, phone = await stage.enter("bob", encoding=Encoding.TEXT), await stage.enter("alice")
        laptop = await stage.enter("alice", "laptop")
        conversation = await stage.direct(phone, "bob")
        (answer,) = await stage.ask(phone, text(conversation, "1", "hello"))
        assert answer.sent == Sent(
            conversation=conversation, seq=1, client_id="1", sent_at=NOON_MS, stamp=answer.sent.stamp
        )
        assert answer.sent.stamp > 0
        message = Message(
            conversation=conversation,
            seq=1,
            sender="alice",
            client_id="1",
            sent_at=NOON_MS,
            content=Content(text="hello"),
            stamp=answer.sent.stamp,
        )
        expected = Frame(message=message)
        assert sorted(stage.heard(), key=lambda heard: heard[0]) == [
            (bob.connection, expected),
            (laptop.connection, expected),
        ]
        assert (stage.counts.messages, stage.counts.deliveries, stage.counts.duplicates) == (1, 2, 0)

    play(tmp_path, story)


def test_a_batch_is_pushed_in_the_order_of_its_seqs(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        bob, alice = await stage.enter("bob"), await stage.enter("alice")
        conversation = await stage.direct(alice, "bob")
        answers = await stage.ask(alice, *(text(conversation, f"{n}") for n in range(50)))
        assert [answer.sent.seq for answer in answers] == list(range(1, 51))
        assert [(to, frame.message.seq) for to, frame in stage.heard()] == [(bob.connection, n) for n in range(1, 51)]

    play(tmp_path, story)


def test_a_resend_is_answered_like_the_first_time_and_pushed_to_nobody(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        _, alice = await stage.enter("bob"), await stage.enter("alice")
        conversation = await stage.direct(alice, "bob")
        first, again = await stage.ask(alice, text(conversation, "1"), text(conversation, "1"))
        (later,) = await stage.ask(alice, text(conversation, "1"))
        for answer in (again, later):
            assert answer.sent.duplicate
            answer.sent.duplicate = False
            assert answer.sent == first.sent
        assert len(stage.heard()) == 1
        assert (stage.counts.messages, stage.counts.duplicates) == (1, 2)

    play(tmp_path, story)


def test_one_bad_call_of_a_batch_fails_alone(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        bob, alice, eve = await stage.enter("bob"), await stage.enter("alice"), await stage.enter("eve")
        conversation = await stage.direct(alice, "bob")
        answers = await stage.ask_together(
            Call(alice, text(conversation, "1", "one")),
            Call(eve, text(conversation, "1", "let me in")),
            Call(alice, text("d_no_such", "2", "two")),
            Call(alice, text(conversation, "1", "another one")),
            Call(alice, text(conversation, "3", "three")),
        )
        assert [answer.error.name or answer.sent.seq for answer in answers] == [
            1,
            errors.NOT_A_MEMBER.name,
            errors.CONVERSATION_UNKNOWN.name,
            errors.CONTENT_DIFFERS.name,
            2,
        ]
        assert [(to, frame.message.content.text) for to, frame in stage.heard()] == [
            (bob.connection, "one"),
            (bob.connection, "three"),
        ]
        assert stage.counts.errors == {
            errors.NOT_A_MEMBER.name: 1,
            errors.CONVERSATION_UNKNOWN.name: 1,
            errors.CONTENT_DIFFERS.name: 1,
        }

    play(tmp_path, story)


def test_the_sender_is_the_user_of_the_session_whatever_the_frame_says(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        bob, alice = await stage.enter("bob"), await stage.enter("alice")
        conversation = await stage.direct(alice, "bob")
        await stage.ask_together(Call(alice, text(conversation, "1")), Call(bob, text(conversation, "1")))
        heard = {to: (frame.message.sender, frame.message.seq) for to, frame in stage.heard()}
        assert heard == {bob.connection: ("alice", 1), alice.connection: ("bob", 2)}

    play(tmp_path, story)
