"""`longlink send`: one message to one user, then leave. Says when it is on the server's disk.

It reads no events, so what waits for this user keeps waiting. Read next: account.py.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from longlink.cli.account import add_account, client

if TYPE_CHECKING:
    from longlink.client.events import Sent

SUMMARY = "send one message"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_account(parser)
    parser.add_argument("--to", metavar="USER", required=True, help="whom to send it to")
    parser.add_argument("text", metavar="TEXT", help="what to say; - reads all of stdin as one message")


def run(options: argparse.Namespace) -> int:
    text = sys.stdin.read().rstrip("\n") if options.text == "-" else options.text
    sent = asyncio.run(_send(options, text))
    sys.stdout.write(f"{sent.id}\n")
    return 0


async def _send(options: argparse.Namespace, text: str) -> Sent:
    async with client(options, connect_timeout=5.0, send_timeout=30.0) as sender:
        chat = await sender.direct(options.to)
        return await chat.send(text)
