"""The lock of a data folder: one server at a time.

An exclusive flock on DATA/lock, held as long as the descriptor is open, so that a killed server never leaves it behind.
The file holds the owner's pid, for the message only. Never deletes the file: two servers could then lock two files of
one name. Read next: engine.py.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Final

from longlink import errors
from longlink.errors import LonglinkError
from longlink.storage.sqlite.folder import check_folder, make_folder

_NAME: Final = "lock"


class FolderLock:
    """A held lock. release() gives it back, and so does the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def lock_folder(folder: Path) -> FolderLock:
    """Make the folder if only its last part is missing, and lock it.

    Raises DATA_UNUSABLE when it cannot be made or written, or belongs to another user; DATA_LOCKED with the owner's pid
    when it is taken.
    """
    try:
        make_folder(folder)
        check_folder(folder)
        descriptor = os.open(folder / _NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        reason = error.strerror
        if error.errno == errno.ELOOP:
            reason = f"{_NAME} in it is a symbolic link; remove it"
        raise LonglinkError(errors.DATA_UNUSABLE, f"the data folder {folder} cannot be used: {reason}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError:
        owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise LonglinkError(errors.DATA_LOCKED, f"the data folder {folder} is in use by process {owner}") from None
    except OSError as error:
        os.close(descriptor)
        raise LonglinkError(
            errors.DATA_UNUSABLE, f"the data folder {folder} cannot be used: {error.strerror}"
        ) from error
    return FolderLock(descriptor)
