"""ack: marks only rise, and who may know hears of each rise once. Read next: test_read_history.py."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from longlink import errors
from longlink.logic import commands
from longlink.logic.services import RECEIPTS
from longlink.protocol.frames import Ack, Acked, Delivered, Frame, Mark, Marked, OpenDirect, Read
from longlink.routing.calls import Call

from .stage import Stage, play, text


def ack(conversation: str, seq: int, read: int = 0) -> Frame:
    return Frame(ack=Ack(conversation=conversation, seq=seq, read=read))


def group(*marks: tuple[str, int, int]) -> Frame:
    return Frame(ack=Ack(marks=[Mark(conversation=name, seq=seq, read=read) for name, seq, read in marks]))


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
        await stage.ask(alice, text(conversation, "2"))
        await stage.ask(bob, text(conversation, "1"))
        stage.heard()
        await stage.ask_together(Call(alice, ack(conversation, 2)), Call(bob, ack(conversation, 1)))
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


def test_a_read_mark_is_told_to_the_others_and_to_the_own_devices_and_stands_for_the_delivered_one(
    tmp_path: Path,
) -> None:
    async def story(stage: Stage) -> None:
        bob, tablet, alice = await stage.enter("bob"), await stage.enter("bob", "tablet"), await stage.enter("alice")
        conversation = await stage.direct(alice, "bob")
        await stage.ask(alice, *(text(conversation, f"{n}") for n in range(6)))
        stage.heard()
        (answer,) = await stage.ask(bob, ack(conversation, 0, 2))
        assert answer.acked == Acked(conversation=conversation, seq=2, read=2)
        told = Frame(read=Read(conversation=conversation, user="bob", seq=2))
        assert sorted(stage.heard(), key=lambda heard: heard[0]) == [
            (tablet.connection, told),
            (alice.connection, told),
        ]
        (answer,) = await stage.ask(bob, ack(conversation, 5, 3))
        assert answer.acked == Acked(conversation=conversation, seq=5, read=3)
        read = Frame(read=Read(conversation=conversation, user="bob", seq=3))
        delivered = Frame(delivered=Delivered(conversation=conversation, user="bob", seq=5))
        heard = stage.heard()
        assert [frame for to, frame in heard if to == alice.connection] == [read, delivered]
        assert [frame for to, frame in heard if to == tablet.connection] == [read]
        await stage.ask(bob, ack(conversation, 5, 5))
        assert {frame.read.seq for _, frame in stage.heard()} == {5}
        await stage.ask(bob, ack(conversation, 4, 4), ack(conversation, 5, 5), ack(conversation, 0, 1))
        assert stage.heard() == []
        assert stage.counts.marks == 3

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("receipts", "told", "shown"),
    [("read", ["read"], (2, 2)), ("delivered", ["delivered"], (2, 0)), ("none", [], (0, 0))],
)
def test_members_see_of_each_other_what_the_setting_allows_and_own_devices_all(
    tmp_path: Path, receipts: str, told: list[str], shown: tuple[int, int]
) -> None:
    async def story(stage: Stage) -> None:
        bob, tablet, alice = await stage.enter("bob"), await stage.enter("bob", "tablet"), await stage.enter("alice")
        conversation = await stage.direct(alice, "bob")
        await stage.ask(alice, text(conversation, "1"), text(conversation, "2"))
        stage.heard()
        handle = commands.handler(dataclasses.replace(stage.services, receipts=RECEIPTS[receipts]))
        await handle([Call(bob, ack(conversation, 1, 2))])
        heard = stage.heard()
        assert [frame.WhichOneof("body") for to, frame in heard if to == alice.connection] == told
        assert [frame.read.seq for to, frame in heard if to == tablet.connection] == [2]
        for session, peer, seen in ((alice, "bob", shown), (bob, "alice", (2, 2))):
            (reply,) = await handle([Call(session, Frame(id=1, open_direct=OpenDirect(user=peer)))])
            members = {
                one.user: (one.delivered, one.read) for one in Frame.FromString(reply.payload).conversation.members
            }
            assert members["bob"] == seen

    play(tmp_path, story)


def test_many_marks_are_one_answer_in_which_each_is_taken_or_refused_for_itself(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        bob, alice, carol = await stage.enter("bob"), await stage.enter("alice"), await stage.enter("carol")
        one, two = await stage.direct(alice, "bob"), await stage.direct(carol, "bob")
        foreign = await stage.direct(alice, "carol")
        await stage.ask(alice, text(one, "1"), text(one, "2"))
        await stage.ask(carol, text(two, "1"))
        stage.heard()
        marks = [(one, 1, 0), (two, 2, 0), ("d_no_such", 1, 1), (foreign, 1, 0), (two, 0, 1), (one, 1, 9), (one, 2, 0)]
        (answer,) = await stage.ask(bob, group(*marks))
        assert list(answer.acked.marks) == [
            Marked(conversation=one, seq=1),
            Marked(conversation=two, code=errors.SEQ_AHEAD.code),
            Marked(conversation="d_no_such", code=errors.CONVERSATION_UNKNOWN.code),
            Marked(conversation=foreign, code=errors.NOT_A_MEMBER.code),
            Marked(conversation=two, seq=1, read=1),
            Marked(conversation=one, code=errors.SEQ_AHEAD.code),
            Marked(conversation=one, seq=2),
        ]
        assert (answer.acked.conversation, answer.acked.seq, answer.acked.read) == ("", 0, 0)
        assert [(to, frame.WhichOneof("body")) for to, frame in stage.heard()] == [
            (alice.connection, "delivered"),
            (carol.connection, "read"),
            (alice.connection, "delivered"),
        ]
        assert stage.counts.errors == {
            errors.SEQ_AHEAD.name: 2,
            errors.CONVERSATION_UNKNOWN.name: 1,
            errors.NOT_A_MEMBER.name: 1,
        }

    play(tmp_path, story)


def test_marks_beyond_the_share_of_their_user_are_answered_with_overloaded(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        bob, alice = await stage.enter("bob"), await stage.enter("alice")
        conversation = await stage.direct(alice, "bob")
        await stage.ask(alice, text(conversation, "1"))
        calls = 20_000 // 200
        answers = await stage.ask(bob, *[group(*[(conversation, 1, 1)] * 200) for _ in range(calls)])
        whole = 20_000 // 8 // 200
        assert [len(answer.acked.marks) for answer in answers[:whole]] == [200] * whole
        part = [mark.code for mark in answers[whole].acked.marks]
        assert part == [0] * 100 + [errors.OVERLOADED.code] * 100
        for answer in answers[whole + 1 :]:
            assert answer.error.code == errors.OVERLOADED.code
            assert answer.error.retry_after_ms

    play(tmp_path, story)
