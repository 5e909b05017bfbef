"""logout: the session has ended when it is answered, and all of the user's with `everywhere`."""

from __future__ import annotations

from pathlib import Path

import pytest

from longlink import errors
from longlink.errors import LonglinkError
from longlink.protocol.frames import Frame, Logout

from .stage import Stage, play


def test_one_session_ends_or_all_of_its_user(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        phone, tab, web = [await stage.enter("alice", device) for device in ("phone", "tab", "web")]
        await stage.enter("bob")
        (answer,) = await stage.ask(phone, Frame(logout=Logout()))
        assert answer.logged_out.sessions == 1
        assert stage.ended() == []
        (answer,) = await stage.ask(tab, Frame(logout=Logout(everywhere=True)))
        assert answer.logged_out.sessions == 2
        assert stage.ended() == [(web.connection, errors.LOGGED_OUT.code)]
        assert [bool(stage.registrar.of(user)) for user in ("alice", "bob")] == [False, True]
        for one in (phone, tab, web):
            with pytest.raises(LonglinkError, match="session_unknown"):
                stage.registrar.require(one)

    play(tmp_path, story)
