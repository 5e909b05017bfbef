"""The `longlink` program as its users meet it: in a pipe, or on a terminal of a given size."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from struct import pack

PROGRAM = [sys.executable, "-m", "longlink"]
DEADLINE_S = 15.0


def run(arguments: Sequence[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments], input=stdin, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )


class Terminal:
    """A program on a pseudo-terminal; everything it has written, colours and all."""

    def __init__(self, master: int, process: subprocess.Popen[bytes]) -> None:
        self._master = master
        self._process = process
        self.written = ""

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def until(self, text: str) -> None:
        """Read on until the program has written this after what was read before."""
        begin, deadline = len(self.written), time.monotonic() + DEADLINE_S
        while text not in self.written[begin:]:
            if not self._read(deadline):
                raise AssertionError(f"{text!r} was not shown:\n{self.written[begin:]!r}")

    def ended(self) -> int:
        """The exit code, once the program has ended."""
        deadline = time.monotonic() + DEADLINE_S
        while self._process.poll() is None and time.monotonic() < deadline:
            self._read(time.monotonic() + 0.05)
        return self._process.wait(1)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
        try:
            data = os.read(self._master, 65_536) if ready else b""
        except OSError:
            data = b""
        self.written += data.decode("utf-8", "replace")
        return bool(data)


@contextmanager
def on_terminal(arguments: Sequence[str], columns: int = 80, rows: int = 24) -> Iterator[Terminal]:
    import fcntl

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, pack("HHHH", rows, columns, 0, 0))
    process = subprocess.Popen(
        [*PROGRAM, *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=os.environ | {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield Terminal(master, process)
    finally:
        process.kill()
        process.wait(5)
        os.close(master)


def data(folder: Path) -> list[str]:
    return ["--data", str(folder)]
