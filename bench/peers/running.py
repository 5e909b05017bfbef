"""A server under measurement: started, found at its port, its processes counted together, and ended with the block.

It runs in a session of its own, so that nothing of it is left behind. Read next: table.py.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from longlink.bench import machine
from longlink.bench.server import START_S, told_port

STOP_S: Final = 5.0
LOOK_S: Final = 0.05


class Command(NamedTuple):
    """How a server is started. port: where it listens; 0: it prints a line that ends with its port."""

    argv: list[str]
    env: Mapping[str, str] = MappingProxyType({})
    port: int = 0
    folder: Path | None = None


class Server:
    """Made by `running`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self.port = port

    def cpu_s(self) -> float:
        """Of all its processes, also their ended threads."""
        return machine.cpu_of(machine.family(self._process.pid)).total_s

    def pss_bytes(self) -> int:
        return sum(machine.pss_bytes(pid) for pid in machine.family(self._process.pid))


@contextlib.contextmanager
def running(command: Command, log: Path) -> Iterator[Server]:
    """What it says goes to the log. Raises RuntimeError when it does not come up."""
    with log.open("w") as errors:
        process = subprocess.Popen(
            command.argv,
            env={**os.environ, **command.env},
            cwd=command.folder,
            stdin=subprocess.DEVNULL,
            stdout=errors if command.port else subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    try:
        yield Server(process, _port(process, command.port))
    except Exception as error:
        raise RuntimeError(f"{error}{_last_words(log)}") from error
    finally:
        _end(process)


def free_port() -> int:
    """For servers that cannot choose one themselves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _port(process: subprocess.Popen[bytes], port: int) -> int:
    """Once it listens there; 0: where it says that it listens."""
    if not port:
        assert process.stdout is not None
        return told_port(process.stdout)
    until = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(LOOK_S)
        else:
            return port
    raise RuntimeError("it did not come up")


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f" (it said: {lines[-1][:200]})" if lines else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal_number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
    if process.stdout is not None:
        process.stdout.close()
