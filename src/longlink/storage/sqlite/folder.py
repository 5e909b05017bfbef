"""The data folder: made for its owner alone, and refused when it belongs to somebody else.

Read next: lock.py.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from longlink import errors
from longlink.errors import LonglinkError
from longlink.ops import logs

log = logs.get("storage")

_ROOT: Final = 0


def make_folder(folder: Path) -> None:
    """Make the folder if only its last part is missing. Raises OSError."""
    # Only the last part: a mistyped or unmounted path must not quietly become a new, empty store.
    if folder.is_dir():
        return
    folder.mkdir(mode=0o700)
    sync_folder(folder.parent)


def check_folder(folder: Path) -> None:
    """The folder must belong to this user or to root. Its group may write to it: platforms share volumes so.

    A folder of ours that everybody may write to is repaired. One of root's is not ours to repair, and volumes of
    Kubernetes are often made so: it is used, with a warning. Raises DATA_UNUSABLE with what to do, OSError.
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
        if found.st_uid == user:
            folder.chmod(mode & ~stat.S_IWOTH)
            log.warning("data_folder_repaired", folder=str(folder), mode=f"{mode:04o}", repaired="chmod o-w")
        else:
            advice = f"chmod o-w {folder}, or use a folder inside it, which the server makes for itself"
            log.warning("data_folder_open", folder=str(folder), mode=f"{mode:04o}", advice=advice)


def sync_folder(folder: Path) -> None:
    """Make new names in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
