"""What a gateway process does: the access part of a server, with a trunk in the place of logic.

It never opens the store. Read next: ../parts.py, ../routing/trunk/gateway.py.
"""

from __future__ import annotations

import asyncio
import signal
import time

from longlink.errors import LonglinkError
from longlink.ops import numbers
from longlink.ops.metrics import Counts, watch_loop
from longlink.parts import Access
from longlink.routing.ids import gateway_number
from longlink.routing.trunk.gateway import Trunk
from longlink.routing.trunk.unanswered import Bounds
from longlink.workers.child import Line
from longlink.workers.shared import Shared


async def run(shared: Shared, worker: int, restarts: int, line: Line, asked: asyncio.Event) -> None:
    """Serve until asked to end, then drain. Raises LonglinkError when the start fails."""
    gateway = _Gateway(shared, worker, restarts)
    try:
        await gateway.start()
        await _until_attached(gateway.trunk, asked)
        line.ready()
        await asked.wait()
        await gateway.access.drain()
    finally:
        await gateway.stop()


class _Gateway:
    def __init__(self, shared: Shared, worker: int, restarts: int) -> None:
        server = shared.config.server
        self._counts = Counts()
        self.trunk = Trunk(
            shared.path,
            shared.secret,
            gateway_number(server.number, worker),
            restarts,
            Bounds(server.calls, server.call_bytes, server.answer_timeout_ms / 1000),
            self._counts,
            self._numbers,
        )
        self.access = Access(
            shared.config, worker, self._counts, _now_ms, self.trunk.handle, self.trunk, shared.ticket_secret
        )
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns once clients can be reached."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.access.reload)
        self._watching = asyncio.get_running_loop().create_task(watch_loop(self._counts))
        self.trunk.start(self.access.gateway)
        await self.access.start(self._problems, lambda: self.trunk.ask("metrics"))

    async def stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        await self.access.stop()
        await self.trunk.stop()

    async def _problems(self) -> list[str]:
        try:
            reasons = await self.trunk.ask("ready")
        except LonglinkError as error:
            return [str(error)]
        return reasons.decode().splitlines()

    def _numbers(self) -> bytes:
        own = (numbers.of_counts(self._counts), numbers.of_core(self.access.core), numbers.of_process())
        return numbers.encode(numbers.total([*own, {"trunk": dict(self.trunk.numbers())}]))


async def _until_attached(trunk: Trunk, asked: asyncio.Event) -> None:
    """Or until asked to end, for there may be no logic any more that could be reached."""
    waits = [asyncio.ensure_future(trunk.attached()), asyncio.ensure_future(asked.wait())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
