"""One server for each chapter, and a door of its own for each test. Read next: people.py.

A chapter with BOTH = True runs on a server in one process and on one with workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from longlink.testing import RunningServer, run_server

from .people import Door

ONE: Final[dict[str, str]] = {}
WORKERS: Final = {"LONGLINK_SERVER_WORKERS": "2"}
PROCESSES: Final = {"one process": ONE, "workers": WORKERS}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames and getattr(metafunc.module, "BOTH", False):
        metafunc.parametrize("server", PROCESSES.values(), indirect=True, scope="module", ids=PROCESSES)
    if "processes" in metafunc.fixturenames:
        metafunc.parametrize("processes", PROCESSES.values(), ids=PROCESSES)


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """A server with the settings of a first start, or with the SETTINGS of the chapter."""
    settings = getattr(request.module, "SETTINGS", {}) | getattr(request, "param", ONE)
    with run_server(settings=settings) as running:
        yield running


@pytest.fixture
def door(server: RunningServer) -> Iterator[Door]:
    with Door(server) as opened:
        yield opened
