"""Writes lines to a descriptor from a thread of its own, so that nobody who has a line to write ever waits.

Invariants: `put` never waits for the descriptor and never raises; what waits is bounded in bytes; every line that was
not written is counted, and one line says how many once lines are written again. The flags of the descriptor stay as
they are, because a terminal or a pipe is shared with other programs.
Does not survive a fork: the child makes a writer of its own. Read next: logs.py, the only user.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

MOST_WAITING: Final = 1_048_576
"""Bytes that may wait; above it lines are dropped until half of them are written."""
AGAIN_MS: Final = 1_000
"""How long to wait for a descriptor that another program has made non-blocking, before trying again."""


class _Waiting(NamedTuple):
    """reports: how many lost lines this line is about; 0 for a line of the log."""

    data: bytes
    reports: int


class LineWriter:
    """descriptor: where the lines go; it is never closed here.

    report: makes the line that says how many lines were lost.
    most_waiting: bytes.
    """

    def __init__(self, descriptor: int, report: Callable[[int], str], *, most_waiting: int = MOST_WAITING) -> None:
        self._descriptor = descriptor
        self._report = report
        self._most_waiting = most_waiting
        self.lost = 0
        self._unreported = 0
        self._changed = threading.Condition()
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._crowded = False
        threading.Thread(target=self._write_all, name="longlink-log", daemon=True).start()

    def put(self, line: str) -> None:
        """Have the line written, with a newline behind it; or count it as lost while too much waits already."""
        data = _bytes(line)
        with self._changed:
            if self._crowded and self._waiting_bytes <= self._most_waiting // 2:
                self._crowded = False
                self._add_report()
            if self._crowded or self._waiting_bytes + len(data) > self._most_waiting:
                self._crowded = True
                self._lose()
            else:
                self._add(data, 0)

    def lose(self) -> None:
        """Count a line that could not be made."""
        with self._changed:
            self._lose()

    def flush(self, wait_s: float) -> bool:
        """Wait until everything is written, at most so long; returns whether it is."""
        until_s = time.monotonic() + wait_s
        with self._changed:
            while self._waiting:
                left_s = until_s - time.monotonic()
                if left_s <= 0:
                    return False
                self._changed.wait(left_s)
        return True

    def _add(self, data: bytes, reports: int) -> None:
        self._waiting.append(_Waiting(data, reports))
        self._waiting_bytes += len(data)
        self._changed.notify_all()

    def _add_report(self) -> None:
        count, self._unreported = self._unreported, 0
        self._add(_bytes(self._report(count)), count)

    def _lose(self) -> None:
        self.lost += 1
        self._unreported += 1

    # In the thread ----------------------------------------------------------------------------------------------------

    def _write_all(self) -> None:
        # Signals are for the main thread.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                line = self._waiting[0]
            written = self._write(line.data)
            with self._changed:
                self._settle(line, written=written)

    def _settle(self, line: _Waiting, *, written: bool) -> None:
        self._waiting.popleft()
        self._waiting_bytes -= len(line.data)
        if not written and line.reports:
            self._unreported += line.reports
        elif not written:
            self._lose()
        elif self._unreported and not self._waiting:
            self._crowded = False
            self._add_report()
        self._changed.notify_all()

    def _write(self, data: bytes) -> bool:
        """Returns whether all of it was written. A reader that does not read makes this wait for ever."""
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                writable = select.poll()
                writable.register(self._descriptor, select.POLLOUT)
                writable.poll(AGAIN_MS)
            except OSError:
                # No reader, no room on the disk, no descriptor: the next line may have better luck.
                return False
        return True


def _bytes(line: str) -> bytes:
    return line.encode(errors="backslashreplace") + b"\n"
