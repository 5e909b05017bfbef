"""A proxy that lets plain HTTP through and no WebSocket, as some companies have; or everything, when it is told to.

One address for both links: POST /v1/events goes to the long link's port, and so does an upgrade; everything else to the
short link's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from longlink.testing import RunningServer

REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\nConnection: close\r\n\r\nno way"


@dataclass
class Picky:
    """refuses: whether an upgrade is refused. refused: how many were."""

    server: RunningServer
    refuses: bool = True
    refused: int = 0
    port: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Every connection that goes through breaks."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def end(self) -> None:
        self.cut()
        await asyncio.gather(*self._tasks)

    def begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._take(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._pass(reader, writer)
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        upgrade = b"upgrade: websocket" in head.lower()
        if upgrade and self.refuses:
            self.refused += 1
            writer.write(REFUSAL)
            await writer.drain()
            return
        long_link = upgrade or head.startswith(b"POST /v1/events")
        port = self.server.port if long_link else int(self.server.http.rpartition(":")[2])
        there, back = await asyncio.open_connection("127.0.0.1", port)
        self._writers.add(back)
        back.write(head)
        ways = [asyncio.create_task(_pump(reader, back)), asyncio.create_task(_pump(there, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._writers.discard(back)
            back.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def picky(server: RunningServer) -> AsyncIterator[Picky]:
    proxy = Picky(server)
    listener = await asyncio.start_server(proxy.begin, "127.0.0.1", 0)
    proxy.port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield proxy
        await proxy.end()
