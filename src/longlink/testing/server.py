"""A real server process for tests: free ports, its own data folder, its log in memory, kill -9 on demand.

Nothing is faked: it is `longlink serve` in a child process. Read next: ../cli/serve.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
        self.log: list[dict[str, Any]] = []
        self._settings = {"LONGLINK_LISTEN_ADDRESS": "127.0.0.1:0", "LONGLINK_LISTEN_HTTP": "127.0.0.1:0", **settings}
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
        self.url = self.http = ""
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

    def kill(self) -> None:
        """kill -9."""
        process = self._running()
        process.kill()
        process.wait(STOP_S)

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
                    self.url, self.http = entry["url"], entry["http"]
                    ready.set()
        ready.set()


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
