"""A real server process for tests: free ports, its own data folder, its log in memory, kill -9 on demand.

Nothing is faked: it is `longlink serve` in a child process. Read next: ../cli/serve.py.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from longlink.access.tokens import Signer

READY_S: Final = 20.0
STOP_S: Final = 20.0


class RunningServer:
    """One server, through any number of process lives. Ports stay the same across restarts."""

    def __init__(self, data: Path, settings: Mapping[str, str]) -> None:
        self.data = data
        self.url = ""
        self.http = ""
        self.operations = ""
        self.log: list[dict[str, Any]] = []
        self._settings = {f"LONGLINK_LISTEN_{name}": "127.0.0.1:0" for name in ("ADDRESS", "HTTP", "OPERATIONS")}
        self._settings |= settings
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        """Of the process that lives now."""
        return self._running().pid

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def start(self) -> None:
        """Returns when the server says that it is ready. Raises RuntimeError with its log when it does not."""
        self.url = self.http = self.operations = ""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("LONGLINK_")}
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "longlink", "serve", "--data", str(self.data)],
            env=inherited | {"LONGLINK_LOG_FORMAT": "json", **self._settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        ready = threading.Event()
        threading.Thread(target=self._read_log, args=(self._process, ready), daemon=True).start()
        if not ready.wait(READY_S) or not self.url:
            self.kill()
            raise RuntimeError("the server did not become ready:\n" + "\n".join(map(str, self.log[-20:])))
        self._settings["LONGLINK_LISTEN_ADDRESS"] = self.url.partition("://")[2]
        self._settings["LONGLINK_LISTEN_HTTP"] = self.http.partition("://")[2]
        self._settings["LONGLINK_LISTEN_OPERATIONS"] = self.operations.partition("://")[2]

    @property
    def workers(self) -> dict[str, int]:
        """The processes of a server with workers: the pid of the newest life of each, by name, as the log has it."""
        started = (entry for entry in list(self.log) if entry.get("event") == "worker_started")
        return {entry["worker"]: entry["pid"] for entry in started}

    def kill(self) -> None:
        """kill -9, all processes."""
        process = self._running()
        children = _children(process.pid)
        process.kill()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        process.wait(STOP_S)
        for child in children:
            await_end(child)

    def kill_worker(self, name: str) -> int:
        """kill -9 of one process of a server with workers; returns its pid once it has ended."""
        pid = self.workers[name]
        os.kill(pid, signal.SIGKILL)
        await_end(pid)
        return pid

    def stop(self) -> int:
        """SIGTERM: drain and exit; returns the exit code."""
        process = self._running()
        process.terminate()
        return process.wait(STOP_S)

    def token(self, user: str, days: float = 1.0) -> str:
        """A token signed with the server's own key."""
        audience = self._settings.get("LONGLINK_AUTH_AUDIENCE", "longlink")
        issuer = self._settings.get("LONGLINK_AUTH_ISSUER", "")
        return Signer.from_data(self.data).sign(user, days=days, audience=audience, issuer=issuer)

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RuntimeError("the server was not started")
        return self._process

    def _read_log(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        with process.stderr or open(os.devnull) as lines:
            for line in lines:
                entry = _entry(line)
                self.log.append(entry)
                if entry.get("event") == "ready":
                    self.url, self.http, self.operations = entry["url"], entry["http"], entry["operations"]
                    ready.set()
        ready.set()


def _children(pid: int) -> list[int]:
    with suppress(FileNotFoundError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def await_end(pid: int) -> None:
    """Returns when no process with this pid runs any more. Raises TimeoutError."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # Not select(): a process with a thousand connections has descriptors that it cannot name.
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        if not ended.poll(STOP_S * 1000):
            raise TimeoutError(f"process {pid} still runs after {STOP_S:g} s")
    finally:
        os.close(descriptor)


def _entry(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    return entry if isinstance(entry, dict) else {"event": line.rstrip()}


@contextmanager
def run_server(data: Path | None = None, settings: Mapping[str, str] | None = None) -> Iterator[RunningServer]:
    """A ready server; settings are LONGLINK_* variables. Stopped with kill -9 at the end unless it has ended before."""
    with tempfile.TemporaryDirectory(prefix="longlink-") as folder:
        server = RunningServer(data or Path(folder), settings or {})
        server.start()
        try:
            yield server
        finally:
            server.kill()
