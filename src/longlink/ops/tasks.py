"""Tasks that nobody awaits: kept until they end, so that they can be waited for or cancelled; one that fails is logged.

Never cancels by itself. Read next: ../access/gateway.py, ../routing/trunk/logic.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from longlink.ops.logs import Logger


class Tasks:
    """log: of whoever begins them."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self.under_way: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Tasks begin in the order of the calls."""
        task = asyncio.get_running_loop().create_task(work)
        self.under_way.add(task)
        task.add_done_callback(self.ended)
        return task

    def ended(self, task: asyncio.Task[None]) -> None:
        """Also for a task that was made elsewhere."""
        self.under_way.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._log.error("task_failed", exc_info=failure)
