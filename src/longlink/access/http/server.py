"""Serves an ASGI app over HTTP/1.1 with uvicorn, inside our event loop: our signals, our errors, every size bounded.

A connection counts from its accept. It is cut when it has no place (places.py), when its TLS handshake takes longer
than HANDSHAKE_S, and when its peer takes no byte of what waits for it during a stall timeout, also after we have closed
it: the kernel does that, so the timeout needs no timer here. Read next: connection.py, endpoints.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
import sys
from collections.abc import Coroutine, Iterator
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from longlink import errors
from longlink.access.http.connection import HttpConnection
from longlink.access.http.places import Places, bounded_address
from longlink.errors import LonglinkError
from longlink.ops import logs

log = logs.get("http")

HANDSHAKE_S: Final = 10.0
KEEP_ALIVE_S: Final = 15
BACKLOG: Final = 128
ACCEPT_AGAIN_S: Final = 1.0
"""How long nothing is accepted after the system could not: it has no file or no memory left."""
STOP_S: Final = 3
"""How long answers under way may take when the server stops."""
STALL_MS: Final = 30_000
SEND_BYTES: Final = 131_072
"""Of the kernel's buffer for one connection, where it would grow to several MiB; the kernel takes twice as much."""
RECEIVE_BYTES: Final = 65_536
"""The same for what the peer has sent and we have not read."""


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
    places: Places,
    *,
    setting: str = "listen.http",
    tls: ssl.SSLContext | None = None,
    stall_ms: int = STALL_MS,
    shared: bool = False,
) -> HttpServer:
    """Listen and serve; returns once connections are accepted.

    places: for its connections.
    setting: what names the address, for errors.
    tls: as certificates.server_context makes it; None: plain HTTP.
    stall_ms: a connection ends whose peer takes no byte for so long while some wait for it.
    shared: other processes may listen on the same port, and the system shares the connections out.
    Raises PORT_TAKEN; CONFIG_INVALID for an address that this machine does not have.
    """
    config = uvicorn.Config(
        app,
        http=HttpConnection,
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
    listener = _listen(host, port, setting, stall_ms, shared=shared)
    server = _Server(config, places)
    serving = asyncio.get_running_loop().create_task(server.serve(sockets=[listener]))
    serving.add_done_callback(_ended)
    started = asyncio.get_running_loop().create_task(server.accepting.wait())
    await asyncio.wait([serving, started], return_when=asyncio.FIRST_COMPLETED)
    started.cancel()
    if serving.done():
        serving.result()
    return HttpServer(server, serving, listener.getsockname()[1])


def _listen(host: str, port: int, setting: str, stall_ms: int, *, shared: bool) -> socket.socket:
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
        # What a connection gets from its listener.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        if sys.platform == "linux":
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, stall_ms)
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

    def __init__(self, config: uvicorn.Config, places: Places) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()
        self._ended = asyncio.Event()
        self._places = places
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

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_ended)
        return task

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                peer, remote = await loop.sock_accept(listener)
            except ConnectionAbortedError:
                continue
            except OSError as error:
                log.error("http_accept_failed", error=error.strerror, held=len(self._places))
                await asyncio.sleep(ACCEPT_AGAIN_S)
                continue
            if self._places.admit(remote[0]):
                address, state = bounded_address(remote[0]), self.lifespan.state
                connection = HttpConnection(self.config, self.server_state, state, address, self._places)
                self._places.add(connection)
                connection.opening = self._start(self._open(peer, connection))
            else:
                peer.close()
            # An accept that does not wait does not give way: a flood of connections must not stop everything else.
            await asyncio.sleep(0)

    async def _open(self, peer: socket.socket, connection: HttpConnection) -> None:
        """From now on peer is the transport's, which closes it also when the handshake fails."""
        tls = self.config.ssl
        wait_s = HANDSHAKE_S if tls else None
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                lambda: connection, peer, ssl=tls, ssl_handshake_timeout=wait_s, ssl_shutdown_timeout=wait_s
            )
        except OSError:
            self._places.discard(connection)
        except BaseException:
            self._places.discard(connection)
            raise

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
