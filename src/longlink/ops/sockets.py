"""Unix sockets in a folder: for its owner alone, under a path of any length, in place of what a dead process left.

Never looks at what is said over them. Read next: ../workers/shared.py, ../access/control.py.
"""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import Final

BACKLOG: Final = 512
"""Connections that wait while nobody accepts: more than there can be gateways."""


def path_in(folder: int, name: str) -> str:
    """A path of the name in an open folder; a socket's path holds 107 bytes, and the folder's own may be longer."""
    return f"/proc/self/fd/{folder}/{name}"


def open_folder(folder: Path) -> int:
    """A descriptor that stands for the folder in path_in. Raises OSError."""
    return os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def connect_in(folder: Path, name: str) -> socket.socket:
    """A connection to whoever listens there. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        descriptor = open_folder(folder)
        try:
            connection.connect(path_in(descriptor, name))
        finally:
            os.close(descriptor)
    except BaseException:
        connection.close()
        raise
    return connection


def listen_in(folder: Path, name: str) -> socket.socket:
    """A listening socket that only the owner can open. Whoever calls has the lock of the folder. Raises OSError."""
    listener = socket.socket(socket.AF_UNIX)
    try:
        # Made where nobody else can look, so that there is no moment in which others could connect.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".socket-") as private:
            descriptor = open_folder(Path(private))
            try:
                listener.bind(path_in(descriptor, name))
            finally:
                os.close(descriptor)
            listener.listen(BACKLOG)
            (Path(private) / name).chmod(0o600)
            (Path(private) / name).replace(folder / name)
    except BaseException:
        listener.close()
        raise
    listener.setblocking(False)
    return listener
