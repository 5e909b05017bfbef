"""What the logic process does: the logic part of a server, with trunks in the place of a gateway.

It never listens for clients. Asked to end, it lets the gateways end first, because their calls under way are its own.
Read next: ../parts.py, ../routing/trunk/logic.py, tally.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from functools import partial
from typing import Final

from longlink import errors
from longlink.access.gateway import GOODBYE_S
from longlink.errors import LonglinkError
from longlink.ops import numbers, signals
from longlink.ops.exposition import Metrics
from longlink.ops.metrics import Counts, watch_loop
from longlink.ops.numbers import Numbers
from longlink.parts import FINISH_MS, Logic, open_accounts, reload_quietly
from longlink.routing.ids import worker_of
from longlink.routing.trunk.logic import Hub
from longlink.storage.base import Store
from longlink.storage.sqlite import open_store
from longlink.workers.child import Line
from longlink.workers.shared import Shared
from longlink.workers.tally import Past, Tally, gateway_name

GATHER_S: Final = 2.0
"""How long a gateway may take to send its numbers; without them there are none."""


async def run(shared: Shared, past: Past, line: Line, asked: asyncio.Event) -> None:
    """Serve gateways until asked to end. Raises LonglinkError when the start fails."""
    # The supervisor holds the lock from its start on, and connections outlive a logic that dies.
    store = await open_store(
        shared.place.folder, shared.config.storage, now_ms=_now_ms, lock=shared.lock, continues=past.restarts > 0
    )
    try:
        logic = _Process(shared, store, past)
        await logic.start()
        loop = asyncio.get_running_loop()
        signals.on_loop(loop, signal.SIGHUP, partial(reload_quietly, shared.settings))
        line.ready()
        await asked.wait()
        await logic.stop()
    finally:
        await store.close()


class _Process:
    def __init__(self, shared: Shared, store: Store, past: Past) -> None:
        self._shared = shared
        self._store = store
        self._started_s = time.time()
        self._counts = Counts()
        self._tally = Tally(shared.config.server.workers, past)
        self._hub = Hub(shared.secret, self._tally)
        self._metrics = Metrics(self._gather)
        accounts, metrics = open_accounts(shared.config), self._metrics.render
        self._logic = Logic(shared.config, store, self._hub, self._counts, _now_ms, accounts, metrics)
        self._server: asyncio.Server

    async def start(self) -> None:
        logic = self._logic
        answers = {"ready": self._ready, "metrics": self._metrics.render}
        self._watching = asyncio.get_running_loop().create_task(watch_loop(self._counts))
        await logic.control.start()
        self._server = await self._hub.serve(self._shared.listener, logic.handler, logic.registrar, answers)

    async def stop(self) -> None:
        """Once the gateways have ended, or should have."""
        drain_s = (self._shared.config.drain.duration_ms + FINISH_MS) / 1000 + 2 * GOODBYE_S
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hub.alone(), drain_s)
        await self._logic.stop()
        self._server.close()
        self._watching.cancel()
        await self._hub.stop()

    async def _ready(self) -> bytes:
        return "\n".join(await self._logic.problems()).encode()

    async def _gather(self) -> Numbers:
        """The sum over all processes that are there. Raises LOGIC_UNAVAILABLE when one of them does not answer."""
        asked = {gateway: asyncio.ensure_future(self._hub.ask(gateway, "numbers")) for gateway in self._hub.gateways}
        if asked:
            _, silent = await asyncio.wait(asked.values(), timeout=GATHER_S)
            for one in silent:
                one.cancel()
        for gateway, answer in asked.items():
            if answer.cancelled() or not answer.done():
                message = f"{gateway_name(worker_of(gateway))} has not sent its numbers for {GATHER_S:g} s"
                raise LonglinkError(errors.LOGIC_UNAVAILABLE, message)
            # One that went meanwhile has left what it had counted with the tally.
            if answer.exception() is None:
                self._tally.heard(gateway, answer.result())
        return self._tally.sum(self._own())

    def _own(self) -> Numbers:
        counts, store, trunk = numbers.of_counts(self._counts), numbers.of_store(self._store), self._hub.numbers()
        process, started = numbers.of_process(), numbers.started(self._started_s)
        return numbers.total([counts, store, {"trunk": dict(trunk)}, process, started])


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
