"""`longlink sessions USER`: where a user is connected, and which of their sessions are detached.

Asks the server of a data folder through its control socket. Read next: end.py; ../logic/operate.py.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from longlink.cli.serve import add_settings, settings

SUMMARY = "show the sessions of a user"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", metavar="USER", help="the user, as in the claim sub of their tokens")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    add_settings(parser, "--data")


def run(options: argparse.Namespace) -> int:
    from longlink.access import control

    sessions = control.ask(Path(settings(options).data.dir), "sessions", {"user": options.user})["sessions"]
    for session in sessions:
        sys.stdout.write(f"{json.dumps(session) if options.json else _line(session)}\n")
    if not sessions and not options.json:
        sys.stdout.write(f"{options.user} has no sessions\n")
    return 0


def _line(session: dict[str, Any]) -> str:
    where = f"connected, gateway {session['gateway']}" if session["attached"] else f"waits {session['waits_s']:.0f} s"
    notes = [name for name in ("background", "missed") if session[name]]
    platform = f" ({session['platform']})" if session["platform"] else ""
    return ", ".join([f"{session['device']}{platform}: session {session['session']}, {where}", *notes])
