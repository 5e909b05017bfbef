"""`longlink end USER`: end the sessions of a user, or of one of their devices; their resume tokens stop working.

It revokes no signed token: with a valid one the user can connect again. Read next: sessions.py; ../logic/operate.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from longlink.cli.output import report
from longlink.cli.serve import add_settings, settings

SUMMARY = "end the sessions of a user"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", metavar="USER", help="the user, as in the claim sub of their tokens")
    parser.add_argument(
        "--device", metavar="DEVICE", help="end only the sessions of this device (default: of all devices)"
    )
    add_settings(parser, "--data")


def run(options: argparse.Namespace) -> int:
    from longlink.access import control

    asked = {"user": options.user, "device": options.device}
    ended = control.ask(Path(settings(options).data.dir), "end", asked)["sessions"]
    report(f"ended {ended} session{'' if ended == 1 else 's'}")
    return 0
