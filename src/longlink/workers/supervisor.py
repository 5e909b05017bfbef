"""The supervisor: starts logic, then the gateways, all forked from itself, and starts again what dies.

It has no event loop, and no thread but the one that writes its log, because it forks: children share its pages, and a
new one is there at once. It touches no message and accepts no connection. What it cannot repair, it logs and ends with.
Read next: child.py, shared.py.
"""

from __future__ import annotations

import asyncio
import gc
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from longlink import errors
from longlink.access.gateway import GOODBYE_S
from longlink.config import Settings
from longlink.errors import LonglinkError
from longlink.ops import logs, signals
from longlink.ops.service_manager import ServiceManager
from longlink.parts import FINISH_MS, addresses, file_limit, reload_settings
from longlink.workers import child, gateway, logic
from longlink.workers.child import Line, Work
from longlink.workers.shared import Shared, share
from longlink.workers.tally import LOGIC, Past, gateway_name

if TYPE_CHECKING:
    from longlink.app import Beside

log = logs.get("supervisor")

STEADY_S: Final = 30.0
"""A child that lived so long is started again at once."""
PAUSES_S: Final = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0)
"""Before the first, second, ... start of one that does not live so long; the last one from then on."""
MOST_DEATHS: Final = 20
"""Deaths in a row without a steady life in between; then the whole server ends, for somebody to look at it."""
END_S: Final = 10.0
"""How long a child may take to end after all that it has to wait for; then it is killed."""
SIGNALS: Final = (*signals.TAKEN, signal.SIGCHLD)


LOOK_S: Final = 1.0
"""How often to look whether a child is silent."""
LONGEST_LOOK_S: Final = 2 * LOOK_S
"""What counts of the time between two looks. When more has passed, the supervisor did not run either: the machine was
suspended or is overloaded, and its children are not to blame."""
START_FACTOR: Final = 6
"""How much longer a child may be silent while it starts."""


@dataclass(slots=True)
class Worker:
    """One child, through any number of lives.

    pid: 0 while there is none.
    again_s: when there is to be one again.
    silent_s: how long its event loop has shown nothing, in time in which the supervisor ran.
    """

    name: str
    work: Callable[[Past], Work]
    pid: int = 0
    line: int = -1
    said: bytes = b""
    ready: bool = False
    begun_s: float = 0.0
    again_s: float | None = None
    silent_s: float = 0.0
    warned: bool = False
    past: Past = field(default_factory=Past)
    deaths: int = 0

    @property
    def pause_s(self) -> float:
        return PAUSES_S[min(self.deaths, len(PAUSES_S)) - 1]


def serve(settings: Settings, *, beside: Beside | None = None) -> int:
    """What `longlink serve` does with workers. Returns the exit code; raises LonglinkError when the start fails."""
    logs.setup(settings.config.log)
    signals.take()
    if settings.skipped:
        log.debug("variables_skipped", variables=", ".join(settings.skipped))
    file_limit()
    manager = ServiceManager()
    shared = share(settings)
    try:
        return Supervisor(shared, beside, manager).run()
    finally:
        shared.release()


