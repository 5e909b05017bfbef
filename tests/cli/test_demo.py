"""`longlink demo`, which `make run` starts: six packets, tokens that work, and nobody else's messages taken."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import longlink

PACKETS = ["msg:R", "msg:A", "msg:N", "ack:R", "ack:A", "ack:N"]


class Demo:
    """One run of the command on free ports, read up to its last line."""

    def __init__(self, data: Path, **settings: str) -> None:
        ports = {f"LONGLINK_LISTEN_{name}": "127.0.0.1:0" for name in ("ADDRESS", "HTTP", "OPERATIONS")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "longlink", "demo", "--data", str(data)],
            env=os.environ | ports | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.text = ""
        for line in self._process.stdout or []:
            self.text += line
            if "Ctrl-C drains" in line:
                break

    @property
    def packets(self) -> list[str]:
        return re.findall(r"^ +[1-6]  ((?:msg|ack):[A-Z])", self.text, re.MULTILINE)

    def token(self, user: str) -> str:
        found = re.search(rf"^ +{user} +(eyJ\S+)$", self.text, re.MULTILINE)
        assert found, self.text
        return found[1]

    @property
    def url(self) -> str:
        found = re.search(r"ws://\S+", self.text)
        assert found, self.text
        return found[0]

    def __enter__(self) -> Demo:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def end(self) -> int:
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(20)


def test_a_first_run_shows_six_packets_and_a_second_one_the_message_of_the_first(tmp_path: Path) -> None:
    with Demo(tmp_path / "data") as first:
        assert first.packets == PACKETS
        assert "From before" not in first.text
        assert first.end() == 0
    with Demo(tmp_path / "data") as second:
        assert second.packets == PACKETS
        assert "From before, 1 message" in second.text
        assert second.end() == 0


def test_the_printed_tokens_work_and_the_next_run_takes_no_message_that_waits_for_its_reader(tmp_path: Path) -> None:
    async def write(demo: Demo) -> None:
        async with (
            longlink.connect(demo.url, token=demo.token("bob")),
            longlink.connect(demo.url, token=demo.token("alice")) as alice,
        ):
            await (await alice.direct("bob")).send("for bob alone")

    async def read(demo: Demo) -> str:
        async with longlink.connect(demo.url, token=demo.token("bob")) as bob:
            async for event in bob:
                if isinstance(event, longlink.Message):
                    return event.text
        raise AssertionError("the iteration ended")

    with Demo(tmp_path / "data") as demo:
        asyncio.run(asyncio.wait_for(write(demo), 20))
        assert demo.end() == 0
    with Demo(tmp_path / "data") as demo:
        assert asyncio.run(asyncio.wait_for(read(demo), 20)) == "for bob alone"
        assert demo.end() == 0


def test_with_keys_of_the_host_it_says_why_there_is_nothing_to_show_and_serves(tmp_path: Path) -> None:
    key = tmp_path / "secret"
    key.write_text("x" * 64)
    key.chmod(0o600)
    with Demo(tmp_path / "data", LONGLINK_AUTH_KEYS=f"secret:{key}") as demo:
        assert "No demonstration: only the keys of auth.keys sign tokens here" in demo.text
        assert demo.packets == []
        assert demo.end() == 0


def test_a_server_with_workers_shows_the_same_and_ends_as_one(tmp_path: Path) -> None:
    with Demo(tmp_path / "data", LONGLINK_SERVER_WORKERS="2", LONGLINK_DRAIN_DURATION_MS="100") as demo:
        assert demo.packets == PACKETS
        assert demo.end() == 0
