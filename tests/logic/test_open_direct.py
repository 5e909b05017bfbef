"""open_direct: the one conversation of two users. Read next: test_connect.py."""

from __future__ import annotations

from pathlib import Path

from longlink import errors
from longlink.protocol.frames import Frame, OpenDirect

from .stage import Stage, play


def _open(user: str) -> Frame:
    return Frame(open_direct=OpenDirect(user=user))


def test_both_users_get_the_same_conversation_however_often_they_ask(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        bob, alice = await stage.enter("bob"), await stage.enter("alice")
        answers = [*await stage.ask(alice, _open("bob"), _open("bob")), *await stage.ask(bob, _open("alice"))]
        assert len({answer.conversation.id for answer in answers}) == 1
        assert {member.user for member in answers[0].conversation.members} == {"alice", "bob"}
        assert stage.heard() == [], "an empty conversation is nobody's news"

    play(tmp_path, story)


def test_a_user_who_never_connected_is_refused_alone(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        _, alice = await stage.enter("bob"), await stage.enter("alice")
        unknown, known = await stage.ask(alice, _open("nobody"), _open("bob"))
        assert unknown.error.name == errors.USER_UNKNOWN.name
        assert known.conversation.id

    play(tmp_path, story)
