"""`longlink chat`: talk with one user. A full screen on a terminal, plain lines when a program is at either end.

Read next: screen.py (terminal), lines.py (plain), transcript.py (what both show).
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from longlink.cli.account import add_account, address, client, connected

SUMMARY = "chat with a user on the terminal"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_account(parser)
    parser.add_argument("peer", metavar="PEER", help="the user to chat with")
    parser.add_argument("--plain", action="store_true", help="plain lines instead of a full screen, as in a pipe")


def run(options: argparse.Namespace) -> int:
    if options.plain or not (sys.stdin.isatty() and sys.stdout.isatty()):
        from longlink.cli.chat.lines import talk

        return asyncio.run(talk(connected(options, auto_ack=False), options.peer))
    from longlink.cli.chat.screen import Screen

    screen = Screen(options.peer, address(options))
    return asyncio.run(screen.run(client(options, connect_timeout=None, send_timeout=None, on_state=screen.state)))
