"""A small echo server, and a client of streams, for tests of the network between them. Read next: test_network.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

from longlink.testing import HostileNetwork

DEADLINE_S: Final = 20.0


class Echo:
    """answers: whether it echoes. ends: how connections have ended, "" for FIN. connections: how many there are."""

    def __init__(self) -> None:
        self.port = 0
        self.answers = True
        self.heard = bytearray()
        self.ends: list[str] = []
        self.connections = 0
        self.changed = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.changed.set()
        end = ""
        try:
            while data := await reader.read(65_536):
                self.heard += data
                self.changed.set()
                if self.answers:
                    writer.write(data)
        except ConnectionError as error:
            end = type(error).__name__
        self.ends.append(end)
        self.connections -= 1
        self.changed.set()
        writer.close()

    async def until(self, holds: Any) -> None:
        while not holds():
            self.changed.clear()
            await self.changed.wait()


@asynccontextmanager
async def echo_behind(**options: Any) -> AsyncIterator[tuple[Echo, HostileNetwork]]:
    """The server, and the network in front of it."""
    echo = Echo()
    async with await asyncio.start_server(echo.serve, "127.0.0.1", 0) as server:
        echo.port = server.sockets[0].getsockname()[1]
        async with HostileNetwork(echo.port, **options) as network:
            yield echo, network


class Caller:
    """A client of the echo server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def back(self, data: bytes) -> bytes:
        """Send, and wait for as many bytes."""
        self.writer.write(data)
        return await self.reader.readexactly(len(data))

    async def end(self) -> str:
        """Read until the connection ends: "" for FIN, otherwise the name of the error."""
        try:
            while await self.reader.read(65_536):
                pass
        except ConnectionError as error:
            return type(error).__name__
        return ""


@asynccontextmanager
async def calling(network: HostileNetwork) -> AsyncIterator[Caller]:
    reader, writer = await asyncio.open_connection("127.0.0.1", network.port)
    try:
        yield Caller(reader, writer)
    finally:
        writer.close()


def play(scene: Coroutine[Any, Any, None]) -> None:
    """Run it, with a deadline."""

    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await scene

    asyncio.run(bounded())
