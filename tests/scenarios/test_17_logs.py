"""Chapter 17, logs: whatever happens to standard error, the server serves, stops in order, and says what it lost.

Read next: ../ops/test_line_writer.py.
"""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from .people import eventually

READY_S: Final = 20.0
STOP_S: Final = 20.0
NOT_A_FRAME: Final = b"\0LLJ" + b"\0\0\0\x02{]"
"""A preface of JSON records, and a record that is not JSON: refused, with a line in the log."""


class Quiet:
    """A server whose log nobody here reads. It is known by the note in its data folder."""

    def __init__(self, process: subprocess.Popen[bytes], data: Path) -> None:
        self.process = process
        self._note = data / "server.json"
        eventually(self._is_there, "the server is ready", READY_S)
        self.places: dict[str, Any] = json.loads(self._note.read_text())

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.places["http"] + path, timeout=READY_S) as answer:
            return str(answer.read().decode())

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

    def _is_there(self) -> bool:
        assert self.process.poll() is None, "the server has ended"
        return self._note.exists() and self._note.read_text().endswith("\n")


def arguments(data: Path, workers: str) -> tuple[list[str], dict[str, str]]:
    words = [sys.executable, "-m", "longlink", "serve", "--data", str(data), "--workers", workers]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LONGLINK_")}
    return words, inherited | {"LONGLINK_LISTEN_ADDRESS": "127.0.0.1:0", "LONGLINK_LISTEN_HTTP": "127.0.0.1:0"}


@contextmanager
def serving(data: Path, workers: str, stderr: int) -> Iterator[Quiet]:
    words, environment = arguments(data, workers)
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=stderr)
    try:
        yield Quiet(process, data)
    finally:
        process.kill()
        process.wait()


def fill(descriptor: int) -> int:
    """Write until no more fits, through a description of its own, and return how much did."""
    own = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    written = 0
    try:
        with suppress(BlockingIOError):
            while True:
                written += os.write(own, b"." * 1024)
    finally:
        os.close(own)
    return written


def pipe_that_is_full() -> tuple[int, int]:
    read_end, write_end = os.pipe()
    fill(write_end)
    return read_end, write_end


def pipe_without_a_reader() -> tuple[int, int]:
    read_end, write_end = os.pipe()
    os.close(read_end)
    return -1, write_end


def terminal_that_nobody_reads() -> tuple[int, int]:
    screen, line = pty.openpty()
    fill(line)
    return screen, line


def socket_that_nobody_reads() -> tuple[int, int]:
    reader, writer = (each.detach() for each in socket.socketpair())
    with socket.socket(fileno=os.dup(writer)) as filling, suppress(BlockingIOError):
        while True:
            filling.send(b"." * 1024, socket.MSG_DONTWAIT)
    return reader, writer


def full_disk() -> tuple[int, int]:
    return -1, os.open("/dev/full", os.O_WRONLY)


KINDS: Final[Mapping[str, Callable[[], tuple[int, int]]]] = {
    "a pipe that is full": pipe_that_is_full,
    "a pipe without a reader": pipe_without_a_reader,
    "a terminal that nobody reads": terminal_that_nobody_reads,
    "a socket that nobody reads": socket_that_nobody_reads,
    "a full disk": full_disk,
}


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_server_whose_log_cannot_be_written_serves_and_stops_in_order(
    tmp_path: Path, kind: str, workers: str
) -> None:
    reader, writer = KINDS[kind]()
    try:
        with serving(tmp_path / "data", workers, writer) as server:
            server.refuse(30)
            server.process.send_signal(signal.SIGHUP)
            assert json.loads(server.get("/readyz"))["status"] == "ready"
            assert server.stop() == 0
    finally:
        for descriptor in (reader, writer):
            if descriptor >= 0:
                os.close(descriptor)


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_a_server_without_standard_streams_serves_and_stops_in_order(tmp_path: Path, closed: str, workers: str) -> None:
    data = tmp_path / "data"
    words, environment = arguments(data, workers)
    process = subprocess.Popen(["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *words], env=environment)
    try:
        server = Quiet(process, data)
        assert {os.readlink(f"/proc/{process.pid}/fd/2")} == {"/dev/null"}
        server.refuse(3)
        assert json.loads(server.get("/readyz"))["status"] == "ready"
        assert server.stop() == 0
    finally:
        process.kill()
        process.wait()


def test_lines_that_nobody_read_in_time_are_counted_and_reported_once_somebody_reads(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    with (
        os.fdopen(read_end, "rb") as reader,
        serving(tmp_path / "data", "0", write_end) as server,
    ):
        os.close(write_end)
        while b'"ready"' not in reader.readline():
            pass
        reader.close()
        server.refuse(3)
        eventually(lambda: "longlink_log_lines_dropped_total 3.0" in server.get("/metrics"), "three lines are counted")
