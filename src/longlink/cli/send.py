"""`longlink send USER TEXT`: one message to one user, then exit. Prints its id once it is on the server's disk.

Exit code 0 means stored, also if the id could not be printed. It reads no events, so what waits for this user keeps
waiting. Read next: account.py.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
from typing import TYPE_CHECKING

from longlink import errors
from longlink.cli.account import add_account, connected
from longlink.cli.output import report
from longlink.errors import LonglinkError

if TYPE_CHECKING:
    from longlink.client.events import Sent

SUMMARY = "send one message"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_account(parser)
    parser.add_argument("--to", metavar="USER", help="the user to send it to, if only TEXT follows")
    parser.add_argument(
        "--client-id",
        metavar="ID",
        default="",
        help="name of the message, so that sending it again stores it once: 1 to 64 printable ASCII characters",
    )
    parser.add_argument("words", metavar="USER TEXT", nargs="+", help="to whom, and the text; - reads standard input")


def run(options: argparse.Namespace) -> int:
    user, text = _words(options)
    report(asyncio.run(_send(options, user, text)).id)
    return 0


def _words(options: argparse.Namespace) -> tuple[str, str]:
    words = [options.to, *options.words] if options.to is not None else options.words
    if len(words) != 2:
        wanted = "TEXT" if options.to is not None else "USER and TEXT"
        said = f"expected {wanted}, got {len(options.words)} words; a text of several words needs quotes"
        raise LonglinkError(errors.CONFIG_INVALID, said)
    user, text = words
    if text != "-":
        return user, text
    try:
        return user, sys.stdin.read().rstrip("\n")
    except UnicodeDecodeError as error:
        said = f"standard input is not {error.encoding}: {error.reason} at byte {error.start}"
        raise LonglinkError(errors.FIELD_INVALID, said) from None


async def _send(options: argparse.Namespace, user: str, text: str) -> Sent:
    client_id = options.client_id or f"send-{secrets.token_hex(12)}"
    async with connected(options, send_timeout=30.0) as sender:
        chat = await sender.direct(user)
        try:
            return await chat.send(text, client_id=client_id)
        except LonglinkError as error:
            if not error.retry:
                raise
            said = f"{error.message}; to repeat it without storing it twice, add --client-id {client_id}"
            raise LonglinkError(error.row, said) from error
