"""What the tests of a whole client share: a scene with a deadline that leaves no task behind, and events of a kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import longlink
from longlink.client.client import Client
from longlink.client.events import Event
from longlink.protocol.frames import Frame, body_name

from .double import Double

DEADLINE_S = 20.0


def play(scene: Coroutine[Any, Any, None]) -> None:
    """Run a scene, and fail if it leaves a task behind."""

    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await scene
        await asyncio.sleep(0)
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert left == []

    asyncio.run(bounded())


@asynccontextmanager
async def alice(double: Double, **options: Any) -> AsyncIterator[Client]:
    async with longlink.connect(double.url, **{"token": "alice", **options}) as client:
        yield client


async def events(client: Client, kind: type[Event], count: int = 1) -> list[Any]:
    found: list[Event] = []
    async for event in client:
        if isinstance(event, kind):
            found.append(event)
        if len(found) == count:
            break
    return found


def seen(double: Double, name: str) -> list[Frame]:
    """The requests of a kind that have come, in order."""
    return [frame for frame in double.seen if body_name(frame) == name]
