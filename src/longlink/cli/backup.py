"""`longlink backup`: copy the data of a server, also while it runs. Read next: restore.py."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from longlink.cli.serve import add_settings, settings

if TYPE_CHECKING:
    from longlink.storage.sqlite.copies import Copied

SUMMARY = "copy the data of a server while it runs"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "target",
        metavar="TARGET",
        type=Path,
        help="folder to make for the copy; with a name that ends with .db, a file for the database alone",
    )
    add_settings(parser, "--data")


def run(options: argparse.Namespace) -> int:
    from longlink.storage.sqlite.copies import back_up

    copied = back_up(Path(settings(options).data.dir), options.target, progress())
    sys.stdout.write(f"{options.target}: {described(copied)}, checked\n")
    if not copied.key:
        sys.stdout.write("without a signing key; keep the keys of auth.keys, or those of the data folder, elsewhere\n")
    return 0


def described(copied: Copied) -> str:
    """What a copy holds, in words."""
    counts = {"message": copied.messages, "conversation": copied.conversations, "user": copied.users}
    what = ", ".join(f"{count} {one}" + ("s" if count != 1 else "") for one, count in counts.items())
    return f"{what}, {copied.size / 2**20:.1f} MiB" + (", signing key" if copied.key else "")


def progress() -> Callable[[int, int], None]:
    """Shows how far a copy is, on a terminal only."""
    shown = sys.stderr.isatty()

    def show(done: int, pages: int) -> None:
        if shown:
            sys.stderr.write(f"\r{100 * done // max(pages, 1):3d} %" + ("\n" if done >= pages else ""))
            sys.stderr.flush()

    return show
