"""Secrets in the data folder: made whole or not at all, for their owner alone, and never read from a stranger's hand.

A file of ours that others may open is repaired with a warning, because platforms widen modes (Kubernetes' fsGroup adds
g+rw at each mount). Refused: a link, a file or folder of somebody else, and what others can open and we cannot repair.
Read next: keys.py, resume.py.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from longlink import errors
from longlink.errors import LonglinkError
from longlink.ops import logs

log = logs.get("keys")

ROOT: Final = 0
"""The user who can read everything anyway: what belongs to it is trusted."""
WIDE: Final = 0o077
"""Bits that the mode of a secret should not have."""
OTHERS: Final = 0o007
"""Of these, the ones that let anybody in."""

_KINDS: Final[Mapping[int, str]] = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFSOCK: "a socket",
}


def kind_of(mode: int) -> str:
    """What a file with this `st_mode` is, in words; empty for a regular one."""
    return "" if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "another kind")


def write_private(target: Path, content: bytes) -> None:
    """Write a file for its owner alone (mode 0600), whole or not at all. Raises DATA_UNUSABLE."""
    fresh = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        fresh.replace(target)
        _sync(target.parent)
    except OSError as error:
        raise LonglinkError(errors.DATA_UNUSABLE, f"cannot write {target}: {error.strerror}") from None


def read_secret(target: Path, most: int) -> bytes | None:
    """The first `most` bytes of a secret of the data folder; None when there is none. Raises DATA_UNUSABLE.

    The file must be a regular one of this user or of root, and so must its folder. A mode that lets others in is
    repaired, with a warning.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        _check_owner(target.parent, target.parent.stat())
    try:
        descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if target.is_symlink():
            raise _unusable(
                f"{target}: expected a regular file, got a symbolic link; put the file itself there"
            ) from None
        raise _unusable(f"cannot read {target}: {error.strerror}") from None
    try:
        found = os.fstat(descriptor)
        if kind := kind_of(found.st_mode):
            raise _unusable(f"{target}: expected a regular file, got {kind}")
        _check_owner(target, found)
        _close_to_others(target, descriptor, found)
        return os.read(descriptor, most)
    finally:
        os.close(descriptor)


def _check_owner(path: Path, found: os.stat_result) -> None:
    user = os.geteuid()
    if found.st_uid not in (ROOT, user):
        raise _unusable(
            f"{path} belongs to user {found.st_uid}, and this process runs as user {user}: run it as user "
            f"{found.st_uid}, or give it the folder with `chown -R {user} {path if path.is_dir() else path.parent}`"
        )


def _close_to_others(target: Path, descriptor: int, found: os.stat_result) -> None:
    mode = stat.S_IMODE(found.st_mode)
    if not mode & WIDE:
        return
    try:
        os.fchmod(descriptor, 0o600)
    except OSError:
        if mode & OTHERS:
            raise _unusable(
                f"{target} must not be open to others, its mode is {mode:04o} and this user cannot change it; "
                f"chmod 600 {target}"
            ) from None
        log.warning("secret_open_to_group", file=str(target), mode=f"{mode:04o}")
    else:
        log.warning("secret_mode_repaired", file=str(target), mode=f"{mode:04o}", now="0600")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unusable(message: str) -> LonglinkError:
    return LonglinkError(errors.DATA_UNUSABLE, message)
