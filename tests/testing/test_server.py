"""The test kit itself: it must not say that a server runs when none does."""

from __future__ import annotations

from pathlib import Path

import pytest

from longlink.testing import run_server


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
