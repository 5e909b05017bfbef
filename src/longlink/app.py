"""Wiring: the one file that knows every layer. Builds a server from its settings, starts it, drains it, stops it.

Server is the whole product as a value: `longlink serve` runs one, a Python program may run one beside its own code.
No message passes through here. Read next: access/gateway.py (in), logic/commands.py (what it means).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from longlink import _core, errors
from longlink.access.gateway import Gateway
from longlink.access.handshake import Handshake
from longlink.access.http import HttpServer, build_http, serve_http
from longlink.access.tokens import Verifier
from longlink.config import Config, split_address
from longlink.config.check import check as check_settings
from longlink.errors import LonglinkError
from longlink.logic import commands
from longlink.logic.services import Services
from longlink.ops import files, logs
from longlink.ops.metrics import Counts, Metrics, watch_loop
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Closing
from longlink.routing.bus.local import LocalBus
from longlink.routing.delivery import Delivery
from longlink.routing.sessions import MemorySessions
from longlink.storage.base import Store
from longlink.storage.sqlite import open_store

log = logs.get("app")

FINISH_MS: Final = 5_000
"""How long calls under way may take after the last connection was closed."""
LARGEST_PAGE: Final = 2**20
"""Bytes of content in one page of history, however long the queues are: it must fit one record, also in JSON."""
COLLECT_AFTER: Final = 50_000
"""Objects that may be made before the collector looks; measured, a tenth of the CPU per message against the default."""
PROBE_EVERY_S: Final = 0.1
"""How often /readyz makes the store write, however many ask."""
SWITCH_INTERVAL_S: Final = 0.0005
"""How long a busy event loop may hold the GIL while the storage thread waits for it."""


class Server:
    """One Longlink in this process: embedded storage, local bus, sessions in memory.

    Raises CONFIG_INVALID, INSECURE for settings that contradict one another, as `longlink serve` does.
    """

    def __init__(self, config: Config, *, name: str = "gateway", now_ms: Callable[[], int] | None = None) -> None:
        check_settings(config, {})
        self.config = config
        self._name = name
        self._now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)
        self._counts = Counts()
        self._draining = False
        self._probe: asyncio.Future[None] | None = None
        self._probe_again = 0.0
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self._verifier: Verifier
        self._core: _core.Core
        self._gateway: Gateway
        self._http: HttpServer
        self.port = 0
        self.http_port = 0

    @property
    def url(self) -> str:
        """Address of the long link, for clients."""
        listen = self.config.listen
        return f"{'wss' if listen.tls_certificate else 'ws'}://{host_in_url(listen.address)}:{self.port}"

    @property
    def http_url(self) -> str:
        listen = self.config.listen
        return f"{'https' if listen.tls_certificate else 'http'}://{host_in_url(listen.http)}:{self.http_port}"

    async def start(self) -> None:
        """Open the store, then the long link, then HTTP. Raises LonglinkError and leaves nothing running."""
        try:
            store = await self._open_store()
            self._verifier = Verifier.from_config(self.config.auth, self.folder)
            self._open_long_link(store)
            await self._open_http(store)
            self._write_address()
            self._watch_loop()
        except BaseException:
            await self.stop()
            raise

    async def drain(self) -> None:
        """Refuse new connections, close the others with `draining`, spread over drain.duration_ms; finish calls."""
        self._draining = True
        reconnect_ms = self.config.drain.reconnect_after_ms
        closing = Closing(
            code=errors.DRAINING.code,
            name=errors.DRAINING.name,
            message="the server is shutting down; messages that were acknowledged are safe",
            reconnect_after_ms=reconnect_ms,
        )
        await self._gateway.drain(self.config.drain.duration_ms, closing, FINISH_MS)

    async def stop(self) -> None:
        """Close everything, last opened first. Idempotent."""
        while self._closers:
            await self._closers.pop()()

    def reload(self) -> None:
        """Read token keys and certificates again, each by itself: on an error the old one stays in use."""
        listen = self.config.listen
        _reload("auth.keys", self._verifier.reload)
        if listen.tls_certificate:
            _reload(
                "the long link's certificate", lambda: self._core.reload_tls(listen.tls_certificate, listen.tls_key)
            )
            _reload("the certificate of HTTP", lambda: self._http.reload_tls(listen.tls_certificate, listen.tls_key))

    @property
    def folder(self) -> Path:
        return Path(self.config.data.dir)

    async def _open_store(self) -> Store:
        store = await open_store(self.folder, self.config.storage, now_ms=self._now_ms)
        self._closers.append(store.close)
        return store

    def _open_long_link(self, store: Store) -> None:
        connection = self.config.connection
        self._core = build_core(self.config)
        sessions, bus = MemorySessions(connection.sessions_per_user), LocalBus()
        services = Services(
            store=store,
            delivery=Delivery(sessions, bus, self._counts),
            counts=self._counts,
            now_ms=self._now_ms,
            server=f"longlink/{_core.__version__}",
            heartbeat_ms=connection.heartbeat_ms,
            max_frame_bytes=connection.max_message_bytes,
            page_bytes=min(connection.queue_bytes // 4, LARGEST_PAGE),
        )
        handshake = Handshake(self._verifier, lambda: self._now_ms() / 1000)
        self._gateway = Gateway(
            self._name, self._core, handshake, commands.handler(services), sessions, bus, self._counts
        )
        self.port = listen_on(self._core, self.config)
        self._gateway.start()
        self._closers.append(self._stop_long_link)

    async def _stop_long_link(self) -> None:
        self._gateway.stop()

    async def _open_http(self, store: Store) -> None:
        listen = self.config.listen
        metrics = Metrics(self._counts, core=self._core, store=store)
        app = build_http(ready=lambda: self._problems(store), metrics=metrics.render)
        host, port = split_address(listen.http)
        self._http = await serve_http(app, host, port, tls=tls_files(self.config), most=files.http_files(file_limit()))
        self.http_port = self._http.port
        self._closers.append(self._http.close)

    async def _problems(self, store: Store) -> list[str]:
        """Why this server should get no traffic now; empty when it should."""
        if self._draining:
            return ["draining"]
        now = asyncio.get_running_loop().time()
        if self._probe is None or (self._probe.done() and now >= self._probe_again):
            self._probe = asyncio.ensure_future(store.check())
            self._probe_again = now + PROBE_EVERY_S
        try:
            await asyncio.shield(self._probe)
        except LonglinkError as error:
            return [str(error)]
        return []

    def _watch_loop(self) -> None:
        watching = asyncio.get_running_loop().create_task(watch_loop(self._counts))

        async def stop_watching() -> None:
            watching.cancel()

        self._closers.append(stop_watching)

    def _write_address(self) -> None:
        """Leave a note in the data folder for tools on this machine: where we are, and for whom tokens must be."""
        note, auth = self.folder / "server.json", self.config.auth
        said = {"pid": os.getpid(), "url": self.url, "http": self.http_url}
        said |= {"audience": auth.audience, "issuer": auth.issuer}
        try:
            note.write_text(json.dumps(said) + "\n")
        except OSError as error:
            raise LonglinkError(errors.DATA_UNUSABLE, f"cannot write {note}: {error.strerror}") from None
        self._closers.append(lambda: asyncio.to_thread(note.unlink, missing_ok=True))


def _reload(what: str, read: Callable[[], None]) -> None:
    try:
        read()
    except (LonglinkError, ValueError) as error:
        log.error("reload_failed", what=what, error=str(error))
    else:
        log.info("reloaded", what=what)


def host_in_url(address: str) -> str:
    """The host of "host:port" as a URL has it: an IPv6 address in brackets (RFC 3986 section 3.2.2)."""
    return address.rpartition(":")[0]


def tls_files(config: Config) -> tuple[str, str] | None:
    listen = config.listen
    return (listen.tls_certificate, listen.tls_key) if listen.tls_certificate else None


def build_core(config: Config) -> _core.Core:
    """The connection core with the limits of [connection]. Raises CONFIG_INVALID naming the one out of range."""
    limits = config.connection
    try:
        return _core.Core(
            threads=limits.threads or max(1, min(8, (os.cpu_count() or 2) // 2)),
            max_connections=min(limits.max_connections, files.link_files(file_limit())),
            max_message_bytes=limits.max_message_bytes,
            header_timeout_ms=limits.header_timeout_ms,
            hello_timeout_ms=limits.hello_timeout_ms,
            idle_timeout_ms=limits.idle_timeout_ms,
            stall_timeout_ms=limits.stall_timeout_ms,
            queue_bytes=limits.queue_bytes,
            total_queue_bytes=limits.total_queue_bytes,
            coalesce_ms=limits.coalesce_ms,
            message_rate=limits.message_rate,
            message_burst=limits.message_burst,
            accept_rate=limits.accept_rate,
            accept_burst=limits.accept_burst,
            half_open_per_address=limits.half_open_per_address,
            ring_events=limits.ring_events,
            ring_bytes=limits.ring_bytes,
            subprotocols=[(encoding.subprotocol, encoding is Encoding.TEXT) for encoding in Encoding],
        )
    except (ValueError, OverflowError) as error:
        raise LonglinkError(errors.CONFIG_INVALID, f"connection.{error}") from None


def file_limit() -> int:
    """How many files the operating system lets this process hold; raises the soft limit to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return soft


