"""The test kit itself: it must not say that a server runs when none does."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from longlink.testing import run_server
from longlink.testing.server import await_end

SELECT_FILES: Final = 1_024
"""Descriptors from this one on are beyond select()."""


def test_a_restart_that_fails_is_not_taken_for_a_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with run_server(data) as server:
        server.kill()
        (data / "longlink.db").write_bytes(b"no database" * 1000)
        with pytest.raises(RuntimeError, match="data_unusable"):
            server.start()


def test_a_restart_keeps_its_ports(tmp_path: Path) -> None:
    with run_server(tmp_path / "data") as server:
        before = (server.url, server.http, server.pid)
        server.kill()
        server.start()
        assert (server.url, server.http) == before[:2]
        assert server.pid != before[2]


def test_the_end_of_a_process_is_noticed_with_more_files_than_select_can_name() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * SELECT_FILES:
        pytest.skip("the file limit of this machine is too low")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(SELECT_FILES)]
    try:
        process = subprocess.Popen([sys.executable, "-c", ""])
        await_end(process.pid)
        assert process.wait() == 0
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
