"""One real server for the tests of the client commands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from longlink.testing import RunningServer, run_server


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with run_server() as running:
        yield running
