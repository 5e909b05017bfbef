"""What fails for the disk's sake is logged once, and known until the same kind of work succeeds.

Read next: test_sqlite_identity.py, a database that is not the one at its path; test_sqlite_disk.py, real disks.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import apsw
import pytest

from longlink import errors
from longlink.config import Storage
from longlink.errors import LonglinkError
from longlink.storage.base import Append
from longlink.storage.sqlite import SqliteStore, engine, open_store
from longlink.storage.sqlite.health import Health

from .scene import direct, say, texts


class Time:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def _lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.message) for record in caplog.records]


def _fields(caplog: pytest.LogCaptureFixture, place: int = -1) -> dict[str, object]:
    found: dict[str, object] = caplog.records[place].__dict__["fields"]
    return found


@pytest.fixture(autouse=True)
def _everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_a_failure_and_its_end_are_one_line_each(caplog: pytest.LogCaptureFixture) -> None:
    time = Time()
    health = Health(Path("/data/longlink.db"), time)
    health.waiting = lambda: 7
    for _ in range(3):
        health.failed("write", "database or disk is full")
        time.now_s += 10
    assert health.problem == "database or disk is full"
    health.worked("read")
    assert health.problem, "a read says nothing of writes"
    health.worked("write")
    assert (health.problem, _lines(caplog)) == ("", [("ERROR", "storage_failed"), ("INFO", "storage_works_again")])
    assert _fields(caplog, 0) == {
        "doing": "write",
        "reason": "database or disk is full",
        "file": "/data/longlink.db",
        "writes_waiting": 7,
        "not_logged": 0,
        "until": "it works again",
    }
    assert _fields(caplog) == {"file": "/data/longlink.db", "after_s": 30.0, "failures": 3}


def test_a_failure_that_goes_on_is_a_line_a_minute_with_the_number_of_those_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    time = Time()
    health = Health(Path("db"), time)
    for _ in range(130):
        health.failed("write", "no")
        time.now_s += 1
    assert [record.__dict__["fields"]["not_logged"] for record in caplog.records] == [0, 59, 59]


def test_a_disk_that_comes_and_goes_is_two_lines_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    time = Time()
    health = Health(Path("db"), time)
    for _ in range(120):
        health.failed("write", "no")
        health.worked("write")
        time.now_s += 1
    assert [message for _, message in _lines(caplog)] == ["storage_failed", "storage_works_again"] * 2
    assert health.problem == ""


@pytest.mark.parametrize("damage", [apsw.CorruptError("malformed"), apsw.NotADBError("not a database")])
def test_damage_lasts_until_the_store_is_opened_again(caplog: pytest.LogCaptureFixture, damage: apsw.Error) -> None:
    health = Health(Path("db"))
    health.failed("read", str(damage), damage)
    health.worked("read")
    assert health.problem == str(damage)
    assert _lines(caplog) == [("ERROR", "storage_failed")]
    assert _fields(caplog)["until"] == "restart"


def test_a_lost_database_is_logged_at_once_whatever_was_logged_before(caplog: pytest.LogCaptureFixture) -> None:
    health = Health(Path("db"))
    health.failed("write", "full")
    for _ in range(2):
        health.lose("gone")
    health.worked("write")
    assert health.problem == "gone"
    assert [_fields(caplog, place)["reason"] for place in range(len(caplog.records))] == ["full", "gone"]
    with pytest.raises(LonglinkError, match="gone") as caught:
        health.refuse_if_lost()
    assert caught.value.row is errors.STORAGE_UNAVAILABLE


def _damage(file: Path, least: int) -> None:
    """Overwrite every page from this one on, as a broken disk does: in place."""
    size = file.stat().st_size
    with file.open("r+b") as raw:
        raw.seek(least * engine.PAGE_BYTES)
        raw.write(b"\xa5" * (size - least * engine.PAGE_BYTES))


def test_damage_that_a_read_meets_makes_the_store_not_ready_and_a_restart_forgets_nothing_of_it(tmp_path: Path) -> None:
    file = tmp_path / engine.DATABASE

    async def prepare() -> str:
        store = await open_store(tmp_path, Storage())
        chat = (await direct(store)).id
        await store.messages.append([Append(chat, "alice", str(number), b"x" * 3_000) for number in range(200)])
        await store.close()
        return chat

    async def story(chat: str) -> None:
        store = await open_store(tmp_path, Storage())
        await store.check()
        assert store.stats()["ready"] is True
        _damage(file, 60)
        with pytest.raises(LonglinkError) as caught:
            await texts(store, chat)
        assert caught.value.row is errors.STORAGE_UNAVAILABLE
        assert store.stats()["ready"] is False
        for _ in range(3):
            with pytest.raises(LonglinkError):
                await store.check()
        await store.close()

    asyncio.run(story(asyncio.run(prepare())))


def test_a_read_that_failed_is_tried_again_by_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        store: SqliteStore = await open_store(tmp_path, Storage(readers=1))
        chat = (await direct(store)).id
        await say(store, chat, "1")
        with monkeypatch.context() as patched:
            patched.setattr("longlink.storage.sqlite.reader.read_history", _fail)
            with pytest.raises(LonglinkError, match="disk I/O error"):
                await texts(store, chat)
            with pytest.raises(LonglinkError, match="disk I/O error"):
                await store.check()
        await store.check()
        assert store.problem == ""
        await store.close()

    asyncio.run(story())


def _fail(*_: object) -> None:
    raise apsw.IOError("disk I/O error")
