"""What the service manager is told: the test listens where systemd would."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from longlink.ops.service_manager import ServiceManager


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(10.0)
        listener.bind(str(tmp_path / "notify"))
        yield listener


Make = Callable[..., ServiceManager]


@pytest.fixture
def manage() -> Iterator[Make]:
    """Makes managers that are closed at the end."""
    made: list[ServiceManager] = []

    def make(environ: dict[str, str], pid: int | None = None) -> ServiceManager:
        made.append(ServiceManager(environ, pid))
        return made[-1]

    yield make
    for each in made:
        each.close()


def environ(listener: socket.socket, **more: str) -> dict[str, str]:
    name = listener.getsockname()
    path = "@" + name[1:].decode() if isinstance(name, bytes) else name
    return {"NOTIFY_SOCKET": path, "PATH": "/bin", **more}


def lines(listener: socket.socket) -> list[str]:
    return listener.recv(4096).decode().split("\n")


def test_each_state_is_one_datagram(heard: socket.socket, manage: Make) -> None:
    manager = manage(environ(heard))
    manager.ready("Serving")
    assert lines(heard) == ["READY=1", "STATUS=Serving"]
    before = time.monotonic_ns() // 1_000
    manager.reloading()
    state, usec, _ = lines(heard)
    assert state == "RELOADING=1"
    assert before <= int(usec.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1_000
    manager.stopping("Draining")
    assert lines(heard) == ["STOPPING=1", "STATUS=Draining"]
    manager.alive()
    assert lines(heard) == ["WATCHDOG=1"]


def test_the_socket_may_have_an_abstract_name(manage: Make) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(10.0)
        listener.bind(f"\0longlink-test-{os.getpid()}")
        manage(environ(listener)).alive()
        assert lines(listener) == ["WATCHDOG=1"]


def test_its_variables_are_taken_out_of_the_environment(heard: socket.socket, manage: Make) -> None:
    given = environ(heard, WATCHDOG_USEC="1000000", WATCHDOG_PID=str(os.getpid()))
    manage(given)
    assert given == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("usec", "pid", "every_s"),
    [
        ("3000000", "7", 1.5),
        ("3000000", "", 1.5),
        ("3000000", "8", None),
        ("", "7", None),
        ("0", "7", None),
        ("x", "7", None),
    ],
)
def test_the_watchdog_is_shown_life_twice_as_often_as_it_asks_if_it_means_this_process(
    heard: socket.socket, manage: Make, usec: str, pid: str, every_s: float | None
) -> None:
    manager = manage(environ(heard, WATCHDOG_USEC=usec, WATCHDOG_PID=pid), pid=7)
    assert manager.watchdog_s == every_s


def test_without_a_manager_nothing_happens(manage: Make) -> None:
    manager = manage({"WATCHDOG_USEC": "1000000"})
    manager.ready("Serving")
    manager.alive()
    assert manager.watchdog_s is None


def test_a_manager_that_has_gone_or_does_not_read_disturbs_nobody(
    heard: socket.socket, tmp_path: Path, manage: Make
) -> None:
    manage({"NOTIFY_SOCKET": str(tmp_path / "nothing")}).ready("Serving")
    manager = manage(environ(heard))
    for _ in range(5_000):
        manager.alive()
    assert lines(heard) == ["WATCHDOG=1"]


def test_a_child_of_a_fork_tells_nothing(heard: socket.socket, manage: Make) -> None:
    manager = manage(environ(heard))
    manager.close()
    manager.ready("Serving")
    heard.setblocking(False)
    with pytest.raises(BlockingIOError):
        heard.recv(1)
