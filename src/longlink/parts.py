"""The two parts of a server, built from its settings: Access, which holds the clients, and Logic, which owns the store.

In one process they are joined directly (app.py), with workers by trunks (workers/). Neither part knows how. Read next:
access/gateway.py, logic/commands.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import json
import os
import resource
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from starlette.types import ASGIApp

from longlink import _core, errors
from longlink.access.control import NUMBERS, Control
from longlink.access.gateway import MISSED_PER_S, Bounds, Gateway
from longlink.access.handshake import Handshake
from longlink.access.http import (
    Callers,
    HttpServer,
    Places,
    Proxies,
    ShortLink,
    Strangers,
    build_http,
    build_operations,
    pair_bytes,
    serve_http,
    server_context,
)
from longlink.access.resume import ResumeKeys
from longlink.access.secret_files import write_private
from longlink.access.tokens import Verifier
from longlink.config import DEFAULT_OPERATIONS, Config, Connection, Settings, split_address
from longlink.errors import LonglinkError
from longlink.logic import commands
from longlink.logic.broadcast import broadcast
from longlink.logic.operate import end_sessions, show_everybody, show_sessions
from longlink.logic.quota import Quota
from longlink.logic.services import RECEIPTS, Services
from longlink.logic.slots import Slots
from longlink.ops import files, logs
from longlink.ops.metrics import Counts
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Closing
from longlink.protocol.heartbeats import Heartbeats
from longlink.routing.bus.base import Bus
from longlink.routing.calls import Handler
from longlink.routing.delivery import Delivery
from longlink.routing.ids import SessionIds
from longlink.routing.rates import Rate
from longlink.routing.registrar import Registrar
from longlink.routing.registry import MemorySessions
from longlink.routing.sessions import Registry
from longlink.routing.work import Accounts
from longlink.storage.base import Store

log = logs.get("app")

FINISH_MS: Final = 5_000
"""How long calls under way may take after the last connection was closed."""
LARGEST_PAGE: Final = 2**20
"""Bytes of content in one page of history, however long the queues are: it must fit one record, also in JSON."""
COLLECT_AFTER: Final = 50_000
"""Objects that may be made before the collector looks; measured, a tenth of the CPU per message against the default."""
PROBE_EVERY_S: Final = 0.1
"""How often /readyz makes the store write, however many ask."""
RELOADS: Final = 5
"""How often a certificate is read again that changes while it is read."""
SWITCH_INTERVAL_S: Final = 0.0005
"""How long a busy event loop may hold the GIL while the storage thread waits for it."""

Reasons = Callable[[], Awaitable[list[str]]]
"""Why there should be no traffic now; empty when there should."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server is.

    port, http_port, operations_port: the real ones, also when 0 was asked for; operations_port is 0 when that is off.
    """

    config: Config
    port: int
    http_port: int
    operations_port: int = 0

    @property
    def url(self) -> str:
        """Address for client connections (WebSocket, TCP, stream)."""
        listen = self.config.listen
        return f"{'wss' if listen.tls_certificate else 'ws'}://{host_in_url(listen.address)}:{self.port}"

    @property
    def http_url(self) -> str:
        listen = self.config.listen
        return f"{'https' if listen.tls_certificate else 'http'}://{host_in_url(listen.http)}:{self.http_port}"

    @property
    def operations_url(self) -> str:
        """For operators; empty when it is off."""
        address = self.config.listen.operations
        return f"http://{host_in_url(address)}:{self.operations_port}" if address else ""

    @property
    def folder(self) -> Path:
        return Path(self.config.data.dir)

    @property
    def note(self) -> Path:
        return self.folder / "server.json"

    def write_note(self) -> None:
        """Leave a note in the data folder for tools on this machine: where we are, and for whom tokens must be.

        Raises DATA_UNUSABLE.
        """
        auth = self.config.auth
        said = {"pid": os.getpid(), **addresses(self)}
        said |= {"audience": auth.audience, "issuer": auth.issuer}
        write_private(self.note, json.dumps(said).encode() + b"\n")


def addresses(place: Place) -> dict[str, str]:
    """Where a server can be reached, as its log and its note say it."""
    return {"url": place.url, "http": place.http_url, "operations": place.operations_url}


class Logic:
    """What each request means, over a store. bus: to the gateways. metrics: of the whole server, as text.

    handler: for calls; registrar: for sessions; control: what operators may ask for, once it is started.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        bus: Bus,
        counts: Counts,
        now_ms: Callable[[], int],
        accounts: Accounts,
        metrics: Callable[[], Awaitable[bytes]],
    ) -> None:
        connection = config.connection
        self._sessions = sessions = MemorySessions(config.sessions, counts, time.monotonic)
        self._bus = bus
        self._counts = counts
        self._now_ms = now_ms
        self._most_bytes = connection.max_message_bytes
        self._store = store
        self._probe: asyncio.Future[None] | None = None
        self._probe_again = 0.0
        self.registrar = Registrar(sessions, bus, counts)
        services = Services(
            store=store,
            sessions=self.registrar,
            delivery=Delivery(sessions, bus, counts),
            counts=counts,
            now_ms=now_ms,
            server=f"longlink/{_core.__version__}",
            heartbeats=agree_on(connection),
            detached_ms=config.sessions.detached_ms,
            max_frame_bytes=connection.max_message_bytes,
            page_bytes=page_bytes(config),
            receipts=RECEIPTS[config.receipts.direct],
            accounts=accounts,
            slots=Slots(),
            accept_unknown=config.users.unknown == "accept",
            new_conversations=Quota(config.users.new_conversations, config.users.unlimited, time.monotonic),
        )
        self.handler = commands.handler(services)
        self._metrics = metrics
        verbs = {
            "broadcast": self._broadcast,
            "sessions": self._show,
            "end": self._end,
            NUMBERS: self._numbers,
        }
        self.control = Control(Path(config.data.dir), verbs)

    async def stop(self) -> None:
        """Close the control socket and cancel the expiry timer. Idempotent."""
        await self.control.stop()
        self.registrar.stop()

    async def problems(self) -> list[str]:
        """Why the store cannot be written to; empty when it can."""
        now = asyncio.get_running_loop().time()
        again = now >= self._probe_again or bool(self._store.problem)
        if self._probe is None or (self._probe.done() and again):
            self._probe = asyncio.ensure_future(self._store.check())
            self._probe_again = now + PROBE_EVERY_S
        try:
            await asyncio.shield(self._probe)
        except LonglinkError as error:
            return [str(error)]
        return []

    async def _broadcast(self, arguments: dict[str, Any]) -> dict[str, Any]:
        text = str(arguments["text"])
        return broadcast(text, self._sessions, self._bus, self._now_ms(), self._most_bytes)._asdict()

    async def _numbers(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"text": (await self._metrics()).decode()}

    async def _show(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if arguments.get("all"):
            shown = show_everybody(self.registrar, int(arguments["limit"]))
            attached, detached = self._counts.sessions_attached, self._counts.sessions_detached
            return {"sessions": shown, "attached": attached, "detached": detached}
        return {"sessions": show_sessions(self.registrar, str(arguments["user"]))}

    async def _end(self, arguments: dict[str, Any]) -> dict[str, Any]:
        device = arguments.get("device")
        return {"sessions": end_sessions(self.registrar, str(arguments["user"]), device and str(device))}


class Access:
    """Core, gateway and HTTP of one process. worker: its number among the gateways of this machine, 0 when alone.

    Beside others it shares its ports with them, and ticket_secret (core/BOUNDARY.md), so that a client may come back to
    any of them. Raises CONFIG_INVALID, DATA_UNUSABLE for keys and limits.
    """

    def __init__(
        self,
        config: Config,
        worker: int,
        counts: Counts,
        now_ms: Callable[[], int],
        handler: Handler,
        registry: Registry,
        accounts: Accounts,
        ticket_secret: bytes = b"",
    ) -> None:
        self._config = config
        self._counts = counts
        self._shared = worker > 0
        self._draining = False
        self._listening = False
        self._http: HttpServer | None = None
        self._operations: HttpServer | None = None
        self._verifier = Verifier.from_config(config.auth, Path(config.data.dir), counts)
        self.core = build_core(config, ticket_secret)
        keys = ResumeKeys.from_folder(Path(config.data.dir))
        handshake = Handshake(self._verifier, keys, lambda: now_ms() / 1000)
        self.ids = SessionIds(config.server.number, worker, lambda: now_ms() / 1000)
        missed_per_s = max(1, MISSED_PER_S // max(1, config.server.workers))
        heartbeats = agree_on(config.connection)
        bounds = Bounds(config.limits.calls, config.limits.call_bytes)
        self.gateway = Gateway(
            self.ids, self.core, handshake, handler, registry, counts, heartbeats, accounts, bounds, missed_per_s
        )

        callers = Callers(self._verifier, keys, lambda: now_ms() / 1000)
        rate = Rate(config.http.stranger_rate, config.http.stranger_burst, time.monotonic)
        self._strangers = Strangers(rate, counts, http_proxies(config))
        most_bytes = config.connection.max_message_bytes
        self._short_link = ShortLink(callers, accounts, handler, counts, most_bytes, self._strangers)

    async def start(self, ready: Reasons, metrics: Callable[[], Awaitable[bytes]]) -> Place:
        """Listen for operators, clients, then for HTTP. Raises PORT_TAKEN, CONFIG_INVALID; stop() is due then too."""
        operations = build_operations(ready=lambda: self._problems(ready), metrics=metrics)
        self._operations = await serve_operations(operations, self._config, self._counts, shared=self._shared)
        port = listen_on(self.core, self._config, shared=self._shared)
        self.gateway.start()
        self._verifier.start()
        self._listening = True
        app = build_http(
            ready=lambda: self._problems(ready),
            short_link=self._short_link,
            strangers=self._strangers,
            counts=self._counts,
            links_port=port,
        )
        host, http_port = split_address(self._config.listen.http)
        pair = tls_files(self._config)
        tls = server_context(*pair) if pair else None
        places = http_places(self._config, self._counts)
        stall_ms = self._config.connection.stall_timeout_ms
        self._http = await serve_http(app, host, http_port, places, tls=tls, stall_ms=stall_ms, shared=self._shared)
        return Place(self._config, port, self._http.port, self._operations.port if self._operations else 0)

    async def drain(self) -> None:
        """Refuse new connections, close the others with `draining`, spread over drain.duration_ms; finish calls."""
        self._draining = True
        closing = Closing(
            code=errors.DRAINING.code,
            name=errors.DRAINING.name,
            message="the server is shutting down; messages that were acknowledged are safe",
            reconnect_after_ms=self._config.drain.reconnect_after_ms,
        )
        await self.gateway.drain(self._config.drain.duration_ms, closing, FINISH_MS)

    async def stop(self) -> None:
        """Close HTTP, drop the connections that are left, then leave the operators. Idempotent."""
        self._verifier.stop()
        if self._http is not None:
            await self._http.close()
        if self._listening:
            self._listening = False
            self.gateway.stop()
        if self._operations is not None:
            await self._operations.close()

    def reload(self) -> None:
        """Read token keys and certificates again, each by itself: on an error the old one stays in use."""
        _reload("auth.keys", self._verifier.reload)
        pair, http = tls_files(self._config), self._http
        if pair is not None and http is not None:
            _reload("the certificate", lambda: self._reload_tls(pair, http))

    def _reload_tls(self, pair: tuple[str, str], http: HttpServer) -> None:
        """Both listeners take the new pair, or both keep the old one: the last step is one that cannot fail.

        Read again if the files changed meanwhile, because the two would serve different pairs.
        """
        for _ in range(RELOADS):
            before = pair_bytes(*pair)
            context = server_context(*pair)
            self.core.reload_tls(*pair)
            http.use_tls(context)
            if pair_bytes(*pair) == before:
                return
        raise LonglinkError(errors.CONFIG_INVALID, f"{pair[0]} or {pair[1]} changes all the time; reload again later")

    async def _problems(self, ready: Reasons) -> list[str]:
        return ["draining"] if self._draining else await ready()


def _reload(what: str, read: Callable[[], None]) -> None:
    try:
        read()
    except (LonglinkError, ValueError) as error:
        log.error("reload_failed", what=what, error=str(error))
    else:
        log.info("reloaded", what=what)


def reload_settings(settings: Settings) -> None:
    """Read the settings again, take what can change in a running server, and log what needs a restart."""
    try:
        taken, waiting = settings.read_again()
    except LonglinkError as error:
        log.error("reload_failed", what="settings", error=str(error))
        return
    logs.set_level(settings.config.log.level)
    log.info("reloaded", what="settings", changed=", ".join(taken) or "nothing")
    if waiting:
        log.warning(
            "restart_needed", settings=", ".join(waiting), hint="these settings have changed and need a restart"
        )


def reload_quietly(settings: Settings) -> None:
    """The same in a process beside the one that logs it."""
    with contextlib.suppress(LonglinkError):
        settings.read_again()
        logs.set_level(settings.config.log.level)


def http_proxies(config: Config) -> Proxies:
    return Proxies(config.listen.trusted_proxies, unnamed=config.listen.behind_proxy)


def http_places(config: Config, counts: Counts) -> Places:
    """For the connections of clients. From a proxy come those of many clients, so there only the total holds."""
    limits = config.connection
    arrivals = Rate(limits.accept_rate, limits.accept_burst, time.monotonic)
    most, share = files.http_files(file_limit()), config.http.connections_per_address
    return Places(most, share, arrivals, counts.http_cuts, http_proxies(config).speaks_for_many)


async def serve_operations(app: ASGIApp, config: Config, counts: Counts, *, shared: bool) -> HttpServer | None:
    """Listen for operators, if there is an address. The default port gives way to any free one when it is taken.

    Raises PORT_TAKEN; CONFIG_INVALID for an address that this machine does not have.
    """
    address = config.listen.operations
    if not address:
        return None
    host, port = split_address(address)
    most = files.MOST_OPERATIONS
    places = Places(most, most, Rate(0, 1, time.monotonic), counts.http_cuts)
    serve = partial(serve_http, app, host, setting="listen.operations", stall_ms=config.connection.stall_timeout_ms)
    try:
        return await serve(port=port, places=places, shared=shared)
    except LonglinkError as error:
        if shared or error.row is not errors.PORT_TAKEN or address != DEFAULT_OPERATIONS:
            raise
    found = await serve(port=0, places=places)
    tell_elsewhere(found.port)
    return found


def tell_elsewhere(port: int) -> None:
    """The default port of listen.operations is taken, and operators have to know where they are instead."""
    log.warning("operations_elsewhere", wanted=DEFAULT_OPERATIONS, port=port)


def host_in_url(address: str) -> str:
    """The host of "host:port" as a URL has it: an IPv6 address in brackets (RFC 3986 section 3.2.2)."""
    return address.rpartition(":")[0]


def tls_files(config: Config) -> tuple[str, str] | None:
    listen = config.listen
    return (listen.tls_certificate, listen.tls_key) if listen.tls_certificate else None


def open_accounts(config: Config) -> Accounts:
    """The accounts of this process; in one process Access and Logic share them."""
    return Accounts(config.limits.work_rate, config.limits.work_burst, time.monotonic)


def page_bytes(config: Config) -> int:
    """Bytes of content in one page: it must fit the queue of a connection, also in JSON."""
    return min(config.connection.queue_bytes // 4, LARGEST_PAGE)


def agree_on(limits: Connection) -> Heartbeats:
    """What clients may ask for, as Logic tells them and Access holds them to."""
    return Heartbeats.within(
        limits.heartbeat_ms, limits.heartbeat_least_ms, limits.heartbeat_most_ms, limits.idle_timeout_ms
    )


def build_core(config: Config, ticket_secret: bytes = b"") -> _core.Core:
    """The connection core with the limits of [connection]. Raises CONFIG_INVALID naming the one out of range."""
    limits = config.connection
    processes = 2 * max(1, config.server.workers)
    try:
        return _core.Core(
            threads=limits.threads or max(1, min(8, (os.cpu_count() or 2) // processes)),
            max_connections=min(limits.max_connections, files.link_files(file_limit())),
            max_message_bytes=limits.max_message_bytes,
            hello_bytes=limits.hello_bytes,
            header_timeout_ms=limits.header_timeout_ms,
            hello_timeout_ms=limits.hello_timeout_ms,
            idle_timeout_ms=limits.idle_timeout_ms,
            stall_timeout_ms=limits.stall_timeout_ms,
            stream_heartbeat_ms=limits.stream_heartbeat_ms,
            ping_ms=limits.ping_ms,
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
            ticket_secret=ticket_secret,
            trusted_proxies=config.listen.trusted_proxies,
            proxy_protocol=config.listen.proxy_protocol,
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


def listen_on(core: _core.Core, config: Config, *, shared: bool = False) -> int:
    """Raises PORT_TAKEN; CONFIG_INVALID for an address that this machine does not have and for certificates."""
    host, port = split_address(config.listen.address)
    try:
        return core.listen(host, port, tls=tls_files(config), shared=shared)
    except OSError as error:
        row = errors.PORT_TAKEN if error.errno == errno.EADDRINUSE else errors.CONFIG_INVALID
        message = f"cannot listen on {config.listen.address} (listen.address): {error.strerror or error}"
        raise LonglinkError(row, message) from None
    except ValueError as error:
        raise LonglinkError(errors.CONFIG_INVALID, str(error)) from None


def calm_collector() -> None:
    """Keep the cyclic collector off what lives for ever, and let it run less often: messages leave no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)
