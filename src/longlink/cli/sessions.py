"""`longlink sessions USER`: where a user is connected, and which of their sessions are detached; `--all`: of everybody.

Asks the server of a data folder through its control socket. Read next: end.py, top.py; ../logic/operate.py.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from longlink.cli import plain
from longlink.cli.serve import add_settings, settings
from longlink.errors import CONFIG_INVALID, LonglinkError

SUMMARY = "show the sessions of a user, or of all users"

LIMIT: Final = 100


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", metavar="USER", nargs="?", help="the user, as in the claim sub of their tokens")
    parser.add_argument("--all", action="store_true", help="sessions of all users, in no order")
    parser.add_argument(
        "--limit", type=int, default=LIMIT, metavar="N", help=f"with --all: at most N, 1 to 1000; {LIMIT} unless given"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    add_settings(parser, "--data")


def run(options: argparse.Namespace) -> int:
    from longlink.access import control

    if (options.user is None) is not options.all:
        raise LonglinkError(CONFIG_INVALID, "expected a USER or --all")
    asked = {"all": True, "limit": options.limit} if options.all else {"user": options.user}
    answer = control.ask(Path(settings(options).data.dir), "sessions", asked)
    sessions = answer["sessions"]
    for session in sessions:
        sys.stdout.write(f"{json.dumps(session) if options.json else _line(session)}\n")
    if not options.json and options.all:
        sys.stdout.write(
            f"{len(sessions)} shown; {answer['attached']} are connected and {answer['detached']} offline\n"
        )
    elif not options.json and not sessions:
        sys.stdout.write(f"{options.user} has no sessions\n")
    return 0


def _line(session: dict[str, Any]) -> str:
    platform = f" ({session['platform']})" if session["platform"] else ""
    user = f"{plain.line(session['user'])}  " if "user" in session else ""
    if session["attached"]:
        where = f"connected to gateway {session['gateway']}"
    else:
        where = f"offline, session kept for another {session['waits_s']:.0f} s"
    notes = {"background": "in the background", "missed": "has missed events"}
    state = ", ".join([where, *(said for name, said in notes.items() if session[name])])
    return f"{user}{plain.line(session['device'])}{platform}  {state}  (session {session['session']})"
