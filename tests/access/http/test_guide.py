"""The commands of docs/guides/http.md, run as they stand there against a real server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import longlink
from longlink.testing import RunningServer, run_server

GUIDE = Path(__file__).parents[3] / "docs/guides/http.md"


def commands() -> list[str]:
    found = re.findall(r"```sh\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert len(found) == 6, "open, send, sync, read, many, logout"
    return found


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_commands_of_the_guide_do_what_it_says() -> None:
    with run_server() as server:
        asyncio.run(come_once(server, "alice", "bob"))
        told = {"http://127.0.0.1:7701": server.http, "CONVERSATION": ""}

        def run(command: str) -> Any:
            for name, value in told.items():
                command = command.replace(name, value)
            shell = ["/bin/sh", "-c", command]
            here = os.environ | {"TOKEN": server.token("alice")}
            return json.loads(subprocess.run(shell, capture_output=True, env=here, check=True, timeout=30).stdout)

        opening, sending, syncing, reading, many, leaving = commands()
        told["CONVERSATION"] = run(opening)["id"]
        assert run(sending)["seq"] == "1"
        assert run(sending) == {**run(sending), "seq": "1", "duplicate": True}
        assert run(reading)["messages"][0]["content"]["text"] == "Your parcel is on its way"
        assert [reply["sent"]["seq"] for reply in run(many)["frames"]] == ["2", "3"]
        assert run(leaving)["sessions"] == 1, "the one of alice, which waits for her to come back"
        assert run(syncing)["changes"][0]["messages"][0]["clientId"] == "order-4711"


async def come_once(server: RunningServer, *users: str) -> None:
    """A user exists once he has connected."""
    for user in users:
        async with longlink.connect(f"ws://127.0.0.1:{server.port}", token=server.token(user)):
            pass
