"""What the operator sees of sessions, and how he ends them."""

from __future__ import annotations

from pathlib import Path

import pytest

from longlink.errors import LonglinkError
from longlink.logic.operate import end_sessions, show_sessions

from .stage import GATEWAY, Stage, play


def test_the_operator_sees_who_is_there_and_who_waits_and_for_how_long(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        phone, tab = await stage.enter("alice", "phone"), await stage.enter("alice", "tab")
        await stage.sessions.reach(["alice"], 0)
        stage.sessions.remove(tab)
        same = {"platform": "", "gateway": GATEWAY, "background": False, "events": 1, "missed": False}
        assert show_sessions(stage.registrar, "alice") == [
            {"session": str(phone.id), "device": "phone", "attached": True, "waits_s": 0.0} | same,
            {"session": str(tab.id), "device": "tab", "attached": False, "waits_s": 300.0} | same,
        ]
        assert show_sessions(stage.registrar, "nobody") == []

    play(tmp_path, story)


def test_the_operator_ends_one_device_or_all(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        for device in ("phone", "tab", "web"):
            await stage.enter("alice", device)
        assert end_sessions(stage.registrar, "alice", "tab") == 1
        assert end_sessions(stage.registrar, "alice", "tab") == 0
        assert end_sessions(stage.registrar, "alice", None) == 2
        assert len(stage.ended()) == 3

    play(tmp_path, story)


def test_what_is_no_user_is_refused(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        with pytest.raises(LonglinkError, match="user: expected 1 to 64 bytes"):
            show_sessions(stage.registrar, "")
        with pytest.raises(LonglinkError, match="user: expected 1 to 64 bytes"):
            end_sessions(stage.registrar, " alice", None)

    play(tmp_path, story)
