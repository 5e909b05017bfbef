"""A server in one process: its two parts joined directly; start, drain, stop, and the signals around them.

Server is the whole product as a value: `longlink serve` runs one, a Python program may run one beside its own code.
No message passes through here. Read next: parts.py; workers/, for a server of several processes.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

from msgspec import structs

from longlink import errors
from longlink.access.tokens import Signer
from longlink.config import Config, Settings
from longlink.config.check import check as check_settings
from longlink.errors import LonglinkError
from longlink.ops import logs, signals
from longlink.ops.exposition import Metrics
from longlink.ops.metrics import Counts, watch_loop
from longlink.ops.numbers import Numbers, of_core, of_counts, of_process, of_store, started, total
from longlink.ops.service_manager import ServiceManager
from longlink.parts import (
    SWITCH_INTERVAL_S,
    Access,
    Logic,
    Place,
    addresses,
    calm_collector,
    open_accounts,
    reload_settings,
)
from longlink.protocol import limits
from longlink.protocol.codec import Encoding, decode
from longlink.protocol.frames import Frame, OpenDirect, Send
from longlink.routing.bus.local import LocalBus
from longlink.routing.calls import Call, Handler
from longlink.routing.sessions import Session
from longlink.storage.base import Store
from longlink.storage.sqlite import open_store

log = logs.get("app")

Beside = Callable[[Place], Awaitable[None]]
"""What runs beside a server once it is ready; its failure ends the server."""


class Server:
    """One Longlink in this process: embedded storage, local bus, sessions in memory.

        async with longlink.Server(data="./data") as server:
            await server.send("system", "alice", "Your parcel is on its way")

    config: all settings; the defaults without it
    data: the folder, in place of config.data.dir
    listen, http, operations: addresses as host:port, in place of those of config.listen
    now_ms: returns ms since the Unix epoch; the system's clock without it

    Leaving the block drains. Raises CONFIG_INVALID, INSECURE for settings that contradict one another, as
    `longlink serve` does.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        data: str | Path | None = None,
        listen: str | None = None,
        http: str | None = None,
        operations: str | None = None,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        config = _with(config or Config(), data, {"address": listen, "http": http, "operations": operations})
        check_settings(config, {})
        if config.server.workers:
            message = f"server.workers: expected 0 for a server in one process, got {config.server.workers}"
            raise LonglinkError(errors.CONFIG_INVALID, message)
        self.config = config
        self._now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)
        self._counts = Counts()
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self._access: Access
        self._handler: Handler
        self.place = Place(config, 0, 0)

    @property
    def url(self) -> str:
        """Address for client connections (WebSocket, TCP, stream)."""
        return self.place.url

    @property
    def http_url(self) -> str:
        return self.place.http_url

    @property
    def operations_url(self) -> str:
        """For operators: health and metrics; empty when it is off."""
        return self.place.operations_url

    @property
    def port(self) -> int:
        return self.place.port

    @property
    def http_port(self) -> int:
        return self.place.http_port

    @property
    def folder(self) -> Path:
        return self.place.folder

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.drain()
        finally:
            await self.stop()

    def token(self, user: str, *, days: float = 1.0) -> str:
        """A token for the user, signed with the data folder's own key. Raises DATA_UNUSABLE if auth.keys names others,
        because then only their owner can sign."""
        auth = self.config.auth
        return Signer.from_data(self.folder).sign(user, days=days, audience=auth.audience, issuer=auth.issuer)

    async def send(self, sender: str, to: str, text: str, *, client_id: str = "") -> int:
        """Send a text in the name of any user; returns its seq once it is durable.

        client_id: names the message; the same id for the same two users again stores nothing new
        Raises what OpenDirect and Send are answered with, such as STORAGE_UNAVAILABLE.
        """
        opened = await self._ask(sender, Frame(open_direct=OpenDirect(user=to)))
        request = Send(conversation=opened.conversation.id, client_id=client_id or secrets.token_hex(16))
        request.content.text = text
        return (await self._ask(sender, Frame(send=request))).sent.seq

    async def _ask(self, user: str, frame: Frame) -> Frame:
        """As a call over HTTP with the user's token: there is no session, and every device gets what it sends."""
        frame.id = 1
        limits.check_user(user, "sender")
        limits.check(frame)
        (reply,) = await self._handler([Call(Session(user, "host", "", 0, 0, 0, Encoding.BINARY), frame)])
        answer = decode(reply.payload)
        if reply.code:
            error = answer.error
            raise LonglinkError(errors.TABLE[reply.code], error.message, retry_after_ms=error.retry_after_ms)
        return answer

    async def start(self) -> None:
        """Open the store, then the long link, then HTTP. Raises LonglinkError and leaves nothing running."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def drain(self) -> None:
        """Refuse new connections, close the others with `draining`, spread over drain.duration_ms; finish calls."""
        await self._access.drain()

    async def stop(self) -> None:
        """Close everything, last opened first. Idempotent."""
        while self._closers:
            await self._closers.pop()()

    def reload(self) -> None:
        """Read token keys and certificates again, each by itself: on an error the old one stays in use."""
        self._access.reload()

    async def _start(self) -> None:
        store = await open_store(self.place.folder, self.config.storage, now_ms=self._now_ms)
        self._closers.append(store.close)
        bus = LocalBus()
        accounts = open_accounts(self.config)
        metrics = Metrics(lambda: self._numbers(store)).render
        logic = Logic(self.config, store, bus, self._counts, self._now_ms, accounts, metrics)
        self._handler = logic.handler
        self._access = Access(self.config, 0, self._counts, self._now_ms, logic.handler, logic.registrar, accounts)
        bus.attach(self._access.ids.gateway, self._access.gateway)
        self._closers.append(self._access.stop)
        await logic.control.start()
        self._closers.append(logic.stop)
        self.place = await self._access.start(logic.problems, metrics)
        self._closers.append(lambda: asyncio.to_thread(self.place.note.unlink, missing_ok=True))
        self.place.write_note()
        watching = asyncio.get_running_loop().create_task(watch_loop(self._counts))

        async def stop_watching() -> None:
            watching.cancel()

        self._closers.append(stop_watching)

    async def _numbers(self, store: Store) -> Numbers:
        parts = (of_counts(self._counts), of_core(self._access.core), of_store(store), of_process(), started())
        return total(parts)


def _with(config: Config, data: str | Path | None, listen: Mapping[str, str | None]) -> Config:
    """The settings with those that were given by themselves."""
    given = {name: address for name, address in listen.items() if address is not None}
    config = structs.replace(config, listen=structs.replace(config.listen, **given))
    return config if data is None else structs.replace(config, data=structs.replace(config.data, dir=str(data)))


async def run(server: Server, settings: Settings, manager: ServiceManager, *, beside: Beside | None = None) -> None:
    """Serve until SIGINT or SIGTERM, then drain; a second signal stops at once. SIGHUP reloads once it is ready.

    settings: those of the server, read again by a reload.
    manager: notified when the server is ready, reloads, still works and stops.
    beside: runs once the server is ready; its failure ends the server.
    """
    begun = time.perf_counter()
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in signals.ENDING:
        signals.listen(number, partial(loop.call_soon_threadsafe, _end, asked))
    tasks: list[asyncio.Future[None]] = []
    try:
        await server.start()
        calm_collector()
        signals.on_loop(loop, signal.SIGHUP, partial(_reload, server, settings, manager))
        took_ms = round((time.perf_counter() - begun) * 1000)
        log.info("ready", **addresses(server.place), data=server.config.data.dir, ms=took_ms)
        manager.ready(_status(server))
        if manager.watchdog_s is not None:
            tasks.append(asyncio.ensure_future(_keep_alive(manager, manager.watchdog_s)))
        guest = asyncio.ensure_future(beside(server.place)) if beside else None
        await _until(asked, guest)
        log.info("draining", ms=server.config.drain.duration_ms)
        manager.stopping("Draining")
        await server.drain()
    finally:
        await server.stop()
        signals.leave()
        for task in tasks:
            task.cancel()
    log.info("stopped")


def _status(server: Server) -> str:
    return f"Serving {server.url} and {server.http_url}"


def _reload(server: Server, settings: Settings, manager: ServiceManager) -> None:
    manager.reloading()
    reload_settings(settings)
    server.reload()
    manager.ready(_status(server))


async def _keep_alive(manager: ServiceManager, every_s: float) -> None:
    while True:
        manager.alive()
        await asyncio.sleep(every_s)


def _end(asked: asyncio.Event) -> None:
    """The first time in order, the second time at once."""
    if asked.is_set():
        sys.exit(1)
    asked.set()


async def _until(asked: asyncio.Event, guest: asyncio.Future[None] | None) -> None:
    waiting: asyncio.Future[Any] = asyncio.ensure_future(asked.wait())
    if guest is not None:
        await asyncio.wait([waiting, guest], return_when=asyncio.FIRST_COMPLETED)
        if guest.done():
            guest.result()
        else:
            guest.cancel()
    await waiting


def serve(settings: Settings, *, beside: Beside | None = None) -> int:
    """What `longlink serve` does without workers. Returns the exit code; raises LonglinkError when the start fails."""
    import uvloop

    sys.setswitchinterval(SWITCH_INTERVAL_S)
    logs.setup(settings.config.log)
    signals.take()
    if settings.skipped:
        log.debug("variables_skipped", variables=", ".join(settings.skipped))
    uvloop.run(run(Server(settings.config), settings, ServiceManager(), beside=beside))
    return 0
