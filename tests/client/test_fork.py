"""A client and a fork: the copy is of no use, a client that was only made is, and the store stays with its process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import sqlite3
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

import longlink
from longlink.client.client import Client
from longlink.client.options import random_device, random_prefix
from longlink.client.store import open_store
from longlink.errors import LonglinkError
from longlink.testing import RunningServer, run_server

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")


def in_fork(work: Callable[[], object]) -> object:
    """What work returns in a child of this process, or the error that it raises there."""
    mine, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            result = work()
        except BaseException as error:
            result = (type(error).__name__, *(error.args if isinstance(error, LonglinkError) else ()))
        os.write(theirs, pickle.dumps(result))
        os._exit(0)
    os.close(theirs)
    with os.fdopen(mine, "rb") as result:
        data = result.read()
    os.waitpid(child, 0)
    return pickle.loads(data)


def used(call: Callable[[], Awaitable[object] | object]) -> object:
    """The outcome of a call in an event loop of its own."""

    async def scene() -> object:
        try:
            result = call()
            return await result if isinstance(result, Awaitable) else result
        except LonglinkError as error:
            return error.name, error.message

    return asyncio.run(scene())


@pytest.fixture(scope="module")
def server():  # type: ignore[no-untyped-def]
    with run_server() as running:
        yield running


def test_every_use_of_an_entered_client_in_a_fork_raises_and_the_parent_goes_on(
    server: RunningServer, tmp_path: Path
) -> None:
    path = tmp_path / "alice.db"

    async def scene() -> None:
        async with (
            longlink.connect(server.url, token=server.token("bob")),
            longlink.connect(server.url, token=server.token("alice"), store=path) as client,
        ):
            chat = await client.direct("bob")
            await chat.send("before")
            calls: list[Callable[[], Awaitable[object] | object]] = [
                lambda: chat.send("x"),
                lambda: chat.post("x"),
                lambda: chat.read(1),
                lambda: chat.unread,
                lambda: client.direct("bob"),
                lambda: anext(client),
                client.chats,
                client.logout,
                client.close,
            ]
            for call in calls:
                error = await asyncio.to_thread(in_fork, partial(used, call))
                assert isinstance(error, tuple)
                assert (error[0], "is a fork of it" in error[1]) == ("client_unusable", True)
            sent = await chat.send("after")
            assert (sent.seq, sent.duplicate) == (2, False)

    asyncio.run(asyncio.wait_for(scene(), 60))


def test_a_client_made_before_the_forks_and_entered_in_each_loses_and_doubles_nothing(server: RunningServer) -> None:
    async def send(client: Client) -> list[tuple[str, bool]]:
        async with client:
            chat = await client.direct("frank")
            sent = [await chat.send("hello") for _ in range(3)]
            return [(each.client_id, each.duplicate) for each in sent]

    async def meet() -> None:
        async with longlink.connect(server.url, token=server.token("frank")):
            pass

    asyncio.run(meet())
    made = longlink.connect(server.url, token=server.token("erin"))
    ids = [each for _ in range(2) for each in in_fork(lambda: asyncio.run(send(made)))]  # type: ignore[attr-defined]
    assert len({name for name, _ in ids}) == 6
    assert not any(duplicate for _, duplicate in ids)


def test_a_fork_takes_no_store_that_its_parent_has_open_and_does_it_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "alice.db"

    def child() -> object:
        # The child closes its copy, as at the end of a program, and tries to get a store of its own.
        store.close()
        with contextlib.suppress(LonglinkError):
            open_store(path, device="", kept=1)
            return "opened"
        return "refused"

    store = open_store(path, device="", kept=1)
    store.note(user="alice")
    assert in_fork(child) == "refused"
    store.note(user="bob")
    assert Path(f"{path}-wal").exists()
    store.close()
    database = sqlite3.connect(path)
    assert database.execute("SELECT value FROM facts WHERE name = 'user'").fetchone() == ("bob",)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_a_store_in_a_fork_writes_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path / "alice.db", device="", kept=1)
    assert in_fork(lambda: store.note(user="mallory"))[0] == "LonglinkError"  # type: ignore[index]
    assert store.fact("user") == ""
    store.close()


def test_random_names_do_not_repeat_over_a_fork() -> None:
    names = [in_fork(lambda: (random_device(), random_prefix())) for _ in range(2)]
    assert len(set(names)) == 2
