"""How long the client waits between two links, on real sockets; only the wait itself is the test's."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

import longlink
from longlink.client import supervisor
from longlink.client.handshake import Session
from longlink.client.inbox import Inbox
from longlink.client.incoming import Incoming
from longlink.client.outbox import Outbox
from longlink.client.prober import Prober
from longlink.client.supervisor import Supervisor

from .double import running

ATTEMPTS = 4


class EnoughError(Exception):
    """The test has seen what it wanted."""


def waits_of(url: str, waits: list[float]) -> Supervisor:
    """A supervisor that writes down how long it would wait, and goes on at once, ATTEMPTS times."""

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == ATTEMPTS:
            raise EnoughError

    options = longlink.connect(url, token="alice")._options
    options = replace(options, random=lambda: 1.0, sleep=sleep)
    outbox, incoming = Outbox(options.random), Incoming(Inbox("", 10))
    return Supervisor(
        options, outbox, incoming, lambda _: None, lambda: None, session=Session(), prober=Prober(fixed_s=60.0)
    )


def test_a_server_that_takes_connections_and_never_answers_is_tried_ever_more_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor, "ATTEMPT_S", 0.1)
    monkeypatch.setattr(supervisor, "STEADY_S", 0.05)
    waits: list[float] = []

    async def scene() -> None:
        silent = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
        writers: list[asyncio.StreamWriter] = []
        port = silent.sockets[0].getsockname()[1]
        with pytest.raises(EnoughError):
            await waits_of(f"tcp://127.0.0.1:{port}", waits).run()
        for writer in writers:
            writer.close()
        silent.close()

    asyncio.run(asyncio.wait_for(scene(), 10))
    assert waits == [0.25, 0.5, 1.0, 2.0]


def test_links_that_held_are_replaced_without_a_growing_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "STEADY_S", 0.0)
    waits: list[float] = []

    async def scene() -> None:
        async with running() as double:
            links = waits_of(double.url, waits)
            work = asyncio.create_task(links.run())
            for _ in range(ATTEMPTS):
                await links.up.wait()
                double.cut()
                await double.until(lambda: not double.lines)
                while links.up.is_set():  # noqa: ASYNC110 - nothing tells its end but the flag itself
                    await asyncio.sleep(0)
            with pytest.raises(EnoughError):
                await work

    asyncio.run(asyncio.wait_for(scene(), 10))
    assert waits == [0.25] * ATTEMPTS
