"""Echo clients: each connection has one message under way and sends the next when the echo has come."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from bench.load.link import in_turn

PAYLOAD: Final = b"x" * 100


class Echoed(WSListener):
    def __init__(self) -> None:
        self.transport: WSTransport
        self.echoes = 0
        self.wrong = 0
        self.looping = True

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self.echoes += 1
        if frame.payload_size != len(PAYLOAD):
            self.wrong += 1
        if self.looping:
            transport.send(WSMsgType.BINARY, PAYLOAD)


class Echo:
    def __init__(self, url: str, subprotocol: str) -> None:
        self._url = url
        self._headers = {"Sec-WebSocket-Protocol": subprotocol} if subprotocol else {}
        self._clients: list[Echoed] = []

    async def connect(self, count: int) -> dict[str, Any]:
        self._clients = await in_turn(partial(self._join) for _ in range(count))
        return {"connections": len(self._clients)}

    async def _join(self) -> Echoed:
        client = Echoed()
        await ws_connect(
            lambda: client, self._url, extra_headers=self._headers, read_buffer_init_size=4096, use_aiofastnet=False
        )
        return client

    async def loop(self) -> dict[str, Any]:
        for client in self._clients:
            client.transport.send(WSMsgType.BINARY, PAYLOAD)
        return {}

    async def halt(self) -> dict[str, Any]:
        for client in self._clients:
            client.looping = False
        return {}

    async def count(self) -> dict[str, Any]:
        return {
            "echoes": sum(client.echoes for client in self._clients),
            "wrong": sum(client.wrong for client in self._clients),
        }