class Supervisor:
    def __init__(self, shared: Shared, beside: Beside | None, manager: ServiceManager) -> None:
        self._shared = shared
        self._beside = beside
        self._manager = manager
        self._hang_s = shared.config.server.hang_timeout_ms / 1000
        self._looked_s = self._shown_alive_s = time.monotonic()
        self._logic = Worker(LOGIC, lambda past: partial(logic.run, shared, past))
        self._gateways = [
            Worker(gateway_name(number), partial(_gateway_work, shared, number))
            for number in range(1, shared.config.server.workers + 1)
        ]
        self._guest = Worker("guest", lambda _: self._visit)
        self._asked = 0
        self._reload_asked, self._reload_again_s = False, 0.0
        self._given_up = False
        self._life, self._alive = os.pipe()
        self._wake, self._waker = socket.socketpair()
        self._selector = selectors.DefaultSelector()

    @property
    def _workers(self) -> list[Worker]:
        return [self._logic, *self._gateways, self._guest]

    def run(self) -> int:
        """Until it is asked to end, or must. Raises the LonglinkError of a child that cannot start."""
        begun = time.perf_counter()
        self._take_signals()
        # What lives now lives for ever, and shares its pages as long as the collector does not touch them.
        gc.collect()
        gc.freeze()
        try:
            for group in ([self._logic], self._gateways):
                if not self._asked:
                    self._start_together(group)
            if not self._asked:
                self._announce(round((time.perf_counter() - begun) * 1000))
            while not self._asked and not self._given_up:
                self._reload_if_asked()
                self._turn()
            return self._end()
        finally:
            self._kill(self._workers)
            self._close()

    # Starting ---------------------------------------------------------------------------------------------------------

    def _start_together(self, group: list[Worker]) -> None:
        for worker in group:
            self._start(worker)
        while not self._asked and not all(worker.ready for worker in group):
            self._turn(starting=True)

    def _announce(self, took_ms: int) -> None:
        place = self._shared.place
        place.write_note()
        count = len(self._gateways)
        log.info("ready", **addresses(place), data=place.config.data.dir, workers=count, ms=took_ms)
        self._manager.ready(self._status)
        if self._beside is not None:
            self._start(self._guest)

    def _start(self, worker: Worker) -> None:
        # Before anything can fail: else one that cannot be started would seem to have lived since its last start.
        worker.begun_s, worker.again_s = time.monotonic(), None
        read, write = os.pipe()
        work = worker.work(worker.past)
        settings = self._shared.settings.config.log
        try:
            worker.pid = child.fork(worker.name, work, Line(write), self._life, settings, partial(self._leave, worker))
        except OSError:
            os.close(read)
            raise
        finally:
            os.close(write)
        worker.line, worker.said, worker.ready = read, b"", False
        worker.silent_s, worker.warned = 0.0, False
        self._selector.register(read, selectors.EVENT_READ, worker)
        log.info("worker_started", worker=worker.name, pid=worker.pid)

    def _start_again(self, worker: Worker) -> None:
        worker.past = worker.past._replace(restarts=worker.past.restarts + 1)
        worker.begun_s = time.monotonic()
        try:
            self._start(worker)
        except OSError as error:
            self._died(worker, error.strerror or str(error))

    def _leave(self, worker: Worker) -> None:
        """In a child: close what is the supervisor's, or another child's."""
        for other in self._workers:
            if other.line >= 0:
                os.close(other.line)
        os.close(self._alive)
        self._manager.close()
        self._selector.close()
        self._wake.close()
        self._waker.close()
        if worker is not self._logic:
            self._shared.listener.close()
            self._shared.lock.release()

    async def _visit(self, line: Line, asked: asyncio.Event) -> None:
        line.ready()
        if self._beside is not None:
            guest = asyncio.ensure_future(self._beside(self._shared.place))
            ended = asyncio.ensure_future(asked.wait())
            await asyncio.wait([guest, ended], return_when=asyncio.FIRST_COMPLETED)
            if guest.done():
                guest.result()
            guest.cancel()

    # Watching ---------------------------------------------------------------------------------------------------------

    def _turn(self, *, starting: bool = False, until_s: float | None = None) -> None:
        """Wait for the next thing that happens, and see to it. Raises what a child says that is starting first."""
        due = [moment for worker in self._workers if (moment := worker.again_s) is not None]
        due += [] if until_s is None else [until_s]
        wait_s = max(0.0, min([*due, self._looked_s + self._look_s]) - time.monotonic())
        for key, _ in self._selector.select(wait_s):
            if key.data is None:
                self._hear_signals()
            else:
                self._hear(key.data, starting=starting)
        self._look(time.monotonic())
        for worker in self._workers:
            if worker.again_s is not None and worker.again_s <= time.monotonic():
                self._start_again(worker)

    def _hear_signals(self) -> None:
        try:
            numbers = self._wake.recv(4096)
        except BlockingIOError:
            return
        self._note(numbers)

    def _note(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            if number == signal.SIGHUP:
                self._reload_asked = True
            elif number in signals.ENDING:
                self._asked += 1

    def _reload_if_asked(self) -> None:
        """Not before the server is ready: a child that is starting keeps the signal until it can act on it."""
        if self._reload_asked and time.monotonic() >= self._reload_again_s:
            self._reload_asked, self._reload_again_s = False, time.monotonic() + signals.PAUSE_S
            self._manager.reloading()
            reload_settings(self._shared.settings)
            self._signal([self._logic, *self._gateways], signal.SIGHUP)
            self._manager.ready(self._status)

    @property
    def _status(self) -> str:
        place = self._shared.place
        return f"Serving {place.url} and {place.http_url} with {len(self._gateways)} gateways"

    def _hear(self, worker: Worker, *, starting: bool) -> None:
        """A child says something, or its line ends because it has ended."""
        said = os.read(worker.line, 65_536)
        if not said:
            self._ended(worker, starting=starting)
            return
        worker.silent_s, worker.warned = 0.0, False
        *lines, worker.said = (worker.said + said).split(b"\n")
        for line in filter(None, lines):
            error = child.heard(line)
            before, worker.ready = worker.ready, error is None
            if error is not None and (starting or (worker is self._guest and not self._asked)):
                raise error
            if error is not None:
                log.error("worker_failed" if before else "worker_cannot_start", worker=worker.name, error=str(error))

    @property
    def _look_s(self) -> float:
        return min(LOOK_S, self._manager.watchdog_s or LOOK_S)

    def _look(self, now_s: float) -> None:
        """Show that the supervisor works, and see to children whose event loop does not."""
        passed_s, self._looked_s = min(now_s - self._looked_s, LONGEST_LOOK_S), now_s
        if self._manager.watchdog_s is not None and now_s - self._shown_alive_s >= self._manager.watchdog_s:
            self._shown_alive_s = now_s
            self._manager.alive()
        for worker in self._workers:
            if worker.pid and self._hang_s:
                self._look_at(worker, passed_s)

    def _look_at(self, worker: Worker, passed_s: float) -> None:
        patience_s = self._hang_s if worker.ready else START_FACTOR * self._hang_s
        worker.silent_s += passed_s
        if worker.silent_s >= patience_s:
            log.error("worker_hangs", worker=worker.name, pid=worker.pid, silent_s=round(worker.silent_s, 1))
            worker.past = worker.past._replace(hangs=worker.past.hangs + 1)
            worker.silent_s = 0.0
            self._signal([worker], signal.SIGKILL)
        elif worker.silent_s >= patience_s / 2 and not worker.warned:
            worker.warned = True
            log.warning("worker_silent", worker=worker.name, pid=worker.pid, silent_s=round(worker.silent_s, 1))

    def _ended(self, worker: Worker, *, starting: bool) -> None:
        code = self._bury(worker)
        # Who ends all processes at once, as service managers do, may have met the child first.
        self._hear_signals()
        reason = f"signal {-code}" if code < 0 else f"exit code {code}"
        if self._asked or (worker is self._guest and code == 0):
            return
        if starting or worker is self._guest:
            raise LonglinkError(errors.INTERNAL, f"{worker.name} has ended ({reason}); the log says why")
        self._died(worker, reason)

    def _bury(self, worker: Worker) -> int:
        """Wait for the end of one that ends now; returns its exit code, below 0 for a signal."""
        self._selector.unregister(worker.line)
        os.close(worker.line)
        _, status = os.waitpid(worker.pid, 0)
        worker.pid, worker.line = 0, -1
        return os.waitstatus_to_exitcode(status)

    def _died(self, worker: Worker, reason: str) -> None:
        """It is to live again, unless it has died too often."""
        lived_s = time.monotonic() - worker.begun_s
        worker.deaths = 1 if lived_s >= STEADY_S else worker.deaths + 1
        worker.again_s = time.monotonic() + worker.pause_s
        log.error("worker_ended", worker=worker.name, reason=reason, lived_s=round(lived_s, 1), again_s=worker.pause_s)
        if worker.deaths >= MOST_DEATHS:
            log.error("worker_given_up", worker=worker.name, deaths=worker.deaths)
            self._given_up, worker.again_s = True, None

    # Ending -----------------------------------------------------------------------------------------------------------

    def _end(self) -> int:
        """Gateways first, because logic answers what they still wait for. A second signal ends everything at once."""
        drain = self._shared.config.drain
        log.info("draining", ms=drain.duration_ms)
        self._manager.stopping("Draining")
        drain_s = (drain.duration_ms + FINISH_MS) / 1000 + GOODBYE_S
        self._asked = max(1, self._asked)
        for worker in self._workers:
            worker.again_s = None
        in_time = True
        for group, patience_s in (([self._guest], 0.0), (self._gateways, drain_s), ([self._logic], drain_s)):
            self._signal(group, signal.SIGTERM)
            until_s = time.monotonic() + patience_s + END_S
            while any(worker.pid for worker in group) and time.monotonic() < until_s:
                self._turn(until_s=until_s)
                if self._asked > 1:
                    return 1
            late = [worker.name for worker in group if worker.pid]
            if late:
                log.error("worker_does_not_end", workers=late)
                self._kill(group)
                in_time = False
        log.info("stopped")
        return 0 if in_time and not self._given_up else 1

    @staticmethod
    def _signal(group: list[Worker], number: signal.Signals) -> None:
        for worker in group:
            if worker.pid:
                os.kill(worker.pid, number)

    def _kill(self, group: list[Worker]) -> None:
        self._signal(group, signal.SIGKILL)
        for worker in group:
            if worker.pid:
                self._bury(worker)

    # Signals ----------------------------------------------------------------------------------------------------------

    def _take_signals(self) -> None:
        """A signal becomes a byte in a socket that the selector watches; see signal.set_wakeup_fd."""
        self._wake.setblocking(False)
        self._waker.setblocking(False)
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        signal.set_wakeup_fd(self._waker.fileno())
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)
        self._note(signals.begin_again())

    def _close(self) -> None:
        signals.leave()
        signal.set_wakeup_fd(-1)
        for descriptor in (self._life, self._alive):
            os.close(descriptor)
        self._selector.close()
        self._wake.close()
        self._waker.close()


def _gateway_work(shared: Shared, number: int, past: Past) -> Work:
    return partial(gateway.run, shared, number, past)
