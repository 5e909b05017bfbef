"""One link and its requests, where the order of two failures counts."""

from __future__ import annotations

import asyncio
import gc
from typing import Any, NoReturn

import pytest

from longlink import errors
from longlink.client.connect import connect
from longlink.client.connection import Connection
from longlink.client.prober import Prober
from longlink.errors import LonglinkError
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Connected, Frame, OpenDirect


class Breaking:
    """A transport that takes no bytes, and then breaks for the reader and, a little later, for the writer."""

    link = "websocket"
    encoding = Encoding.BINARY
    talks = True
    patient = True

    def admitted(self, connected: Connected) -> None:
        """Nothing to remember."""

    def __init__(self) -> None:
        self.broken = asyncio.Event()

    async def send(self, data: bytes) -> NoReturn:
        await self.broken.wait()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        raise LonglinkError(errors.DISCONNECTED, "broken")

    async def receive(self) -> NoReturn:
        await self.broken.wait()
        raise LonglinkError(errors.DISCONNECTED, "broken")

    async def close(self, code: int) -> None:
        return


def test_a_link_that_breaks_while_a_request_is_written_is_told_once() -> None:
    reported: list[dict[str, Any]] = []

    async def scene() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        transport = Breaking()
        options = connect("ws://127.0.0.1:1", token="")._options
        connection = Connection(
            transport, options, Prober(fixed_s=60.0), Connected(heartbeat_ms=60_000), lambda _: None
        )
        running = asyncio.create_task(connection.run())
        asking = asyncio.create_task(connection.request(Frame(open_direct=OpenDirect(user="bob"))))
        await asyncio.sleep(0)
        transport.broken.set()
        for task in (running, asking):
            with pytest.raises(LonglinkError, match="broken"):
                await task

    asyncio.run(scene())
    gc.collect()
    assert reported == [], "asyncio reports an error that nobody has looked at"
