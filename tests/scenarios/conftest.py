"""One server for each chapter, and a door of its own for each test. Read next: people.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from longlink.testing import RunningServer, run_server

from .people import Door


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """A server with the settings of a first start."""
    with run_server() as running:
        yield running


@pytest.fixture
def door(server: RunningServer) -> Iterator[Door]:
    with Door(server) as opened:
        yield opened
