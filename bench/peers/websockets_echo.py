"""An echo server on the `websockets` library over uvloop, its keepalive and compression off: the cheapest it offers."""

from __future__ import annotations

import asyncio
import contextlib

import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed


async def _echo(link: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for message in link:
            await link.send(message)


async def main() -> None:
    async with serve(_echo, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.Event().wait()


uvloop.run(main())
