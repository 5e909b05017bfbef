"""Commands whose calls have nothing to gain from a batch: each call is answered for itself, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from longlink.errors import LonglinkError
from longlink.logic.services import Services
from longlink.protocol.frames import Frame
from longlink.routing.calls import Call


async def each(
    one: Callable[[Services, Call], Awaitable[Frame]], services: Services, calls: Sequence[Call]
) -> list[Frame | LonglinkError]:
    """What `one` returns or raises for each call, in order; they begin in that order too."""

    async def answer(call: Call) -> Frame | LonglinkError:
        try:
            return await one(services, call)
        except LonglinkError as error:
            return error

    return list(await asyncio.gather(*(answer(call) for call in calls)))
