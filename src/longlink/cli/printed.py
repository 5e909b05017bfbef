"""Receipts for what was printed: a message counts as received once it is on standard output, and not before.

The newest message of each conversation is acknowledged, one request after the other; while one is under way the next
ones gather. For clients with auto_ack=False. Read next: tail.py, chat/lines.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from longlink.errors import LonglinkError

if TYPE_CHECKING:
    from longlink.client.client import Client
    from longlink.client.events import Message


class Printed:
    """One per client; made by `acknowledging`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._newest: dict[str, Message] = {}
        self._more = asyncio.Event()

    def add(self, message: Message) -> None:
        """This message, and all before it in its conversation, was printed."""
        self._newest[message.conversation] = message
        self._more.set()

    async def run(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            await self.rest()

    async def rest(self) -> None:
        """Acknowledge what has gathered. What fails is printed again by the next run, at most."""
        while self._newest:
            _, message = self._newest.popitem()
            with contextlib.suppress(LonglinkError):
                await self._client.ack(message)


@contextlib.asynccontextmanager
async def acknowledging(client: Client) -> AsyncIterator[Printed]:
    """Acknowledges what is added, until the block ends and all of it is done."""
    printed = Printed(client)
    work = asyncio.create_task(printed.run())
    try:
        yield printed
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await printed.rest()
