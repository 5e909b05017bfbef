"""`longlink config`: the effective settings as TOML, each with its origin. Read next: ../config/describe.py."""

from __future__ import annotations

import argparse
import sys

from longlink.cli.serve import add_settings, loaded
from longlink.config.describe import effective

SUMMARY = "show the effective settings and where each one comes from"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="only check that the settings are valid")
    add_settings(parser)


def run(options: argparse.Namespace) -> int:
    found = loaded(options)
    if options.check:
        set_here = sum(origin != "default" for origin in found.origins.values())
        sys.stdout.write(f"valid: {len(found.origins)} settings, {set_here} of them not at their default\n")
    else:
        sys.stdout.write(effective(found))
    return 0
