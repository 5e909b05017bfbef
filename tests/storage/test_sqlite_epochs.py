"""Epochs: a client that has seen what is not in this log is refused, and told up to where it is the same.

Read next: ../properties/test_restore_model.py, with clients and every order of copies, starts and restores.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
import pytest

from longlink import errors
from longlink.config import Storage
from longlink.errors import LonglinkError
from longlink.storage.base import Seen, Synced
from longlink.storage.sqlite import SqliteStore, engine, epochs, open_store

from .scene import direct, say

Story = Callable[[SqliteStore], Awaitable[None]]


def _play(folder: Path, *stories: Story) -> None:
    """Each story is an opening of its own."""

    async def whole(story: Story) -> None:
        store = await open_store(folder, Storage())
        try:
            await story(store)
        finally:
            await store.close()

    for story in stories:
        asyncio.run(whole(story))


async def _write(store: SqliteStore, *names: str) -> int:
    """Returns the newest stamp."""
    return (await say(store, (await direct(store)).id, *names))[-1].stamp


async def _sync(store: SqliteStore, since: int, epoch: str, newest: int) -> Synced:
    return await store.conversations.sync(
        "bob", since=since, cursor="", limit=5, messages=5, page_bytes=10_000, seen=Seen(epoch, newest)
    )


async def _ahead(store: SqliteStore, since: int, epoch: str, newest: int) -> None:
    with pytest.raises(LonglinkError) as caught:
        await _sync(store, since, epoch, newest)
    assert caught.value.row is errors.SINCE_AHEAD


class Client:
    """What a client keeps: the epoch and the newest stamp that it has seen."""

    def __init__(self) -> None:
        self.epoch, self.newest = "", 0

    async def sees(self, store: SqliteStore, *names: str) -> None:
        self.newest = await _write(store, *names)
        self.epoch = store.epoch

    async def goes_on(self, store: SqliteStore) -> None:
        assert self.epoch != store.epoch
        assert (await _sync(store, self.newest, self.epoch, self.newest)).changes == ()

    async def is_refused(self, store: SqliteStore) -> None:
        await _ahead(store, 1, self.epoch, self.newest)

    def keeps(self, *kept: int | None) -> Story:
        async def story(store: SqliteStore) -> None:
            page = await _sync(store, 0, self.epoch, self.newest)
            assert tuple(change.kept for change in page.changes) == kept

        return story


def test_an_ordinary_start_costs_a_client_nothing(tmp_path: Path) -> None:
    client = Client()

    async def seen(store: SqliteStore) -> None:
        await client.sees(store, "1", "2")

    _play(tmp_path, seen, client.goes_on, client.goes_on, client.keeps(2))


def test_an_opening_that_continues_is_of_the_same_epoch_for_who_stayed_connected(tmp_path: Path) -> None:
    client = Client()

    async def story() -> None:
        first = await open_store(tmp_path, Storage())
        await client.sees(first, "1")
        await first.close()
        # As a logic process that is started again: what it stores reaches a connection that has not noticed.
        again = await open_store(tmp_path, Storage(), continues=True)
        assert again.epoch == first.epoch
        client.newest = await _write(again, "2")
        assert (await _sync(again, client.newest, client.epoch, client.newest)).changes == ()
        await again.close()
        later = await open_store(tmp_path, Storage())
        assert later.epoch != again.epoch
        await client.goes_on(later)
        await later.close()

    asyncio.run(story())


def test_a_copy_of_a_stopped_server_refuses_what_came_later_and_knows_where_the_logs_part(tmp_path: Path) -> None:
    client = Client()

    async def first(store: SqliteStore) -> None:
        await client.sees(store, "1", "2")

    async def later(store: SqliteStore) -> None:
        await client.sees(store, "lost 3", "lost 4")

    async def other(store: SqliteStore) -> None:
        await _write(store, *[f"new {number}" for number in range(3, 9)])
        await client.is_refused(store)

    _play(tmp_path / "data", first)
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    _play(tmp_path / "data", later)
    _play(tmp_path / "copy", other, client.is_refused, client.keeps(2))


def test_a_copy_of_a_running_server_tells_those_who_have_seen_more_from_those_who_have_not(tmp_path: Path) -> None:
    ahead, behind = Client(), Client()

    async def running(store: SqliteStore) -> None:
        await behind.sees(store, "1", "2")
        (tmp_path / "copy").mkdir(0o700)
        source, target = (apsw.Connection(str(tmp_path / name / engine.DATABASE)) for name in ("data", "copy"))
        with target.backup("main", source, "main") as backup:
            backup.step(-1)
        target.close()
        source.close()
        await ahead.sees(store, "lost 3")

    _play(tmp_path / "data", running)
    _play(tmp_path / "copy", ahead.is_refused, behind.goes_on, ahead.keeps(2), behind.keeps(2))


def test_another_server_is_refused_and_nobody_can_tell_what_is_kept(tmp_path: Path) -> None:
    client = Client()

    async def seen(store: SqliteStore) -> None:
        await client.sees(store, "1")

    async def other(store: SqliteStore) -> None:
        await _write(store, "a", "b", "c")
        await client.is_refused(store)

    _play(tmp_path / "data", seen)
    _play(tmp_path / "other", other, client.keeps(None))


def test_a_client_that_keeps_no_account_is_held_against_the_newest_stamp_alone(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        newest = await _write(store, "1")
        assert (await _sync(store, newest, "", 0)).changes == ()
        await _ahead(store, newest + 1, "", 0)

    _play(tmp_path, story)


def test_epochs_are_bounded_and_so_is_what_clients_keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "KEPT", 3)
    client = Client()

    async def seen(store: SqliteStore) -> None:
        await client.sees(store, "1")

    async def nothing(_: SqliteStore) -> None: ...

    _play(tmp_path, seen, client.goes_on, client.goes_on, client.is_refused)
    many = epochs.Epochs([epochs.Epoch(f"{number:012}", number) for number in range(2_000)])
    assert len(many.place) <= 256
    assert many.agreed("unknown.000000000007") == 7
