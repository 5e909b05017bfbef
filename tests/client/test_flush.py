"""Waiting for the disk: together, in order, and without the event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from longlink.client.flush import Flush


def test_who_comes_while_a_sync_is_under_way_shares_the_next_one_and_all_return_in_order() -> None:
    begun, go_on = threading.Semaphore(0), threading.Semaphore(0)

    def sync() -> None:
        begun.release()
        go_on.acquire()

    async def scene() -> None:
        flush, done = Flush(sync), []

        async def wait(name: int) -> None:
            await flush.done()
            done.append(name)

        first = asyncio.create_task(wait(0))
        await asyncio.to_thread(begun.acquire)
        others = [asyncio.create_task(wait(name)) for name in (1, 2, 3)]
        await asyncio.sleep(0)
        go_on.release()
        await first
        assert done == [0]
        await asyncio.to_thread(begun.acquire)
        others[1].cancel()
        go_on.release()
        await flush.idle()
        assert done == [0, 1, 3]

    asyncio.run(asyncio.wait_for(scene(), 10))


def test_a_disk_that_fails_is_told_to_all_who_waited_and_tried_again_by_the_next() -> None:
    errors = [OSError("full"), None]

    def sync() -> None:
        if (error := errors.pop(0)) is not None:
            raise error

    async def scene() -> None:
        flush = Flush(sync)
        results = await asyncio.gather(flush.done(), flush.done(), return_exceptions=True)
        assert [type(result) for result in results] == [OSError, OSError]
        await flush.done()
        await flush.idle()

    asyncio.run(asyncio.wait_for(scene(), 10))


def test_the_event_loop_goes_on_while_the_disk_is_slow() -> None:
    go_on = threading.Event()

    async def scene() -> None:
        flush = Flush(lambda: pytest.fail("the loop stood still") if not go_on.wait(5) else None)
        waiting = asyncio.create_task(flush.done())
        asyncio.get_running_loop().call_later(0.01, go_on.set)
        await waiting

    asyncio.run(asyncio.wait_for(scene(), 10))
