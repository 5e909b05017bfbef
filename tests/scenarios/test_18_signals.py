"""Chapter 18, signals: from its first moment to its last, only the signals that end a server end it.

Read next: processes.py, test_08_operations.py.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Final

import pytest

from .people import eventually
from .processes import STOP_S, Process, starting

WORKERS: Final = pytest.mark.parametrize("workers", ["0", "2"])
HARMLESS: Final = (
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGVTALRM,
    signal.SIGPROF,
    signal.SIGPIPE,
    signal.SIGIO,
    signal.SIGPWR,
    signal.SIGXFSZ,
    signal.SIGWINCH,
    signal.SIGRTMIN,
    signal.SIGRTMAX,
)


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether the process has said what this signal is to do."""
    masks = [line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Sig")]
    caught = sum(int(value, 16) for name, value in masks if name in ("SigCgt:", "SigIgn:"))
    return bool(caught >> (number - 1) & 1)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def reloads(server: Process) -> int:
    return sum(entry["event"] == "reloaded" and entry["what"] == "auth.keys" for entry in server.log)


@WORKERS
def test_sighup_in_the_first_moment_is_acted_on_once_the_server_is_ready(tmp_path: Path, workers: str) -> None:
    with starting(tmp_path / "data", workers) as server:
        eventually(lambda: catches(server.pid, signal.SIGHUP), "the program has begun")
        server.process.send_signal(signal.SIGHUP)
        server.wait_until_ready()
        eventually(lambda: reloads(server) == max(1, int(workers)), "every process has reloaded")
        events = [entry["event"] for entry in server.log]
        assert events.index("ready") < events.index("reloaded") or workers != "0"
        assert server.stop() == 0


@WORKERS
def test_sighup_at_any_moment_of_the_start_ends_nothing(tmp_path: Path, workers: str) -> None:
    with starting(tmp_path / "data", workers) as server:
        eventually(lambda: catches(server.pid, signal.SIGHUP), "the program has begun")

        def ready_after_one_more() -> bool:
            for pid in [server.pid, *children(server.pid)]:
                os.kill(pid, signal.SIGHUP)
            return (server.data / "server.json").exists()

        eventually(ready_after_one_more, "the server is ready", STOP_S)
        server.wait_until_ready()
        assert server.is_ready()
        assert not [entry for entry in server.log if entry["event"] == "worker_ended"]
        assert server.stop() == 0


@WORKERS
def test_sigterm_in_the_first_moment_ends_the_server_with_success(tmp_path: Path, workers: str) -> None:
    with starting(tmp_path / "data", workers) as server:
        eventually(lambda: catches(server.pid, signal.SIGTERM), "the program has begun")
        assert server.stop() == 0
        assert not [entry for entry in server.log if entry["level"] == "error"]


@pytest.mark.parametrize(
    ("workers", "event"), [("0", "signing_key_made"), ("2", "signing_key_made"), ("2", "worker_started")]
)
def test_sigterm_during_the_start_ends_the_server_with_success(tmp_path: Path, workers: str, event: str) -> None:
    with starting(tmp_path / "data", workers) as server:
        eventually(lambda: event.encode() in server.log_file.read_bytes(), f"{event} is in the log", STOP_S)
        assert server.stop() == 0
        assert not (server.data / "server.json").exists()


@WORKERS
def test_signals_that_mean_nothing_to_a_server_do_nothing_to_any_of_its_processes(tmp_path: Path, workers: str) -> None:
    with starting(tmp_path / "data", workers) as server:
        server.wait_until_ready()
        before = children(server.pid)
        for pid in [server.pid, *before]:
            for number in HARMLESS:
                os.kill(pid, number)
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: reloads(server) == max(1, int(workers)), "every process has reloaded")
        assert children(server.pid) == before
        assert server.is_ready()
        assert server.stop() == 0


@WORKERS
def test_sighup_while_it_drains_and_after_it_changes_nothing(tmp_path: Path, workers: str) -> None:
    with starting(tmp_path / "data", workers) as server:
        server.wait_until_ready()
        server.process.terminate()

        def ended_after_one_more() -> bool:
            server.process.send_signal(signal.SIGHUP)
            return server.process.poll() is not None

        eventually(ended_after_one_more, "the server has ended", STOP_S)
        assert server.process.returncode == 0


@WORKERS
def test_a_process_signalled_by_itself_reloads_and_lives_on(tmp_path: Path, workers: str) -> None:
    with starting(tmp_path / "data", workers) as server:
        server.wait_until_ready()
        for pid in children(server.pid):
            os.kill(pid, signal.SIGHUP)
        eventually(lambda: reloads(server) == int(workers), "every gateway has reloaded")
        assert server.stop() == 0
