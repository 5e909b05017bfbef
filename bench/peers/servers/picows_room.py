"""The room protocol on picows over uvloop, with small read buffers, as its author advises for many connections."""

from __future__ import annotations

import asyncio

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

JOIN = ord("+")
PUBLISH = b"=~"
ROOM: set[WSTransport] = set()


class _Member(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
        elif frame.msg_type == WSMsgType.BINARY:
            self._binary(transport, frame.get_payload_as_memoryview())
        elif frame.msg_type == WSMsgType.TEXT:
            transport.send(frame.msg_type, frame.get_payload_as_memoryview())

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        ROOM.discard(transport)

    def _binary(self, transport: WSTransport, payload: memoryview) -> None:
        first = payload[0] if payload else 0
        if first in PUBLISH:
            said = payload[1:]
            for member in ROOM:
                member.send(WSMsgType.BINARY, said)
        elif first == JOIN and len(payload) == 1:
            ROOM.add(transport)
        else:
            transport.send(WSMsgType.BINARY, payload)


async def main() -> None:
    server = await ws_create_server(
        lambda request: _Member(), "127.0.0.1", 0, read_buffer_init_size=512, use_aiofastnet=False, backlog=4096
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


uvloop.run(main())
