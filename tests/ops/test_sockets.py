"""Unix sockets in a folder: private, under any path, and in place of what a dead process left."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from longlink.ops.sockets import connect_in, listen_in


def test_a_socket_in_a_folder_with_a_long_name_is_found_there_and_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 200)
    folder.mkdir()
    with listen_in(folder, "door") as listener:
        assert stat.S_IMODE((folder / "door").stat().st_mode) == 0o600
        with connect_in(folder, "door") as there, listener.accept()[0] as here:
            there.sendall(b"hello")
            assert here.recv(5) == b"hello"
    assert os.listdir(folder) == ["door"]


def test_what_a_dead_process_left_is_replaced(tmp_path: Path) -> None:
    listen_in(tmp_path, "door").close()
    with pytest.raises(ConnectionRefusedError):
        connect_in(tmp_path, "door")
    with listen_in(tmp_path, "door") as listener, connect_in(tmp_path, "door"):
        listener.accept()[0].close()


def test_a_folder_that_is_not_there_is_an_error_and_leaves_no_socket_open(tmp_path: Path) -> None:
    for attempt in (listen_in, connect_in):
        with pytest.raises(FileNotFoundError):
            attempt(tmp_path / "missing", "door")
    with pytest.raises(FileNotFoundError):
        connect_in(tmp_path, "door")