def listen_on(core: _core.Core, config: Config) -> int:
    """Raises PORT_TAKEN; CONFIG_INVALID for an address that this machine does not have and for certificates."""
    host, port = split_address(config.listen.address)
    try:
        return core.listen(host, port, tls=tls_files(config))
    except OSError as error:
        row = errors.PORT_TAKEN if error.errno == errno.EADDRINUSE else errors.CONFIG_INVALID
        message = f"cannot listen on {config.listen.address} (listen.address): {error.strerror or error}"
        raise LonglinkError(row, message) from None
    except ValueError as error:
        raise LonglinkError(errors.CONFIG_INVALID, str(error)) from None


async def run(server: Server, *, beside: Callable[[Server], Awaitable[None]] | None = None) -> None:
    """Serve until SIGINT or SIGTERM, then drain; a second signal stops at once. SIGHUP reloads.

    beside: runs once the server is ready; its failure ends the server.
    """
    begun = time.perf_counter()
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: sys.exit(1) if asked.is_set() else asked.set())
    loop.add_signal_handler(signal.SIGHUP, server.reload)
    await server.start()
    _calm_collector()
    try:
        took_ms = round((time.perf_counter() - begun) * 1000)
        log.info("ready", url=server.url, http=server.http_url, data=server.config.data.dir, ms=took_ms)
        guest = asyncio.ensure_future(beside(server)) if beside else None
        await _until(asked, guest)
        log.info("draining", ms=server.config.drain.duration_ms)
        await server.drain()
    finally:
        await server.stop()
    log.info("stopped")


def _calm_collector() -> None:
    """Keep the cyclic collector off what lives for ever, and let it run less often: messages leave no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)


async def _until(asked: asyncio.Event, guest: asyncio.Future[None] | None) -> None:
    waiting: asyncio.Future[Any] = asyncio.ensure_future(asked.wait())
    if guest is not None:
        await asyncio.wait([waiting, guest], return_when=asyncio.FIRST_COMPLETED)
        if guest.done():
            guest.result()
        else:
            guest.cancel()
    await waiting


def serve(config: Config, *, beside: Callable[[Server], Awaitable[None]] | None = None) -> int:
    """What `longlink serve` does. Returns the exit code; raises LonglinkError when the start fails."""
    import uvloop

    sys.setswitchinterval(SWITCH_INTERVAL_S)
    logs.setup(config.log)
    uvloop.run(run(Server(config), beside=beside))
    return 0
