"""The data folder: made for its owner alone, and refused when others could put files into it.

Read next: lock.py.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from longlink import errors
from longlink.errors import LonglinkError

_ROOT: Final = 0


def make_folder(folder: Path) -> None:
    """Make the folder if only its last part is missing. Raises OSError."""
    # Only the last part: a mistyped or unmounted path must not quietly become a new, empty store.
    if folder.is_dir():
        return
    folder.mkdir(mode=0o700)
    sync_folder(folder.parent)


def check_folder(folder: Path) -> None:
    """Only this user and root may put files into the folder; its group may too, because platforms share volumes so.

    Raises DATA_UNUSABLE with what to do, OSError.
    """
    found, user = folder.stat(), os.geteuid()
    if found.st_uid not in (user, _ROOT):
        message = (
            f"the data folder {folder} belongs to user {found.st_uid}, the server runs as user {user}: run it as user"
            f" {found.st_uid}, or give it the folder with `chown -R {user} {folder}`"
        )
        raise LonglinkError(errors.DATA_UNUSABLE, message)
    if found.st_mode & stat.S_IWOTH:
        mode = stat.S_IMODE(found.st_mode)
        message = (
            f"everybody may write to the data folder {folder} (mode {mode:04o}): `chmod o-w {folder}`, or use a folder"
            " inside it, which the server makes for itself"
        )
        raise LonglinkError(errors.DATA_UNUSABLE, message)


def sync_folder(folder: Path) -> None:
    """Make new names in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
