"""The life of one child: forked from the supervisor, which it tells when it is ready or why it cannot be.

It ends when it is asked to, by SIGTERM or because the supervisor has gone, and takes its time to do so in order. Never
returns into the code of the supervisor. Read next: supervisor.py; gateway.py and logic.py, what children do.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from longlink import errors
from longlink.config import Log
from longlink.errors import LonglinkError
from longlink.ops import logs, signals
from longlink.parts import SWITCH_INTERVAL_S, calm_collector

log = logs.get("worker")

PASSED_ON: Final = (*signals.TAKEN, signal.SIGCHLD)
"""Signals that mean something else in a child than in the supervisor."""


BEAT_S: Final = 1.0
"""How often a child shows that its event loop runs."""


class Line(NamedTuple):
    """One end of a pipe from a child to the supervisor: a JSON object a line, at most two, because a child may be ready
    and fail later; and an empty line for each beat of its event loop."""

    descriptor: int

    def ready(self) -> None:
        self._write(json.dumps({"ready": True}))

    def failed(self, error: LonglinkError) -> None:
        self._write(json.dumps({"code": error.code, "message": error.message}))

    async def beat(self) -> None:
        """Show every BEAT_S that the event loop runs, until cancelled."""
        while True:
            self._write("")
            await asyncio.sleep(BEAT_S)

    def _write(self, text: str) -> None:
        # Full only if the supervisor has not read for hours, and then a line more or less changes nothing.
        with contextlib.suppress(BlockingIOError):
            os.write(self.descriptor, text.encode() + b"\n")


def heard(line: bytes) -> LonglinkError | None:
    """What a line of a child says that is no beat: None for ready."""
    told = json.loads(line)
    return None if told.get("ready") else LonglinkError(errors.TABLE[told["code"]], told["message"])


Work = Callable[[Line, asyncio.Event], Coroutine[Any, Any, None]]
"""What a child does: says on the line that it is ready, and ends once the event is set."""


def fork(name: str, work: Work, line: Line, life: int, settings: Log, leave: Callable[[], None]) -> int:
    """Start a child; returns its pid. life: a pipe that ends with the supervisor. leave: closes what is not its own.

    Raises OSError when the system has no room for another process.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    try:
        pid = os.fork()
        if pid == 0:
            _live(name, work, line, life, settings, leave)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    return pid


def _live(name: str, work: Work, line: Line, life: int, settings: Log, leave: Callable[[], None]) -> None:
    """Never returns."""
    code = 1
    try:
        # First of all, because a fork leaves the thread that writes the log behind.
        logs.setup(settings, worker=name)
        leave()
        os.set_blocking(line.descriptor, False)
        _take_signals()
        _call_myself(name)
        code = _run(work, line, life)
    except BaseException:
        log.exception("worker_failed")
    finally:
        _exit(code)


def _exit(code: int) -> None:
    """Also when standard output has no reader any more, which a flush reports with an exception."""
    try:
        logs.flush()
        sys.stdout.flush()
    finally:
        os._exit(code)


def _take_signals() -> None:
    signal.set_wakeup_fd(-1)
    signals.begin_again()
    signals.take()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Ctrl-C goes to everybody on the terminal; only the supervisor decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)


def _call_myself(name: str) -> None:
    """What ps and top show."""
    Path("/proc/self/comm").write_text(f"longlink-{name.replace('gateway', 'gw')}")


def _ended(loop: asyncio.AbstractEventLoop, life: int, asked: asyncio.Event) -> None:
    loop.remove_reader(life)
    log.warning("supervisor_gone")
    asked.set()


def _run(work: Work, line: Line, life: int) -> int:
    import uvloop

    async def whole() -> None:
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        signals.listen(signal.SIGTERM, partial(loop.call_soon_threadsafe, asked.set))
        loop.add_reader(life, _ended, loop, life, asked)
        calm_collector()
        beating = loop.create_task(line.beat())
        try:
            await work(line, asked)
        finally:
            beating.cancel()
            signals.leave()

    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.enable()
    try:
        uvloop.run(whole())
    except LonglinkError as error:
        line.failed(error)
        return 2
    return 0
