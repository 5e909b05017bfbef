"""A sync that is due stays due until it is done: whatever ends before, and in the next process too."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any, cast

import longlink
from longlink.client.connection import Connection
from longlink.client.exchange import Exchange
from longlink.client.inbox import Inbox
from longlink.client.incoming import Incoming
from longlink.client.options import Options
from longlink.client.outbox import Outbox
from longlink.client.store import open_store
from longlink.testing import RunningServer, run_server

WAIT_S = 20.0


def test_a_sync_whose_task_never_began_is_still_due() -> None:
    async def play() -> bool:
        inbox = Inbox("p-", 10)
        outbox = Outbox(lambda: 0.5)
        given = cast("Any", type("Given", (), {"random": staticmethod(lambda: 0.5), "request_timeout_s": 5}))
        nowhere = cast("Connection", None)
        exchange = Exchange(nowhere, cast("Options", given), outbox, Incoming(inbox), asyncio.Event(), lambda: None)
        exchange._start_reads()
        for task in exchange._tasks:
            task.cancel()
        await asyncio.gather(*exchange._tasks, return_exceptions=True)
        return inbox.sync_wanted

    assert asyncio.run(play())


def test_a_process_that_leaves_before_its_sync_leaves_it_to_the_next_one(tmp_path: Path) -> None:
    with run_server() as server:
        asyncio.run(asyncio.wait_for(_two_short_lives(server, tmp_path / "bob.db"), WAIT_S))


async def _two_short_lives(server: RunningServer, store: Path) -> None:
    url = f"ws://127.0.0.1:{server.port}"
    async with longlink.connect(url, token=server.token("alice")) as alice:
        async with longlink.connect(url, token=server.token("bob"), store=str(store)) as bob:
            chat = await alice.direct("bob")
            await chat.send("first")
            assert (await _message(bob)).text == "first"
        await chat.send("second")
        async with longlink.connect(url, token=server.token("bob"), store=str(store)) as hasty:
            connected = await anext(hasty)
            assert isinstance(connected, longlink.Connected)
            assert hasty._inbox.sync_wanted, "it leaves before its sync"
        async with longlink.connect(url, token=server.token("bob"), store=str(store)) as bob:
            assert (await _message(bob)).text == "second"


async def _message(client: longlink.Client) -> longlink.Message:
    async for event in client:
        if isinstance(event, longlink.Message):
            return event
    raise AssertionError("the client ended")


def test_a_store_that_was_copied_back_never_gives_an_old_client_id_to_a_new_message(tmp_path: Path) -> None:
    async def first_id(path: Path) -> str:
        client = longlink.connect("ws://127.0.0.1:1", token="t", store=path)
        client._prepare()
        await client.close()
        return client._next_id()

    ids = []
    open_store(tmp_path / "a.db", device="", kept=1).close()
    for life in range(2):
        folder = tmp_path / str(life)
        shutil.copytree(
            tmp_path, folder, ignore=lambda _, names: [name for name in names if not name.startswith("a.db")]
        )
        ids.append(asyncio.run(first_id(folder / "a.db")))
    assert ids[0] != ids[1]
