"""Chapter 21: a server that is restored from an older copy, and the clients of before.

What is stored is handed out to all of them, and nothing is marked that nobody has read. Read next:
../properties/test_restore_model.py, every order of such steps.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import longlink
from longlink import Client, Message
from longlink.testing import RunningServer, run_server

DEADLINE_S = 60.0


def _restored(server: RunningServer, copy: Path) -> None:
    server.stop()
    shutil.rmtree(server.data)
    shutil.copytree(copy, server.data)
    server.start()


def _copied(server: RunningServer, copy: Path) -> None:
    server.stop()
    shutil.copytree(server.data, copy)
    server.start()


@asynccontextmanager
async def _bob(server: RunningServer, **options: Any) -> AsyncIterator[Client]:
    async with longlink.connect(server.url, token=server.token("bob"), **{"device": "phone", **options}) as bob:
        yield bob


async def _alice_says(server: RunningServer, *texts: str) -> None:
    async with longlink.connect(server.url, token=server.token("alice")) as alice:
        chat = await alice.direct("bob")
        for text in texts:
            await chat.send(text)


async def _gets(bob: Client, texts: Sequence[str]) -> None:
    """These messages and no others, in this order."""
    found: list[str] = []
    async with asyncio.timeout(DEADLINE_S):
        async for event in bob:
            if isinstance(event, Message):
                found.append(event.text)
            if len(found) >= len(texts):
                break
    assert found == list(texts)


def _numbered(what: str, first: int, last: int) -> list[str]:
    return [f"{what} {number}" for number in range(first, last + 1)]


async def _begins(server: RunningServer) -> None:
    async with _bob(server, device="other"):
        await _alice_says(server, *_numbered("old", 1, 3))


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_client_that_lives_on_gets_what_is_stored_after_the_restore(tmp_path: Path, workers: str) -> None:
    async def story(server: RunningServer) -> None:
        await _begins(server)
        await asyncio.to_thread(_copied, server, tmp_path / "copy")
        async with _bob(server) as bob, _bob(server, device="tablet") as tablet:
            await _alice_says(server, *_numbered("lost", 4, 10))
            for device in (bob, tablet):
                await _gets(device, [*_numbered("old", 1, 3), *_numbered("lost", 4, 10)])
            await asyncio.to_thread(_restored, server, tmp_path / "copy")
            await _alice_says(server, *_numbered("new", 4, 15))
            for device in (bob, tablet):
                await _gets(device, _numbered("new", 4, 15))
            chat = (await bob.chats())[-1]
            assert chat.unread == 15

    with run_server(tmp_path / "data", {"LONGLINK_SERVER_WORKERS": workers}) as server:
        asyncio.run(story(server))


def test_a_client_that_was_away_while_the_log_grew_past_its_place_gets_what_is_stored(tmp_path: Path) -> None:
    store = tmp_path / "bob.db"

    async def story(server: RunningServer) -> None:
        await _begins(server)
        await asyncio.to_thread(_copied, server, tmp_path / "copy")
        await _alice_says(server, *_numbered("lost", 4, 10))
        async with _bob(server, store=store) as bob:
            await _gets(bob, [*_numbered("old", 1, 3), *_numbered("lost", 4, 10)])
            bob.chat((await bob.chats())[-1].id).read(10)
        await asyncio.to_thread(_restored, server, tmp_path / "copy")
        await _alice_says(server, *_numbered("new", 4, 30))
        async with _bob(server, store=store) as bob:
            await _gets(bob, _numbered("new", 4, 30))
            chat = (await bob.chats())[-1]
            assert chat.unread == 27, "what was read of the lost messages is not read of the new ones"
            kept = [message.text async for message in chat.history()]
            assert kept == [*_numbered("old", 1, 3), *_numbered("new", 4, 30)]
        async with _bob(server, store=store) as bob:
            await _alice_says(server, "new 31")
            await _gets(bob, ["new 31"])

    with run_server(tmp_path / "data") as server:
        asyncio.run(story(server))


def _longlink(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "longlink", *words], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_backup_of_a_running_server_is_restored_and_its_clients_go_on(tmp_path: Path) -> None:
    """What docs/guides/backup.md says, with the commands that it gives."""

    async def story(server: RunningServer) -> None:
        await _begins(server)
        made = await asyncio.to_thread(_longlink, "backup", str(tmp_path / "b"), "--data", str(server.data))
        assert (made.returncode, "3 messages" in made.stdout) == (0, True), made
        async with _bob(server) as bob:
            await _alice_says(server, *_numbered("lost", 4, 10))
            await _gets(bob, [*_numbered("old", 1, 3), *_numbered("lost", 4, 10)])
            await asyncio.to_thread(_restored_by_command, server, tmp_path)
            await _alice_says(server, *_numbered("new", 4, 12))
            await _gets(bob, _numbered("new", 4, 12))

    with run_server(tmp_path / "data") as server:
        asyncio.run(story(server))


def _restored_by_command(server: RunningServer, place: Path) -> None:
    server.stop()
    shutil.rmtree(server.data)
    made = _longlink("restore", str(place / "b"), "--data", str(server.data))
    assert (made.returncode, "3 messages" in made.stdout) == (0, True), made
    modes = {file.name: file.stat().st_mode & 0o777 for file in server.data.iterdir()}
    assert modes == {"lock": 0o600, "longlink.db": 0o600, "signing-key.json": 0o600}
    server.start()


def test_a_copy_replaces_nothing_and_a_damaged_one_leaves_nothing_behind(tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    with run_server(tmp_path / "data") as server:
        assert _longlink("backup", str(backup), "--data", str(server.data)).returncode == 0
        again = _longlink("backup", str(backup), "--data", str(server.data))
        assert (again.returncode, "exists already" in again.stderr) == (1, True)
        in_use = _longlink("restore", str(backup), "--data", str(server.data))
        assert (in_use.returncode, "data_locked" in in_use.stderr) == (1, True)
        server.stop()
        full = _longlink("restore", str(backup), "--data", str(server.data))
        assert (full.returncode, "not empty" in full.stderr) == (1, True)
    size = (backup / "longlink.db").stat().st_size
    with (backup / "longlink.db").open("r+b") as raw:
        raw.seek(4096)
        raw.write(b"\xa5" * (size - 4096))
    damaged = _longlink("restore", str(backup), "--data", str(tmp_path / "new"))
    assert damaged.returncode == 1
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["lock"]
