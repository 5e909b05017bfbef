"""An echo server for the tests of the connection core: `longlink bench serve`, as a process of its own."""

from __future__ import annotations

import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from .core_server import start as start
from .peer import DEADLINE_S, HEADER_MS, IDLE_MS, LIMIT


@contextmanager
def bench_server(*options: str) -> Iterator[int]:
    """The port of an echo server that must end cleanly."""
    command = [sys.executable, "-m", "longlink", "bench", "serve", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        try:
            assert select.select([server.stdout], [], [], DEADLINE_S)[0], "the server does not start"
            line = server.stdout.readline().decode()
            assert line.startswith("listening on 127.0.0.1:"), line or server.stderr.read().decode()
            yield int(line.rsplit(":", 1)[1])
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                code = server.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                server.kill()
                raise
        assert (code, server.stderr.read()) == (0, b"")


@pytest.fixture(scope="session")
def port() -> Iterator[int]:
    with bench_server("--max-message-bytes", str(LIMIT), "--threads", "2") as port:
        yield port


@pytest.fixture(scope="session")
def impatient_port() -> Iterator[int]:
    """A server with short timeouts."""
    with bench_server("--idle-timeout-ms", str(IDLE_MS), "--header-timeout-ms", str(HEADER_MS)) as port:
        yield port
