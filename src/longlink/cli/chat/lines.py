"""The chat as plain lines: each line of stdin is sent, each message of the peer is a line of stdout.

Made for pipes and scripts: stdout carries messages only, everything else goes to stderr. At the end of stdin it leaves
once everything is on the server's disk; the exit code says whether it is, also when stdout cannot be written. What was
printed counts as received and read. Read next: ../../client/chat.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from typing import TYPE_CHECKING, Final

from longlink import errors
from longlink.cli import NotOpenError, complain, discard, plain
from longlink.cli.chat.commands import asked
from longlink.cli.printed import acknowledging
from longlink.errors import LonglinkError

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from longlink.cli.printed import Printed
    from longlink.client.chat import Chat
    from longlink.client.client import Client

WAITING: Final = 100
"""Lines read ahead; beyond that stdin waits."""
LOOK_AGAIN_S: Final = 2.0
LOOKS: Final = 5
"""How often a peer that the server does not know is looked for."""


async def talk(entered: AbstractAsyncContextManager[Client], peer: str) -> int:
    async with entered as client, acknowledging(client) as printed:
        chat = await _open(client, peer)
        printing = asyncio.create_task(_print(client, chat, printed))
        sending = asyncio.create_task(_send(chat))
        try:
            await asyncio.wait((printing, sending), return_when=asyncio.FIRST_COMPLETED)
            if printing.done() and not isinstance(printing.exception(), OSError | NotOpenError):
                return printing.result()
            if printing.done():
                complain(f"longlink: messages cannot be printed any more: {printing.exception()}")
                discard()
            return await sending
        finally:
            for task in (printing, sending):
                task.cancel()
            await asyncio.gather(printing, sending, return_exceptions=True)


async def _open(client: Client, peer: str) -> Chat:
    """The chat; on a server that rejects unknown users a peer who is about to connect is waited for, for a moment."""
    for look in range(LOOKS):
        try:
            return await client.direct(peer)
        except LonglinkError as error:
            if error.row is not errors.USER_UNKNOWN or look == LOOKS - 1:
                raise
        if look == 0:
            complain(f"The server knows no user {plain.line(peer)} yet; waiting {LOOKS * LOOK_AGAIN_S:.0f} s")
        await asyncio.sleep(LOOK_AGAIN_S)
    raise AssertionError("the last look has neither found the peer nor raised")


async def _print(client: Client, chat: Chat, printed: Printed) -> int:
    from longlink.client.events import Disconnected, Message, Notice

    async for event in client:
        if isinstance(event, Message) and event.conversation == chat.id and event.sender != client.user:
            said = f"[{event.custom.type}]" if event.custom else event.text
            sys.stdout.write(f"{plain.line(event.sender)}: {plain.line(said)}\n")
            sys.stdout.flush()
            chat.read(event)
        elif isinstance(event, Notice):
            complain(f"notice: {plain.line(f'[{event.custom.type}]' if event.custom else event.text)}")
        elif isinstance(event, Disconnected):
            complain(f"disconnected ({plain.line(event.error.message)}); reconnecting in {event.retry_in_s:.1f} s")
        if isinstance(event, Message):
            printed.add(event)
    return 0


async def _send(chat: Chat) -> int:
    lines: asyncio.Queue[str] = asyncio.Queue(WAITING)
    loop = asyncio.get_running_loop()
    # A thread, because stdin may be a terminal, a pipe or a file, and only a thread can wait for all of them.
    threading.Thread(target=_read, args=(lines, loop), daemon=True).start()
    typed, failed = sys.stdin.isatty(), 0
    while line := await lines.get():
        text = line.rstrip("\r\n")
        if typed:
            wish = asked(text)
            for shown in wish.shown:
                complain(shown)
            if wish.quits:
                break
            text = wish.text
        if not text:
            continue
        try:
            await chat.send(text)
        except LonglinkError as error:
            failed = 1
            complain(f"not sent: {error}")
    return failed


def _read(lines: asyncio.Queue[str], loop: asyncio.AbstractEventLoop) -> None:
    """Every line, then an empty one for the end. Ends when the loop is gone."""
    with contextlib.suppress(RuntimeError, asyncio.CancelledError):
        for line in sys.stdin:
            asyncio.run_coroutine_threadsafe(lines.put(line), loop).result()
        asyncio.run_coroutine_threadsafe(lines.put(""), loop).result()
