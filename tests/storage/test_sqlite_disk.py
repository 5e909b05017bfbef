"""A disk that is full, cannot be written or hangs: said in words, nothing acknowledged, and it recovers by itself.

Read next: full_child.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from longlink import errors
from longlink.config import Storage
from longlink.errors import LonglinkError
from longlink.storage import sqlite
from longlink.storage.base import Append
from longlink.storage.sqlite import engine, open_store, reader

from .scene import direct, say, stored, texts

CHILD = Path(__file__).with_name("full_child.py")


def test_a_file_that_may_not_grow_fails_writes_until_it_may_again(tmp_path: Path) -> None:
    """RLIMIT_FSIZE in a process of its own: the write fails inside a commit, as on a full disk, without root."""
    result = subprocess.run([sys.executable, str(CHILD), str(tmp_path)], capture_output=True, text=True, timeout=60)
    # One line, however many writes have failed.
    assert (result.returncode, result.stderr) == (0, "storage_failed\n")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 2 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "longlink-test", str(place)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"this machine does not let root mount: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_fails_writes_until_there_is_room(small_disk: Path) -> None:
    async def story() -> None:
        store = await open_store(small_disk / "data", Storage())
        chat = (await direct(store)).id
        await say(store, chat, "before")
        ballast = small_disk / "ballast"
        _fill(ballast)
        big = [Append(chat, "alice", "big", b"x" * 60_000)]
        for _ in range(3):
            with pytest.raises(LonglinkError, match="full") as caught:
                await store.messages.append(big)
            assert caught.value.row is errors.STORAGE_UNAVAILABLE
        assert await texts(store, chat) == [b"before"]
        ballast.unlink()
        await store.check()
        assert [(one.seq, one.duplicate) for one in stored(await store.messages.append(big))] == [(2, False)]
        await store.close()

    asyncio.run(story())


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"\0" * 4096):
            pass


def test_a_folder_on_a_read_only_disk_is_refused_with_the_reason(small_disk: Path) -> None:
    asyncio.run(_open_and_close(small_disk / "data"))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(LonglinkError, match="Read-only file system") as caught:
        asyncio.run(_open_and_close(small_disk / "data"))
    assert caught.value.row is errors.DATA_UNUSABLE


async def _open_and_close(folder: Path) -> None:
    await (await open_store(folder, Storage())).close()


def test_a_disk_that_hangs_does_not_hang_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_CHECK_SECONDS", 0.05)

    async def story() -> None:
        store = await open_store(tmp_path, Storage())
        with store.gate:
            for _ in range(3):
                with pytest.raises(LonglinkError, match="has not come back") as caught:
                    await store.check()
                assert caught.value.row is errors.STORAGE_UNAVAILABLE
            # Checks that wait share one write, so that they do not pile up.
            assert store.stats()["writes_waiting"] == 1
        monkeypatch.setattr(sqlite, "_CHECK_SECONDS", 30)
        await store.check()
        await store.close()

    asyncio.run(story())


@contextlib.contextmanager
def no_more_files() -> Iterator[None]:
    """Within, this process can open nothing; what is open stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_reads_need_no_file_that_was_not_opened_at_the_start(tmp_path: Path) -> None:
    async def story() -> None:
        store = await open_store(tmp_path, Storage())
        chat = (await direct(store)).id
        await say(store, chat, "before")
        with no_more_files():
            found = await asyncio.gather(*(texts(store, chat) for _ in range(20)))
        await store.close()
        assert found == [[b"before"]] * 20

    asyncio.run(story())


def test_a_start_that_cannot_open_every_reader_is_refused_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[apsw.Connection] = []

    def connect(file: Path) -> apsw.Connection:
        if opened:
            raise apsw.CantOpenError("unable to open database file")
        opened.append(engine.connect_reader(file))
        return opened[-1]

    monkeypatch.setattr(reader, "connect_reader", connect)
    with pytest.raises(LonglinkError, match="unable to open database file") as caught:
        asyncio.run(_open_and_close(tmp_path))
    assert caught.value.row is errors.DATA_UNUSABLE
    with pytest.raises(apsw.ConnectionClosedError):
        opened[0].execute("SELECT 1")
    monkeypatch.undo()
    asyncio.run(_open_and_close(tmp_path))
