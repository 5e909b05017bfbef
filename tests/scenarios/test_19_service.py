"""Chapter 19, under a service manager: what it is told and when, and what a reload changes.

Read next: processes.py, ../ops/test_service_manager.py.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from .people import eventually
from .processes import Process, starting

WORKERS: Final = pytest.mark.parametrize("workers", ["0", "2"])
WATCHDOG_S: Final = 0.2
HANG_S: Final = 4
"""The shortest that the server takes."""


class Manager:
    """What systemd would hear, by the first line of each datagram, watchdog aside."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.beats = 0

    def next(self) -> list[str]:
        while True:
            told = self._listener.recv(4096).decode().split("\n")
            if told != ["WATCHDOG=1"]:
                return told
            self.beats += 1

    def drop_what_waits(self) -> None:
        self._listener.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                self._listener.recv(4096)

    def wait_for_beats(self, count: int) -> None:
        for _ in range(count):
            assert self._listener.recv(4096) == b"WATCHDOG=1"


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.settimeout(20.0)
        made.bind(str(tmp_path / "notify"))
        yield made


def environment(listener: socket.socket) -> dict[str, str]:
    return {"NOTIFY_SOCKET": listener.getsockname(), "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))}


@WORKERS
def test_the_manager_hears_of_ready_reload_and_stop_and_that_the_server_works(
    tmp_path: Path, workers: str, listener: socket.socket
) -> None:
    manager = Manager(listener)
    with starting(tmp_path / "data", workers, environment=environment(listener)) as server:
        ready, status = manager.next()
        assert ready == "READY=1"
        assert status.startswith(f"STATUS=Serving {server.places['url']} and {server.places['http']}")
        assert server.is_ready()
        manager.wait_for_beats(3)
        server.process.send_signal(signal.SIGHUP)
        assert [line.partition("=")[0] for line in manager.next()] == ["RELOADING", "MONOTONIC_USEC", "STATUS"]
        assert manager.next()[0] == "READY=1"
        server.process.terminate()
        assert manager.next() == ["STOPPING=1", "STATUS=Draining"]
        assert server.process.wait(20) == 0


def test_a_server_that_hangs_shows_no_life(tmp_path: Path, listener: socket.socket) -> None:
    manager = Manager(listener)
    with starting(tmp_path / "data", "0", environment=environment(listener)) as server:
        assert manager.next()[0] == "READY=1"
        manager.wait_for_beats(1)
        os.kill(server.pid, signal.SIGSTOP)
        manager.drop_what_waits()
        listener.settimeout(5 * WATCHDOG_S)
        with pytest.raises(TimeoutError):
            listener.recv(4096)
        os.kill(server.pid, signal.SIGCONT)
        listener.settimeout(20.0)
        manager.wait_for_beats(1)


def events(server: Process, event: str) -> list[dict[str, object]]:
    return [entry for entry in server.log if entry["event"] == event]


@WORKERS
def test_sighup_takes_the_log_level_and_names_what_needs_a_restart(tmp_path: Path, workers: str) -> None:
    file = tmp_path / "longlink.toml"
    file.write_text("[connection]\nmessage_rate = 5\n")
    with starting(tmp_path / "data", workers, words=("--config", str(file))) as server:
        server.wait_until_ready()
        file.write_text('[connection]\nmessage_rate = 500\n[log]\nlevel = "warning"\n')
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: bool(events(server, "restart_needed")), "what needs a restart is in the log")
        assert events(server, "restart_needed")[0]["settings"] == "connection.message_rate (5 → 500)"
        server.refuse(1)
        file.write_text("[connection\n")
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: bool(events(server, "reload_failed")), "the broken file is in the log")
        assert "is not TOML" in str(events(server, "reload_failed")[0]["error"])
        assert not events(server, "refused"), "a line of the level info, in a server that logs warnings"
        assert server.stop() == 0


@pytest.mark.parametrize("name", ["logic", "gateway-1"])
def test_a_process_that_hangs_is_replaced_and_counted(tmp_path: Path, name: str) -> None:
    settings = {"LONGLINK_SERVER_HANG_TIMEOUT_MS": str(1000 * HANG_S)}
    with starting(tmp_path / "data", "2", environment=settings) as server:
        server.wait_until_ready()
        started = {entry["worker"]: entry["pid"] for entry in events(server, "worker_started")}
        os.kill(int(str(started[name])), signal.SIGSTOP)
        eventually(lambda: len(events(server, "worker_started")) == 4, "it is replaced", 20.0)
        assert started[name] in [entry["pid"] for entry in events(server, "worker_silent")]
        assert [(each["worker"], each["pid"]) for each in events(server, "worker_hangs")] == [(name, started[name])]
        assert [entry["reason"] for entry in events(server, "worker_ended")] == ["signal 9"]
        counted = f'longlink_worker_hangs_total{{worker="{name}"}} 1.0'
        eventually(lambda: counted in metrics(server), "the hang is counted", 20.0)
        assert server.stop() == 0


def metrics(server: Process) -> str:
    try:
        return server.get("/metrics")
    except OSError:
        return ""


def test_a_machine_that_was_suspended_loses_no_process(tmp_path: Path) -> None:
    settings = {"LONGLINK_SERVER_HANG_TIMEOUT_MS": str(1000 * HANG_S)}
    with starting(tmp_path / "data", "2", environment=settings) as server:
        server.wait_until_ready()
        pids = [server.pid, *(int(str(entry["pid"])) for entry in events(server, "worker_started"))]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        threading.Event().wait(1.5 * HANG_S)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        assert server.is_ready()
        assert not events(server, "worker_hangs")
        assert server.stop() == 0
