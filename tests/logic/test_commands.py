"""The table of commands: complete, and never silent about a failure. Read next: stage.py."""

from __future__ import annotations

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
