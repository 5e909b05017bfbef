"""Serves an ASGI app over HTTP/1.1 with uvicorn, inside our event loop: our signals, our errors, every size bounded.

What is over a bound: a header over HEADER_BYTES gets 431; as much behind a header that is no body (trailers, extensions
of chunks), a request or a TLS handshake that is not there after HEADER_S, and a connection above the most, counted from
its accept, are cut. A connection has one request at a time;
more than MOST_PIPELINED that wait behind it get 400. Read next: endpoints.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterator
from email.utils import formatdate
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from longlink import errors
from longlink.errors import LonglinkError
from longlink.ops import files, logs

log = logs.get("http")

HEADER_BYTES: Final = 16_384
HEADER_S: Final = 10.0
"""For a TLS handshake; for a request with its body, because no endpoint wants a body that takes longer."""
UNWANTED_BYTES: Final = 2**20
"""Of a body behind its answer, such as one that is too long: less, and the client might not get to read why."""
KEEP_ALIVE_S: Final = 15
MOST_PIPELINED: Final = 16
"""Requests of one connection that may wait behind the one under way; uvicorn would keep any number."""
BACKLOG: Final = 128
ACCEPT_AGAIN_S: Final = 1.0
"""How long nothing is accepted after the system could not: it has no file or no memory left."""
STOP_S: Final = 3
"""How long answers under way may take when the server stops."""
TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class HttpServer:
    """A server that listens. port: the real one, also when 0 was asked for."""

    def __init__(self, server: _Server, serving: asyncio.Task[None], port: int) -> None:
        self._server = server
        self._serving = serving
        self.port = port

    def use_tls(self, context: ssl.SSLContext) -> None:
        """New connections get this context; those that are there keep theirs. Only for a server that began with TLS."""
        self._server.config.ssl = context

    async def close(self) -> None:
        """Stop listening, finish what is under way for at most STOP_S. Idempotent."""
        self._server.end()
        await asyncio.wait([self._serving])


async def serve_http(
    app: ASGIApp,
    host: str,
    port: int,
    *,
    setting: str = "listen.http",
    tls: ssl.SSLContext | None = None,
    most: int = files.MOST_HTTP,
    shared: bool = False,
) -> HttpServer:
    """Listen and serve; returns once connections are accepted.

    setting: what names the address, for errors.
    tls: as certificates.server_context makes it; None: plain HTTP.
    most: connections at once.
    shared: other processes may listen on the same port, and the system shares the connections out.
    Raises PORT_TAKEN; CONFIG_INVALID for an address that this machine does not have.
    """
    config = uvicorn.Config(
        app,
        http=_Bounded,
        ws="none",
        lifespan="off",
        loop="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_S,
    )
    config.load()
    config.ssl = tls
    listener = _listen(host, port, setting, shared=shared)
    server = _Server(config, most)
    serving = asyncio.get_running_loop().create_task(server.serve(sockets=[listener]))
    serving.add_done_callback(_ended)
    started = asyncio.get_running_loop().create_task(server.accepting.wait())
    await asyncio.wait([serving, started], return_when=asyncio.FIRST_COMPLETED)
    started.cancel()
    if serving.done():
        serving.result()
    return HttpServer(server, serving, listener.getsockname()[1])


def _listen(host: str, port: int, setting: str, *, shared: bool) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
            0
        ]
        listener = socket.socket(family, kind)
    except OSError as error:
        raise _cannot_listen(f"{host}:{port} ({setting})", error) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
        listener.setblocking(False)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _cannot_listen(f"{host}:{port} ({setting})", error) from None
    return listener


def _cannot_listen(where: str, error: OSError) -> LonglinkError:
    row = errors.PORT_TAKEN if error.errno == errno.EADDRINUSE else errors.CONFIG_INVALID
    return LonglinkError(row, f"cannot listen on {where}: {error.strerror or error}")


def _ended(serving: asyncio.Task[None]) -> None:
    if not serving.cancelled() and (failure := serving.exception()) is not None:
        log.error("http_stopped", exc_info=failure)


class _Server(uvicorn.Server):
    """Leaves the signals to the process, says when it accepts, and accepts by itself.

    The event loop's own servers tell nobody of a connection before its TLS handshake is done; what counts is the file.
    """

    def __init__(self, config: uvicorn.Config, most: int) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()
        self._ended = asyncio.Event()
        self._most = most
        self._held: set[_Bounded] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])
        for listener in sockets or []:
            self._start(self._accept(listener))
        self.accepting.set()

    async def main_loop(self) -> None:
        """In place of uvicorn's, which looks ten times a second: a server that nobody asks should use no CPU."""
        await self._ended.wait()

    def end(self) -> None:
        self._ended.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        under_way = list(self._tasks)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await super().shutdown(sockets)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_ended)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                peer, _ = await loop.sock_accept(listener)
            except ConnectionAbortedError:
                continue
            except OSError as error:
                log.error("http_accept_failed", error=error.strerror, held=len(self._held))
                await asyncio.sleep(ACCEPT_AGAIN_S)
                continue
            if len(self._held) < self._most:
                connection = _Bounded(self.config, self.server_state, self.lifespan.state, self._held.discard)
                self._held.add(connection)
                self._start(self._open(peer, connection))
            else:
                peer.close()
            # An accept that does not wait does not give way: a flood of connections must not stop everything else.
            await asyncio.sleep(0)

    async def _open(self, peer: socket.socket, connection: _Bounded) -> None:
        """From now on peer is the transport's, which closes it also when the handshake fails."""
        tls = self.config.ssl
        wait_s = HEADER_S if tls else None
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                lambda: connection, peer, ssl=tls, ssl_handshake_timeout=wait_s, ssl_shutdown_timeout=wait_s
            )
        except OSError:
            self._held.discard(connection)
        except BaseException:
            self._held.discard(connection)
            raise

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Bounded(HttpToolsProtocol):
    """One connection, whose requests are bounded in number and in time, and their headers in size."""

    _deadline: asyncio.TimerHandle | None = None
    _reading_header = True
    _header_bytes = 0
    _beside_body = 0

    def __init__(
        self, config: uvicorn.Config, state: ServerState, app_state: dict[str, Any], lost: Callable[[_Bounded], None]
    ) -> None:
        """lost: told when the connection, once made, is gone."""
        super().__init__(config, state, app_state)
        self._lost = lost

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(self)
        self._got_request()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._reading_header and self._deadline is None:
            self._expect_request()
        # RFC 9110 section 6.6.1; uvicorn would write it down once a second.
        self.server_state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        while data and not self.transport.is_closing():
            data = self._parse(data)

    def _parse(self, data: bytes) -> bytes:
        """Returns what is left of it. No more than a header may have at once, for what follows may be a body."""
        if not self._reading_header:
            return self._parse_behind_header(data)
        room = HEADER_BYTES - self._header_bytes
        if room:
            self._header_bytes += min(room, len(data))
            super().data_received(data[:room])
        else:
            self.transport.write(TOO_LARGE)
            self.transport.close()
        return data[room:]

    def _parse_behind_header(self, data: bytes) -> bytes:
        """The app bounds the body while it answers. What else comes is bounded here, or the parser would keep it."""
        self._beside_body += len(data[:HEADER_BYTES])
        super().data_received(data[:HEADER_BYTES])
        if self._beside_body > (UNWANTED_BYTES if self.cycle.response_complete else HEADER_BYTES):
            self.transport.abort()
        return data[HEADER_BYTES:]

    def on_header(self, name: bytes, value: bytes) -> None:
        """Fields behind a body are dropped: a proxy may not have looked at them (RFC 9110 section 6.5.1)."""
        if self._reading_header:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        if not self.cycle.response_complete:
            self._beside_body = 0
        super().on_body(body)

    def on_chunk_complete(self) -> None:
        """Only because it is here does the parser tell the last field behind a body now, not with the next request."""

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MOST_PIPELINED:
            # The parser stops at an exception, and uvicorn then answers 400 and closes.
            raise ValueError("too many pipelined requests")
        super().on_message_begin()
        if self._deadline is None:
            self._expect_request()

    def on_headers_complete(self) -> None:
        self._reading_header = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._got_request()
        super().on_message_complete()
        self._reading_header = True
        self._header_bytes = self._beside_body = 0

    def _expect_request(self) -> None:
        self._deadline = self.loop.call_later(HEADER_S, self.transport.abort)

    def _got_request(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
