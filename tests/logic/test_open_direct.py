"""open_direct: the one conversation of two users. Read next: test_connect.py."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from longlink import errors
from longlink.errors import LonglinkError
from longlink.protocol.frames import Frame, ListConversations, OpenDirect, Sync
from longlink.routing.sessions import Session
from longlink.storage.base import Opened

from .stage import Stage, play, text


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


def test_anybody_can_be_written_to_before_they_connect(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        alice = await stage.enter("alice")
        chat = await stage.direct(alice, "carol")
        await stage.ask(alice, text(chat, "welcome"))
        carol = await stage.enter("carol")
        assert await stage.direct(carol, "alice") == chat
        (shown,) = await stage.ask(carol, Frame(sync=Sync()))
        assert [message.client_id for message in shown.synced.changes[0].messages] == ["welcome"]

    play(tmp_path, story)


def test_a_server_that_refuses_unknown_users_refuses_them_alone(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        _, alice = await stage.enter("bob"), await stage.enter("alice")
        unknown, known = await stage.ask(alice, _open("nobody"), _open("bob"))
        assert unknown.error.name == errors.USER_UNKNOWN.name
        assert known.conversation.id

    play(tmp_path, story, accept_unknown=False)


def test_a_conversation_without_messages_is_listed_to_its_creator_only(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        alice, bob = await stage.enter("alice"), await stage.enter("bob")
        chat = await stage.direct(alice, "bob")
        assert [await _listed(stage, who) for who in (alice, bob)] == [[chat], []]
        await stage.ask(alice, text(chat, "hello"))
        assert [await _listed(stage, who) for who in (alice, bob)] == [[chat], [chat]]

    play(tmp_path, story)


def test_a_user_creates_so_many_conversations_and_opens_existing_ones_freely(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        alice, bob = await stage.enter("alice"), await stage.enter("bob")
        await stage.direct(bob, "alice")
        for _ in range(5):
            await stage.direct(alice, "bob")
        for peer in ("carol", "dave", "erin"):
            await stage.direct(alice, peer)
        refused, known = await stage.ask(alice, _open("frank"), _open("carol"))
        assert (refused.error.name, known.error.name) == (errors.RATE_LIMITED.name, "")
        assert refused.error.retry_after_ms == 3_600_000 // 3
        assert stage.counts.quota_refused == 1

    play(tmp_path, story, new_conversations=3)


@pytest.mark.parametrize("failure", [errors.STORAGE_UNAVAILABLE, errors.OVERLOADED])
def test_a_conversation_that_the_store_could_not_create_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: errors.Row
) -> None:
    async def story(stage: Stage) -> None:
        alice = await stage.enter("alice")
        with monkeypatch.context() as broken:
            broken.setattr(stage.store.conversations, "open_direct", _failing(failure))
            for _ in range(5):
                (refused,) = await stage.ask(alice, _open("bob"))
                assert refused.error.name == failure.name
        await stage.direct(alice, "bob")

    play(tmp_path, story, new_conversations=1)


def test_names_cannot_be_tried_without_end_where_unknown_users_are_refused(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        _, alice = await stage.enter("known"), await stage.enter("alice")
        answers = await stage.ask(alice, *[_open(f"name-{number}") for number in range(3)], _open("known"))
        assert [answer.error.name for answer in answers] == [errors.USER_UNKNOWN.name] * 3 + [errors.RATE_LIMITED.name]

    play(tmp_path, story, accept_unknown=False, new_conversations=3)


async def _listed(stage: Stage, session: Session) -> list[str]:
    listed, synced = [
        *await stage.ask(session, Frame(list_conversations=ListConversations())),
        *await stage.ask(session, Frame(sync=Sync())),
    ]
    ids = [conversation.id for conversation in listed.conversations.conversations]
    assert [change.conversation.id for change in synced.synced.changes] == ids
    return ids


def _failing(failure: errors.Row) -> Callable[..., Awaitable[Opened]]:
    async def open_direct(*_: object, **__: object) -> Opened:
        raise LonglinkError(failure, "not now")

    return open_direct
