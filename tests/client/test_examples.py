"""The examples run as they are, against the real server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import longlink
from longlink.testing import RunningServer, run_server

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with run_server() as running:
        yield running


def command(server: RunningServer, name: str) -> list[str]:
    return [sys.executable, str(EXAMPLES / name), server.url, str(server.data)]


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("hello.py", "alice: bob has it"),
        ("two_devices.py", "bob: still there?']"),
        ("embedded.py", "stored as message 1"),
        ("offline_first.py", "message 3 is on the server's disk"),
    ],
)
def test_an_example_runs_to_its_end(server: RunningServer, name: str, last: str) -> None:
    done = subprocess.run(command(server, name), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith(last)


def test_the_echo_bot_answers(server: RunningServer) -> None:
    async def ask() -> str:
        async with longlink.connect(server.url, token=server.token("alice")) as alice:
            chat = await alice.direct("echo")
            await chat.send("is there anybody?")
            async for event in alice:
                if isinstance(event, longlink.Message) and event.sender == "echo":
                    return event.text
        raise AssertionError("the iteration ended")

    with subprocess.Popen(command(server, "echo_bot.py"), stdout=subprocess.PIPE, text=True) as bot:
        try:
            assert bot.stdout is not None
            assert bot.stdout.readline().startswith("echo is there")
            assert asyncio.run(asyncio.wait_for(ask(), 20)) == "is there anybody?"
        finally:
            bot.kill()


def test_no_example_is_left_out() -> None:
    played = {"hello.py", "two_devices.py", "embedded.py", "echo_bot.py", "offline_first.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == played
