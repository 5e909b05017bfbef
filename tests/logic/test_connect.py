"""connect: who connects is known from then on. Read next: test_commands.py."""

from __future__ import annotations

from pathlib import Path

from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Connect, Connected, Frame
from longlink.routing.sessions import Session

from .stage import NOON_MS, Stage, play


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
        )

    play(tmp_path, story)


def test_who_has_connected_can_be_written_to_by_others(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        await stage.enter("bob")
        assert await stage.direct(await stage.enter("alice"), "bob")

    play(tmp_path, story)
