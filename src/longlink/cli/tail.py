"""`longlink tail`: print the messages that arrive for a user, until Ctrl-C, for people or as JSON for programs.

What was printed counts as received. The state of the link goes to stderr. Read next: account.py.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
from typing import TYPE_CHECKING, Any

from longlink.cli import plain
from longlink.cli.account import add_account, connected
from longlink.cli.printed import acknowledging

if TYPE_CHECKING:
    from longlink.client.client import Client
    from longlink.client.events import Event, Message, Notice

SUMMARY = "print the messages that arrive for a user"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_account(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object per line, binary data in Base64")
    parser.add_argument(
        "--history", metavar="N", type=_count, default=0, help="start with the newest N messages of each conversation"
    )
    parser.add_argument(
        "--count", metavar="N", type=_count, default=0, help="exit after N new messages (default: never)"
    )


def run(options: argparse.Namespace) -> int:
    asyncio.run(_tail(options))
    return 0


async def _tail(options: argparse.Namespace) -> None:
    from longlink.client.events import Message, Notice

    async with connected(options, auto_ack=False) as receiver, acknowledging(receiver) as printed:
        shown = await _history(receiver, options)
        left = options.count
        async for event in receiver:
            if isinstance(event, Notice):
                _notice(event, options)
            elif not isinstance(event, Message):
                _state(event)
            elif event.seq <= shown.get(event.conversation, 0):
                printed.add(event)
            else:
                _show(event, options)
                printed.add(event)
                left -= 1
                if left == 0:
                    return


async def _history(receiver: Client, options: argparse.Namespace) -> dict[str, int]:
    """Print the newest messages of all conversations, by time. Returns up to which seq each one was printed."""
    if not options.history:
        return {}
    pages = [await chat.last(options.history) for chat in await receiver.chats()]
    for message in sorted((message for page in pages for message in page), key=lambda message: message.sent_at):
        _show(message, options)
    return {page[-1].conversation: page[-1].seq for page in pages if page}


def _notice(notice: Notice, options: argparse.Namespace) -> None:
    """No message: it counts for nothing and has no place in history."""
    at = f"{notice.sent_at.astimezone():%Y-%m-%d %H:%M:%S}"
    values = {"notice": True, "sent_at": notice.sent_at.isoformat(timespec="milliseconds")} | _said(notice)
    line = json.dumps(values, ensure_ascii=False) if options.json else f"{at}  notice: {plain.line(_text(notice))}"
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _show(message: Message, options: argparse.Namespace) -> None:
    sys.stdout.write((json.dumps(_values(message), ensure_ascii=False) if options.json else _line(message)) + "\n")
    sys.stdout.flush()


def _line(message: Message) -> str:
    at = f"{message.sent_at.astimezone():%Y-%m-%d %H:%M:%S}"
    return f"{at}  {plain.line(message.sender)}: {plain.line(_text(message))}"


def _text(event: Message | Notice) -> str:
    return f"[{event.custom.type}, {len(event.custom.data)} bytes]" if event.custom else event.text


def _values(message: Message) -> dict[str, Any]:
    values: dict[str, Any] = {
        "id": message.id,
        "conversation": message.conversation,
        "seq": message.seq,
        "sender": message.sender,
        "sent_at": message.sent_at.isoformat(timespec="milliseconds"),
    }
    return values | _said(message)


def _said(event: Message | Notice) -> dict[str, Any]:
    if event.custom:
        data = base64.b64encode(event.custom.data).decode()
        return {"custom": {"type": event.custom.type, "data": data}}
    return {"text": event.text}


def _state(event: Event) -> None:
    from longlink.client.events import Connected, Disconnected, Reconnected

    if isinstance(event, Connected | Reconnected):
        sys.stderr.write(f"connected as {plain.line(event.user)}\n")
    elif isinstance(event, Disconnected):
        sys.stderr.write(
            f"disconnected ({plain.line(event.error.message)}); reconnecting in {event.retry_in_s:.1f} s\n"
        )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and int(text) <= 100_000):
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to 100000, got {text!r}")
    return int(text)
