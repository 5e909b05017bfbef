"""Chapter 17, logs: whatever happens to standard error, the server serves, stops in order, and counts what it lost.

Read next: processes.py, ../ops/test_line_writer.py.
"""

from __future__ import annotations

import os
import pty
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from .people import eventually
from .processes import Process, starting

DROPPED: Final = "longlink_log_lines_dropped_total "


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
        with starting(tmp_path / "data", workers, writer) as server:
            server.wait_until_ready()
            server.refuse(30)
            server.process.send_signal(signal.SIGHUP)
            assert server.is_ready()
            assert server.stop() == 0
    finally:
        for descriptor in (reader, writer):
            if descriptor >= 0:
                os.close(descriptor)


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_a_server_without_standard_streams_serves_and_stops_in_order(tmp_path: Path, closed: str, workers: str) -> None:
    with starting(tmp_path / "data", workers, shell=f'exec "$@" {closed}') as server:
        server.wait_until_ready()
        assert os.readlink(f"/proc/{server.pid}/fd/2") == os.devnull
        server.refuse(3)
        assert server.is_ready()
        assert server.stop() == 0


def test_lines_that_nobody_could_read_are_counted(tmp_path: Path) -> None:
    reader, writer = pipe_without_a_reader()
    with starting(tmp_path / "data", "0", writer) as server:
        os.close(writer)
        server.wait_until_ready()
        server.refuse(3)
        eventually(lambda: _dropped(server) >= 3, "the lines are counted")
    assert reader == -1


def _dropped(server: Process) -> float:
    values = [line.split()[1] for line in server.get("/metrics").splitlines() if line.startswith(DROPPED)]
    return float(values[0])
