"""Signals of a server: noticed from the first moment, kept until the server can act on them, never fatal by accident.

    signals.take()                  first of all, before anything that takes long is imported
    signals.listen(number, act)     act() is called for each such signal, and for one that came before
    signals.on_loop(loop, ...)      the same, in an event loop
    signals.leave()                 at the end: nothing that comes now changes the exit code

SIGINT and SIGTERM end the server, SIGHUP reloads it. What others use for log files or timers does nothing; SIGQUIT
stays what it is, for a core dump. Only for the main thread. Imports next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    import signal
    from collections.abc import Callable
    from typing import Final
else:
    # What signal is made of. It is there at once, while signal loads enum, in which time a signal may come.
    import _signal as signal

ENDING: Final = (signal.SIGINT, signal.SIGTERM)
TAKEN: Final = (*ENDING, signal.SIGHUP)
PAUSE_S: Final = 0.5
"""Between two reloads at least."""
_NAMES: Final = ("SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGPIPE", "SIGXFSZ", "SIGPWR", "SIGIO")
_RARE: Final = ("SIGSTKFLT", "SIGEMT", "SIGLOST", "SIGURG", "SIGWINCH")


class _Signals:
    def __init__(self) -> None:
        self.waiting: set[int] = set()
        self.acts: dict[int, Callable[[], object]] = {}

    def hear(self, number: int, _: object) -> None:
        act = self.acts.get(number)
        if act is not None:
            act()
        elif number in ENDING and number in self.waiting:
            # The second one that ends a server, which does not listen yet.
            raise SystemExit(1)
        else:
            self.waiting.add(number)


_HERE: Final = _Signals()


def take() -> None:
    """Keep the signals of TAKEN until somebody listens, and ignore all others that would end the process.

    A second SIGINT or SIGTERM before that raises SystemExit wherever the program is.
    """
    for number in TAKEN:
        signal.signal(number, _HERE.hear)
    for other in _ignored():
        signal.signal(other, signal.SIG_IGN)


def listen(number: int, act: Callable[[], object]) -> None:
    """Call act for each signal of this number from now on, between any two instructions; at once if one waits."""
    _HERE.acts[number] = act
    if number in _HERE.waiting:
        _HERE.waiting.discard(number)
        act()


def on_loop(loop: asyncio.AbstractEventLoop, number: int, act: Callable[[], object]) -> None:
    """Call act in the loop, at most every PAUSE_S. Signals in between count as one, so a storm leaves time for work."""
    timers: list[asyncio.TimerHandle] = []
    again_s = [0.0]

    def run() -> None:
        timers.clear()
        again_s[0] = loop.time() + PAUSE_S
        act()

    def plan() -> None:
        if not timers:
            timers.append(loop.call_later(max(0.0, again_s[0] - loop.time()), run))

    listen(number, lambda: loop.call_soon_threadsafe(plan))


def ending() -> bool:
    """Whether a signal waits that ends the server."""
    return any(number in ENDING for number in _HERE.waiting)


def begin_again() -> set[int]:
    """Listen to nothing, and return what waits: for a process that has a way of its own, or that is a new one."""
    waiting, _HERE.waiting = _HERE.waiting, set()
    _HERE.acts.clear()
    return waiting


def leave() -> None:
    """Ignore everything from now on: the process is ending in order already."""
    for number in TAKEN:
        signal.signal(number, signal.SIG_IGN)


def _ignored() -> list[int]:
    named = [getattr(signal, name) for name in (*_NAMES, *_RARE) if hasattr(signal, name)]
    real_time = range(signal.SIGRTMIN, signal.SIGRTMAX + 1) if hasattr(signal, "SIGRTMIN") else ()
    return [*named, *real_time]
