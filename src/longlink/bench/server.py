"""Servers under measurement: real processes, ours and others, gone with their block; all their CPU and memory counts.

Of `longlink serve` only the limits are lifted that hold against one address, client or user, since all load comes
from this machine; everything else is as shipped. Read next: machine.py; ../testing/server.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from longlink.bench import machine
from longlink.bench.machine import Cpu
from longlink.testing.server import RunningServer, run_server

LIFTED: Final = {
    "LONGLINK_CONNECTION_ACCEPT_RATE": "0",
    "LONGLINK_CONNECTION_MESSAGE_RATE": "0",
    # Accounts are kept as ever, but nobody overdraws one.
    "LONGLINK_LIMITS_WORK_RATE": "1000000000",
}
ANSWER_S: Final = 10.0
START_S: Final = 30.0
STOP_S: Final = 10.0


class Serving:
    """A server that runs: where it is, and what its processes use."""

    def __init__(self, pid: int, port: int, said: IO[bytes] | None = None) -> None:
        self.port = port
        self.pids = machine.family(pid)
        self._said = said

    def cpu(self) -> Cpu:
        """Of all its processes, since they began."""
        return machine.cpu_of(self.pids)

    def pss_bytes(self) -> int:
        return sum(machine.pss_bytes(pid) for pid in self.pids)

    def own_bytes(self) -> int:
        return sum(machine.own_bytes(pid) for pid in self.pids)

    def counters(self) -> dict[str, int]:
        """The core's own numbers, of `longlink bench serve`. Raises RuntimeError when they do not come."""
        assert self._said is not None
        os.kill(self.pids[0], signal.SIGUSR1)
        if not _readable(self._said, ANSWER_S):
            raise RuntimeError(f"the server did not tell its counters within {ANSWER_S:.0f} s")
        counters: dict[str, int] = json.loads(self._said.readline())
        return counters


class Product(Serving):
    """`longlink serve`, with its own numbers."""

    def __init__(self, running: RunningServer) -> None:
        super().__init__(running.pid, running.port)
        self.data = running.data
        self._operations = running.operations

    def metrics(self) -> dict[str, float]:
        """The server's own numbers by name; those with labels are left out."""
        with urllib.request.urlopen(f"{self._operations}/metrics", timeout=ANSWER_S) as answer:  # noqa: S310
            lines = answer.read().decode().splitlines()
        plain = (line.split() for line in lines if line and not line.startswith("#") and "{" not in line)
        return {name: float(value) for name, value, *_ in plain}


@contextlib.contextmanager
def product(
    home: Path, settings: Mapping[str, str] | None = None, workers: int = 0, tls: tuple[Path, Path] | None = None
) -> Iterator[Product]:
    """A fresh `longlink serve` with an empty data folder in home. tls: certificate chain and key."""
    chosen = LIFTED | dict(settings or {})
    if workers:
        chosen["LONGLINK_SERVER_WORKERS"] = str(workers)
    if tls:
        chosen |= {"LONGLINK_LISTEN_TLS_CERTIFICATE": str(tls[0]), "LONGLINK_LISTEN_TLS_KEY": str(tls[1])}
    with (
        tempfile.TemporaryDirectory(dir=home, prefix="data-") as folder,
        run_server(Path(folder).resolve(), chosen) as running,
    ):
        serving = Product(running)
        try:
            yield serving
        finally:
            end(serving.pids[1:])


@contextlib.contextmanager
def program(command: Sequence[str]) -> Iterator[Serving]:
    """Any server that prints a line whose last word, or what is behind its last colon, is the port."""
    process = subprocess.Popen(  # noqa: S603 - a program of ours, or one that the user named
        list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield Serving(process.pid, told_port(process.stdout), process.stdout)
    finally:
        end(machine.family(process.pid)[1:])
        process.kill()
        process.communicate(timeout=STOP_S)


def told_port(said: IO[bytes]) -> int:
    """The port at the end of the first line. Raises RuntimeError when none comes within START_S."""
    line = said.readline().decode() if _readable(said, START_S) else ""
    words = line.replace(":", " ").split()
    if not words or not words[-1].isdecimal():
        raise RuntimeError(f"expected the server to say a line that ends with its port, got {line!r}")
    return int(words[-1])


def _readable(file: IO[bytes], seconds: float) -> bool:
    """Whether something comes in time. Not select(): it cannot name descriptors above a thousand."""
    ready = select.poll()
    ready.register(file, select.POLLIN)
    return bool(ready.poll(seconds * 1000))


def core(*more: str) -> contextlib.AbstractContextManager[Serving]:
    """The connection core with an echo behind it; "--room": with a room, too."""
    return program([sys.executable, "-m", "longlink", "bench", "serve", *more])


def end(pids: Sequence[int]) -> None:
    """Kill what may have gone already."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
