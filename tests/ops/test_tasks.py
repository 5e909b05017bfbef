"""Tasks that nobody awaits are kept until they end, and a failure among them is not silent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine

import pytest

from longlink.ops import logs
from longlink.ops.tasks import Tasks


def run(work: Callable[[Tasks], Coroutine[None, None, None]], caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged."""
    caplog.clear()
    asyncio.run(work(Tasks(logs.Logger(logging.getLogger("tasks")))))
    return [record.getMessage() for record in caplog.records]


async def fail() -> None:
    raise ValueError("planted")


def test_a_task_is_kept_until_it_ends_and_no_longer(caplog: pytest.LogCaptureFixture) -> None:
    async def work(tasks: Tasks) -> None:
        task = tasks.begin(asyncio.sleep(0))
        assert tasks.under_way == {task}
        await asyncio.wait([task])
        assert not tasks.under_way

    assert run(work, caplog) == []


def test_a_task_that_fails_is_logged_and_one_that_is_cancelled_is_not(caplog: pytest.LogCaptureFixture) -> None:
    async def work(tasks: Tasks) -> None:
        cancelled = tasks.begin(asyncio.sleep(60))
        cancelled.cancel()
        await asyncio.wait([tasks.begin(fail()), cancelled])

    assert run(work, caplog) == ["task_failed"]
