"""Waiting for the disk without stopping the event loop: one fsync for all who wait, in a thread.

The store has written before; this makes it last. Calls return in the order in which they were made, so messages keep
the order of their sending. Read next: store.py, which is flushed; outgoing.py, which waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Flush:
    """One per client. sync: waits for the disk; it runs in a thread, and never twice at the same time."""

    def __init__(self, sync: Callable[[], None]) -> None:
        self._sync = sync
        self._waiting: list[asyncio.Future[None]] = []
        self._work: asyncio.Task[None] | None = None

    async def done(self) -> None:
        """Returns when everything that was written before this call is on disk. Raises what sync raises."""
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        if self._work is None:
            self._work = asyncio.create_task(self._run())
        await mine

    async def idle(self) -> None:
        """Returns when nobody waits any more; those who waited have gone on by then."""
        while self._work is not None:
            await asyncio.wait({self._work})
            await asyncio.sleep(0)

    async def _run(self) -> None:
        try:
            while self._waiting:
                due, self._waiting = self._waiting, []
                try:
                    await asyncio.to_thread(self._sync)
                except Exception as error:
                    _resolve(due, error)
                else:
                    _resolve(due, None)
        finally:
            self._work = None


def _resolve(due: list[asyncio.Future[None]], error: Exception | None) -> None:
    for each in due:
        if each.done():
            continue
        if error is None:
            each.set_result(None)
        else:
            each.set_exception(error)
