"""connect: who connects is known from then on; who comes back by key costs no look at the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from longlink import errors
from longlink.errors import LonglinkError
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Connect, Connected, Frame, body_name
from longlink.routing.calls import Call
from longlink.routing.sessions import Session

from .stage import NOON_MS, Stage, play


def resume(session: Session, received: int = 0) -> Frame:
    """As the gateway hands it over: in the place of the key the link that it names."""
    return Frame(connect=Connect(version=1, device=session.device, key=str(session.link), received=received))


def test_the_answer_says_who_the_session_is_and_what_the_server_expects(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        session = Session("alice", "phone", "", 2**52 - 1, 2**52 - 1, 0x2F, Encoding.BINARY)
        (answer,) = await stage.ask(session, Frame(connect=Connect(version=1, device="phone")))
        assert answer.connected == Connected(
            user="alice",
            device="phone",
            session="4503599627370495",
            heartbeat_ms=1_000,
            server_time=NOON_MS,
            max_frame_bytes=2_000,
            server="longlink/test",
            detached_ms=60_000,
            epoch=stage.store.epoch,
        )

    play(tmp_path, story)


def test_who_has_connected_can_be_written_to_by_others(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        await stage.enter("bob")
        assert await stage.direct(await stage.enter("alice"), "bob")

    play(tmp_path, story)


def test_the_silence_that_is_asked_for_is_agreed_on_within_bounds(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        session = await stage.enter("alice")
        frames = [Frame(connect=Connect(version=1, device="phone", heartbeat_ms=asked)) for asked in (1, 2_000, 9_000)]
        assert [answer.connected.heartbeat_ms for answer in await stage.ask(session, *frames)] == [500, 2_000, 3_000]

    play(tmp_path, story)


def test_who_comes_back_hears_whether_anything_was_missed(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        alice = await stage.enter("alice")
        for received, missed in ((0, False), (1, True)):
            (answer,) = await stage.ask(alice, resume(alice, received))
            assert (answer.connected.resumed, answer.connected.missed) == (True, missed)
        assert answer.connected.session == str(alice.id)

    play(tmp_path, story)


def test_a_session_that_has_ended_is_unknown(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        alice = await stage.enter("alice")
        stage.registrar.end("alice", None)
        (answer,) = await stage.ask(alice, resume(alice))
        assert answer.error.code == errors.SESSION_UNKNOWN.code

    play(tmp_path, story)


def test_a_store_that_cannot_write_refuses_new_sessions_and_lets_others_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: object) -> None:
        raise LonglinkError(errors.STORAGE_UNAVAILABLE, "the disk is full")

    async def story(stage: Stage) -> None:
        alice = await stage.enter("alice")
        monkeypatch.setattr(stage.store.users, "remember", refuse)
        new = Frame(id=1, connect=Connect(version=1, device="tab"))
        back = resume(alice)
        back.id = 2
        refused, connected = await stage.ask_together(Call(alice, new), Call(alice, back))
        assert refused.error.code == errors.STORAGE_UNAVAILABLE.code
        assert body_name(connected) == "connected"

    play(tmp_path, story)
