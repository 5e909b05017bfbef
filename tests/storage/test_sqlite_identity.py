"""A database that is not the file at its path any more: nothing is acknowledged into it, and it is never replaced.

Read next: test_sqlite_opening.py, what a start refuses.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from longlink import errors
from longlink.config import Storage
from longlink.errors import LonglinkError
from longlink.storage.base import Append
from longlink.storage.sqlite import SqliteStore, engine, open_store

from .scene import direct, say, texts

DB = engine.DATABASE


def _delete(folder: Path) -> None:
    for file in folder.glob(f"{DB}*"):
        file.unlink()


def _move_away(folder: Path) -> None:
    (folder / DB).rename(folder / "away")


def _delete_log(folder: Path) -> None:
    (folder / f"{DB}-wal").unlink()


def _delete_index(folder: Path) -> None:
    (folder / f"{DB}-shm").unlink()


def _copy_over(folder: Path) -> None:
    shutil.copyfile(folder.parent / "older", folder / DB)


def _rename_over(folder: Path) -> None:
    os.replace(folder.parent / "older", folder / DB)


def _truncate(folder: Path) -> None:
    os.truncate(folder / DB, 0)


def _delete_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def _move_folder(folder: Path) -> None:
    folder.rename(folder.parent / "elsewhere")


def _replace_folder(folder: Path) -> None:
    _move_folder(folder)
    shutil.copytree(folder.parent / "elsewhere", folder)


def _cut_log(folder: Path) -> None:
    os.truncate(folder / f"{DB}-wal", 0)


def _cut_log_in_half(folder: Path) -> None:
    with open(folder / f"{DB}-wal", "r+b") as log:
        log.truncate(32 + (4_096 + 24) // 2)


def _link_elsewhere(folder: Path) -> None:
    _move_away(folder)
    (folder / DB).symlink_to("away")


EVENTS = (
    _delete, _move_away, _cut_log, _cut_log_in_half, _link_elsewhere, _delete_log, _delete_index, _copy_over,
    _rename_over, _truncate, _delete_folder, _move_folder, _replace_folder,
)  # fmt: skip


@pytest.mark.parametrize("event", EVENTS)
def test_nothing_is_acknowledged_into_a_database_that_nobody_finds_again(
    tmp_path: Path, event: Callable[[Path], None]
) -> None:
    folder = tmp_path / "data"

    async def story() -> None:
        store = await open_store(folder, Storage())
        chat = (await direct(store)).id
        await say(store, chat, "1")
        await store.close()
        shutil.copyfile(folder / DB, tmp_path / "older")
        store = await open_store(folder, Storage())
        await say(store, chat, "2")
        await _log_lies_ready(folder)
        event(folder)
        after = {file.name for file in folder.glob("*")}
        for number in range(3):
            await _refused(store, chat, str(number))
        with pytest.raises(LonglinkError, match="database is lost"):
            await texts(store, chat)
        assert "database is lost" in store.problem
        assert store.stats()["ready"] is False
        await store.close()
        assert {file.name for file in folder.glob("*")} == after, "the files that lie there now are not touched"

    asyncio.run(story())


async def _log_lies_ready(folder: Path) -> None:
    """Returns once the checkpoint thread has lengthened the log."""
    async with asyncio.timeout(10):
        while os.stat(folder / f"{DB}-wal").st_size < 2**20:  # noqa: ASYNC110 - a file of another thread
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("event", [_delete_log, _delete_index])
def test_what_only_a_deleted_log_held_is_saved_when_the_server_stops(
    tmp_path: Path, event: Callable[[Path], None]
) -> None:
    async def story() -> None:
        store = await open_store(tmp_path, Storage())
        chat = (await direct(store)).id
        await say(store, chat, "acknowledged")
        event(tmp_path)
        await _refused(store, chat, "later")
        await store.close()
        store = await open_store(tmp_path, Storage())
        # What was refused may be there as well: it was written before the loss was noticed.
        assert (await texts(store, chat))[0] == b"acknowledged"
        await store.close()

    asyncio.run(story())


async def _refused(store: SqliteStore, chat: str, name: str) -> None:
    for call in (store.messages.append([Append(chat, "alice", f"after {name}", b"")]), store.check()):
        with pytest.raises(LonglinkError, match="database is lost") as caught:
            await call
        assert caught.value.row is errors.STORAGE_UNAVAILABLE


def test_a_check_finds_it_without_any_write(tmp_path: Path) -> None:
    async def story() -> None:
        store = await open_store(tmp_path / "data", Storage())
        await store.check()
        _move_folder(tmp_path / "data")
        with pytest.raises(LonglinkError, match="database is lost"):
            await store.check()
        await store.close()

    asyncio.run(story())


def test_checkpoints_and_other_programs_that_keep_the_rules_change_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        store = await open_store(tmp_path, Storage(checkpoint_bytes=32_768))
        chat = (await direct(store)).id
        for number in range(200):
            await store.messages.append([Append(chat, "alice", str(number), b"x" * 4_000)])
            if number == 100:
                _foreign_checkpoint(tmp_path / DB)
        await store.check()
        assert store.problem == ""
        assert store.stats()["checkpoints"]
        await store.close()

    asyncio.run(story())
    assert [file.name for file in tmp_path.glob(f"{DB}*")] == [DB]


def _foreign_checkpoint(file: Path) -> None:
    connection = apsw.Connection(str(file))
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
    connection.close()


@pytest.mark.parametrize("trace", ["signing-key.json", "resume.key", f"{DB}-wal"])
@pytest.mark.parametrize("empty", [True, False])
def test_a_folder_that_was_in_use_and_has_no_database_is_refused(tmp_path: Path, trace: str, *, empty: bool) -> None:
    (tmp_path / trace).write_text("x")
    if empty:
        (tmp_path / DB).touch(0o600)
    with pytest.raises(LonglinkError, match=r"missing or empty.*--new-database") as caught:
        asyncio.run(_opened(tmp_path))
    assert caught.value.row is errors.DATA_UNUSABLE
    assert (tmp_path / trace).read_text() == "x"
    assert (tmp_path / DB).exists() is empty


def test_an_empty_file_in_a_folder_that_was_never_in_use_is_a_start_that_was_broken_off(tmp_path: Path) -> None:
    (tmp_path / DB).touch(0o600)
    asyncio.run(_opened(tmp_path))


def test_a_database_behind_a_link_is_refused(tmp_path: Path) -> None:
    asyncio.run(_opened(tmp_path / "real"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / DB).symlink_to(tmp_path / "real" / DB)
    with pytest.raises(LonglinkError, match="symbolic link") as caught:
        asyncio.run(_opened(tmp_path / "data"))
    assert caught.value.row is errors.DATA_UNUSABLE


async def _opened(folder: Path) -> None:
    await (await open_store(folder, Storage())).close()
