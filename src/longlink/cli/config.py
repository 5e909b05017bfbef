"""`longlink config`: the settings in force as TOML, each with where it came from. Read next: ../config/describe.py."""

from __future__ import annotations

import argparse
import sys

from longlink.cli.serve import add_settings, loaded
from longlink.config.describe import effective

SUMMARY = "show the settings in force and where each comes from"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="only say whether the settings are valid")
    add_settings(parser)


def run(options: argparse.Namespace) -> int:
    found = loaded(options)
    if options.check:
        set_here = sum(origin != "default" for origin in found.origins.values())
        sys.stdout.write(f"valid: {len(found.origins)} settings, {set_here} of them not at their default\n")
    else:
        sys.stdout.write(effective(found))
    return 0
