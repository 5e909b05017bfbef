"""ack: marks only rise, and the others hear of each rise once. Read next: test_read_history.py."""

from __future__ import annotations

from pathlib import Path

from longlink import errors
from longlink.protocol.frames import Ack, Acked, Delivered, Frame
from longlink.routing.calls import Call

from .stage import Stage, play, text


def ack(conversation: str, seq: int) -> Frame:
    return Frame(ack=Ack(conversation=conversation, seq=seq))


def test_a_mark_that_rises_is_told_to_the_other_members_only(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        bob, tablet, alice = await stage.enter("bob"), await stage.enter("bob", "tablet"), await stage.enter("alice")
        conversation = await stage.direct(alice, "bob")
        await stage.ask(alice, *(text(conversation, f"{n}") for n in range(3)))
        stage.heard()
        answers = await stage.ask(bob, ack(conversation, 2), ack(conversation, 2), ack(conversation, 1))
        assert [answer.acked for answer in answers] == [Acked(conversation=conversation, seq=2)] * 3
        told = Frame(delivered=Delivered(conversation=conversation, user="bob", seq=2))
        assert stage.heard() == [(alice.connection, told)]
        (answer,) = await stage.ask(tablet, ack(conversation, 3))
        assert answer.acked.seq == 3
        assert [frame.delivered.seq for _, frame in stage.heard()] == [3]
        assert stage.counts.marks == 2

    play(tmp_path, story)


def test_each_user_has_a_mark_of_his_own(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        bob, alice = await stage.enter("bob"), await stage.enter("alice")
        conversation = await stage.direct(alice, "bob")
        await stage.ask(alice, text(conversation, "1"))
        stage.heard()
        await stage.ask_together(Call(alice, ack(conversation, 1)), Call(bob, ack(conversation, 1)))
        assert {to: frame.delivered.user for to, frame in stage.heard()} == {
            bob.connection: "alice",
            alice.connection: "bob",
        }

    play(tmp_path, story)


def test_a_mark_ahead_of_the_head_or_of_a_stranger_is_refused_alone(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        bob, alice, eve = await stage.enter("bob"), await stage.enter("alice"), await stage.enter("eve")
        conversation = await stage.direct(alice, "bob")
        await stage.ask(alice, text(conversation, "1"))
        stage.heard()
        answers = await stage.ask_together(
            Call(bob, ack(conversation, 2)),
            Call(eve, ack(conversation, 1)),
            Call(bob, ack("d_no_such", 1)),
            Call(bob, ack(conversation, 1)),
        )
        assert [answer.error.name for answer in answers] == [
            errors.SEQ_AHEAD.name,
            errors.NOT_A_MEMBER.name,
            errors.CONVERSATION_UNKNOWN.name,
            "",
        ]
        assert [frame.delivered.seq for _, frame in stage.heard()] == [1]

    play(tmp_path, story)
