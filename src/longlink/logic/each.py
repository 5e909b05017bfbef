"""Commands whose calls gain nothing from a batch: each is answered by itself, as many at once as there are slots."""

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
        user = call.session.user
        await services.slots.take(user)
        try:
            return await one(services, call)
        except LonglinkError as error:
            return error.with_traceback(None)
        finally:
            services.slots.give_back(user)

    return list(await asyncio.gather(*(answer(call) for call in calls)))
