"""The table of commands: complete, and never silent about a failure. Read next: stage.py."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from longlink import errors
from longlink.errors import LonglinkError
from longlink.logic import commands
from longlink.logic.services import Services
from longlink.protocol.frames import REQUESTS, Frame, ListConversations
from longlink.routing.calls import Call
from longlink.routing.work import Accounts

from .stage import Stage, play, text


def test_every_request_of_the_protocol_has_a_command() -> None:
    assert set(commands.TABLE) == set(REQUESTS)


def test_a_defect_answers_every_call_with_internal_and_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: Services, __: Sequence[Call]) -> list[Frame]:
        raise ZeroDivisionError("a defect")

    async def story(stage: Stage) -> None:
        alice = await stage.enter("alice")
        monkeypatch.setitem(commands.TABLE, "send", broken)
        answers = await stage.ask(alice, text("d_any", "1"), text("d_any", "2"))
        assert [answer.error.code for answer in answers] == [errors.INTERNAL.code] * 2
        assert "a defect" not in answers[0].error.message, "the client learns nothing of the inside"
        assert stage.counts.errors == {errors.INTERNAL.name: 2}

    with caplog.at_level(logging.ERROR):
        play(tmp_path, story)
    assert [record.message for record in caplog.records] == ["command_failed"]
    assert caplog.records[0].exc_info is not None


def test_an_error_of_the_whole_batch_answers_every_call_and_pushes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refusing(_: Services, __: Sequence[Call]) -> list[Frame]:
        raise LonglinkError(errors.STORAGE_UNAVAILABLE, "the disk is full", retry_after_ms=700)

    async def story(stage: Stage) -> None:
        alice = await stage.enter("alice")
        monkeypatch.setitem(commands.TABLE, "send", refusing)
        answers = await stage.ask(alice, text("d_any", "1"), text("d_any", "2"))
        assert [(answer.error.name, answer.error.retry_after_ms) for answer in answers] == [
            (errors.STORAGE_UNAVAILABLE.name, 700)
        ] * 2
        assert stage.heard() == []

    play(tmp_path, story)


def test_replies_carry_the_ids_of_their_requests(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        alice, bob = await stage.enter("alice"), await stage.enter("bob")
        calls = [
            Call(session, Frame(id=id_, list_conversations=ListConversations()))
            for session, id_ in ((alice, 2**32 - 1), (bob, 7), (alice, 7))
        ]
        assert [answer.id for answer in await stage.ask_together(*calls)] == [2**32 - 1, 7, 7]

    play(tmp_path, story)


def test_an_error_holds_nothing_of_the_calls_that_it_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = LonglinkError(errors.OVERLOADED, "too many writes wait")

    async def refusing(_: Services, __: Sequence[Call]) -> list[Frame]:
        waiting = asyncio.get_running_loop().create_future()
        waiting.set_exception(refused)
        return [await waiting]

    async def story(stage: Stage) -> None:
        alice = await stage.enter("alice")
        monkeypatch.setitem(commands.TABLE, "send", refusing)
        await stage.ask(alice, text("d_any", "1"))
        assert refused.__traceback__ is None, "or the calls stay in memory until the collector looks"

    play(tmp_path, story)


def test_a_user_whose_account_is_overdrawn_is_refused_call_by_call(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        alice, bob = await stage.enter("alice"), await stage.enter("bob")
        for _ in range(3):
            stage.services.accounts.charge("alice", 60)
        requests = [(alice, 1), (bob, 2), (alice, 3)]
        calls = [Call(who, Frame(id=id_, list_conversations=ListConversations(limit=1))) for who, id_ in requests]
        replies = [Frame.FromString(reply.payload) for reply in await commands.handler(stage.services)(calls)]
        assert [(reply.id, reply.error.code) for reply in replies] == [
            (1, errors.RATE_LIMITED.code),
            (2, 0),
            (3, errors.RATE_LIMITED.code),
        ]
        assert replies[0].error.retry_after_ms > 0
        assert stage.counts.account_refused == 2

    play(tmp_path, story, accounts=Accounts(100, 100, lambda: 0.0))
