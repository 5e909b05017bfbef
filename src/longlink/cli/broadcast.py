"""`longlink broadcast TEXT`: a notice from the operator to every client connected to the server of a data folder.

Anyone who can open the folder's control socket can do this. Read next: ../access/control.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from longlink.cli.output import report
from longlink.cli.serve import add_settings, settings

SUMMARY = "send a notice to every connected user"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", metavar="TEXT", help="the text of the notice; - reads all of standard input")
    add_settings(parser, "--data")


def run(options: argparse.Namespace) -> int:
    from longlink.access import control

    text = sys.stdin.read().rstrip("\n") if options.text == "-" else options.text
    handed = control.ask(Path(settings(options).data.dir), "broadcast", {"text": text})
    sessions, gateways = _count(handed["sessions"], "session"), _count(handed["gateways"], "gateway")
    report(f"handed to {sessions} on {gateways}")
    return 0


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
