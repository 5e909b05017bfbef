"""adjust: a client in the background gets no events, and hears at its return whether there were any."""

from __future__ import annotations

from pathlib import Path

from longlink.protocol.frames import Adjust, Frame, body_name

from .stage import Stage, play, text


def test_events_are_left_out_in_the_background_and_the_foreground_begins_with_missed(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        alice, bob = await stage.enter("alice"), await stage.enter("bob")
        conversation = await stage.direct(alice, "bob")
        (answer,) = await stage.ask(bob, Frame(adjust=Adjust(background=True, heartbeat_ms=9_000)))
        assert answer.adjusted.heartbeat_ms == 3_000
        await stage.ask(alice, text(conversation, "1"))
        assert stage.heard() == []
        (answer,) = await stage.ask(bob, Frame(adjust=Adjust()))
        assert answer.adjusted.heartbeat_ms == 1_000
        await stage.ask(alice, text(conversation, "2"))
        heard = [(connection, body_name(frame)) for connection, frame in stage.heard()]
        assert heard == [(bob.connection, "missed"), (bob.connection, "message")]

    play(tmp_path, story)


def test_nothing_left_out_is_nothing_missed(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        bob = await stage.enter("bob")
        await stage.ask(bob, Frame(adjust=Adjust(background=True)))
        await stage.ask(bob, Frame(adjust=Adjust()))
        assert stage.heard() == []

    play(tmp_path, story)
