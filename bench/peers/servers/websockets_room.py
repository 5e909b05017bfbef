"""The room protocol on `websockets` over uvloop: its own broadcast(), compression and keepalive off, as advised."""

from __future__ import annotations

import asyncio
import contextlib

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

ROOM: set[ServerConnection] = set()


async def answer(link: ServerConnection) -> None:
    try:
        with contextlib.suppress(ConnectionClosed):
            async for message in link:
                if message == b"+":
                    ROOM.add(link)
                elif message[:1] in {b"=", b"~"}:
                    broadcast(ROOM, message[1:])
                else:
                    await link.send(message)
    finally:
        ROOM.discard(link)


async def main() -> None:
    async with serve(answer, "127.0.0.1", 0, compression=None, ping_interval=None, backlog=4096) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.Event().wait()


uvloop.run(main())
