"""What a gateway process does: the access part of a server, with a trunk in the place of logic.

It never opens the store. Read next: ../parts.py, ../routing/trunk/gateway.py.
"""

from __future__ import annotations

import asyncio
import signal
import time

from longlink.errors import LonglinkError
from longlink.ops import numbers, signals
from longlink.ops.metrics import Counts, watch_loop
from longlink.parts import Access, open_accounts, reload_quietly
from longlink.routing.ids import gateway_number
from longlink.routing.trunk.gateway import Trunk
from longlink.routing.trunk.unanswered import Bounds
from longlink.workers.child import Line
from longlink.workers.shared import Shared
from longlink.workers.tally import Past


async def run(shared: Shared, worker: int, past: Past, line: Line, asked: asyncio.Event) -> None:
    """Serve until asked to end, then drain. Raises LonglinkError when the start fails."""
    gateway = _Gateway(shared, worker, past)
    try:
        await gateway.start(line)
        await asked.wait()
        await gateway.access.drain()
    finally:
        await gateway.stop()


class _Gateway:
    def __init__(self, shared: Shared, worker: int, past: Past) -> None:
        server = shared.config.server
        self._settings = shared.settings
        self._counts = Counts()
        self._trunk = Trunk(
            shared.path,
            shared.secret,
            gateway_number(server.number, worker),
            past.restarts,
            Bounds(server.calls, server.call_bytes, server.answer_timeout_ms / 1000),
            self._counts,
            self._numbers,
            hangs=past.hangs,
        )
        self.access = Access(
            shared.config,
            worker,
            self._counts,
            _now_ms,
            self._trunk.handle,
            self._trunk,
            open_accounts(shared.config),
            shared.ticket_secret,
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, line: Line) -> None:
        """Returns once clients are taken; the line hears of it once logic is reached too."""
        loop = asyncio.get_running_loop()
        self._trunk.start(self.access.gateway)
        await self.access.start(self._problems, lambda: self._trunk.ask("metrics"))
        signals.on_loop(loop, signal.SIGHUP, self._reload)
        self._tasks = [loop.create_task(watch_loop(self._counts)), loop.create_task(self._tell(line))]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self.access.stop()
        await self._trunk.stop()

    def _reload(self) -> None:
        reload_quietly(self._settings)
        self.access.reload()

    async def _tell(self, line: Line) -> None:
        await self._trunk.attached()
        line.ready()

    async def _problems(self) -> list[str]:
        try:
            reasons = await self._trunk.ask("ready")
        except LonglinkError as error:
            return [str(error)]
        return reasons.decode().splitlines()

    def _numbers(self) -> bytes:
        own = (numbers.of_counts(self._counts), numbers.of_core(self.access.core), numbers.of_process())
        return numbers.encode(numbers.total([*own, {"trunk": dict(self._trunk.numbers())}]))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
