"""A server process from its first moment on, known by the note in its data folder and not by its log.

Read next: test_17_logs.py, test_18_signals.py.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from .people import eventually

READY_S: Final = 20.0
STOP_S: Final = 20.0
NOT_A_FRAME: Final = b"\0LLJ" + b"\0\0\0\x02{]"
"""A preface of JSON records, and a record that is not JSON: refused, with a line in the log."""


class Process:
    """A server that may not be ready yet. log: what it has written to standard error, if that is a file."""

    def __init__(
        self,
        data: Path,
        workers: str,
        stderr: int | None,
        shell: str,
        words: Sequence[str],
        environment: Mapping[str, str],
    ) -> None:
        self.data = data
        self.log_file = data.with_name("log")
        begin = ["/bin/sh", "-c", shell, "sh"] if shell else []
        serve = [sys.executable, "-m", "longlink", "serve", "--data", str(data), "--workers", workers]
        words = [*begin, *serve, *words]
        environment = {**_inherited(), **environment}
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                words, env=environment, stdout=subprocess.DEVNULL, stderr=log if stderr is None else stderr
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]

    @property
    def places(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.data / "server.json").read_text())
        return found

    def wait_until_ready(self) -> None:
        eventually(self._is_ready, "the server is ready", READY_S)

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.places["operations"] + path, timeout=READY_S) as answer:
            return str(answer.read().decode())

    def is_ready(self) -> bool:
        return bool(json.loads(self.get("/readyz"))["status"] == "ready")

    def refuse(self, strangers: int) -> None:
        """Have so many connections refused, each of which is a line in the log."""
        host, _, port = self.places["url"].partition("://")[2].rpartition(":")
        for _ in range(strangers):
            with socket.create_connection((host, int(port)), READY_S) as link, suppress(ConnectionError):
                link.sendall(NOT_A_FRAME)
                while link.recv(65_536):
                    pass

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(STOP_S)

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, "the server has ended"
        note = self.data / "server.json"
        return note.exists() and note.read_text().endswith("\n")


def _inherited() -> dict[str, str]:
    ours = ("LISTEN_ADDRESS", "LISTEN_HTTP", "LISTEN_OPERATIONS")
    others = {name: value for name, value in os.environ.items() if not name.startswith("LONGLINK_")}
    return others | {"LONGLINK_LOG_FORMAT": "json"} | {f"LONGLINK_{name}": "127.0.0.1:0" for name in ours}


@contextmanager
def starting(
    data: Path,
    workers: str,
    stderr: int | None = None,
    *,
    shell: str = "",
    words: Sequence[str] = (),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Process]:
    """A server that has just been started.

    stderr: a descriptor, instead of a file.
    shell: how it is run, with its words as $@.
    words: more of them.
    environment: more variables.
    """
    server = Process(data, workers, stderr, shell, words, environment)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()
