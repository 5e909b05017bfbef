"""One client connection of the load: picows on uvloop, speaking the binary protocol. As light as Python allows.

It authenticates and counts; what arrives afterwards is for the subclass. Read next: chat.py.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeVar

from picows import WSFrame, WSListener, WSMsgType, WSParsedURL, WSTransport, ws_connect

from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Connect, Frame

ANSWER_S: Final = 30.0
AT_ONCE: Final = 64
"""Handshakes under way in one load process: below the server's limit of half-open connections."""


class Link(WSListener):
    """A connection that has proved who it is once `ask(connect)` has returned."""

    def __init__(self) -> None:
        self.transport: WSTransport
        self.heartbeats = 0
        self.closed: str = ""
        self._asked: asyncio.Future[Frame] | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.closed = self.closed or "connection lost"
        if self._asked is not None and not self._asked.done():
            self._asked.set_exception(ConnectionError(self.closed))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            self.closed = f"{frame.get_close_code()} {(frame.get_close_message() or b'').decode(errors='replace')}"
        elif frame.payload_size == 0:
            self.heartbeats += 1
        elif self._asked is not None:
            asked, self._asked = self._asked, None
            asked.set_result(Frame.FromString(frame.get_payload_as_bytes()))
        else:
            self.take(Frame.FromString(frame.get_payload_as_bytes()), bool(frame.last_in_buffer))

    def take(self, frame: Frame, last: bool) -> None:
        """A frame that nobody waits for; last: nothing else has been read from the socket."""

    async def ask(self, frame: Frame) -> Frame:
        """Send a request and wait for what comes next. Raises ConnectionError or TimeoutError."""
        frame.id = 1
        self._asked = asyncio.get_running_loop().create_future()
        self.transport.send(WSMsgType.BINARY, frame.SerializeToString())
        answer = await asyncio.wait_for(self._asked, ANSWER_S)
        if answer.WhichOneof("body") == "error":
            raise ConnectionError(f"{answer.error.name}: {answer.error.message}")
        return answer


L = TypeVar("L", bound=Link)


async def join(make: Callable[[], L], url: str, token: str, source: str, tls: ssl.SSLContext | None = None) -> L:
    """Connect one link from the loopback address `source` and authenticate it."""
    link = make()
    await ws_connect(
        lambda: link,
        url,
        extra_headers={"Sec-WebSocket-Protocol": Encoding.BINARY.subprotocol},
        socket_factory=lambda parsed: _bound(parsed, source),
        ssl_context=tls,
        websocket_handshake_timeout=ANSWER_S,
        read_buffer_init_size=4096,
        use_aiofastnet=False,
    )
    await link.ask(Frame(connect=Connect(version=1, token=token, device="bench", agent="longlink-bench")))
    return link


def _bound(_: WSParsedURL, source: str) -> socket.socket:
    """Another loopback address per process and round, so that no round waits for the ports of the one before."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setblocking(False)
    made.bind((source, 0))
    return made


async def in_turn(work: Iterable[Callable[[], Awaitable[Any]]]) -> list[Any]:
    """Run all, AT_ONCE at a time; results in order. The first failure ends it."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(do: Callable[[], Awaitable[Any]]) -> Any:
        async with gate:
            return await do()

    return list(await asyncio.gather(*(one(do) for do in work)))
