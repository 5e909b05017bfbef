"""`longlink restore`: make a data folder from a copy. Read next: backup.py."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from longlink.cli.backup import described, progress
from longlink.cli.serve import add_settings, settings

SUMMARY = "make a data folder from a backup"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("backup", metavar="BACKUP", type=Path, help="what `longlink backup` has made, or another copy")
    add_settings(parser, "--data")


def run(options: argparse.Namespace) -> int:
    from longlink.storage.sqlite.copies import restore

    folder = Path(settings(options).data.dir)
    copied = restore(options.backup, folder, progress())
    sys.stdout.write(f"{folder}: {described(copied)}, checked\n")
    if not copied.key:
        sys.stdout.write("without a signing key; the first start makes a new one unless auth.keys names others\n")
    sys.stdout.write(f"start it with: longlink serve --data {folder}\n")
    return 0
