"""The chat as plain lines: each line of stdin is sent, each message of the peer is a line of stdout.

Made for pipes and scripts: stdout carries messages only, everything else goes to stderr. At the end of stdin it leaves
once everything is on the server's disk. Read next: ../../client/chat.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from typing import TYPE_CHECKING, Final

from longlink import errors
from longlink.cli import plain
from longlink.errors import LonglinkError

if TYPE_CHECKING:
    from longlink.client.chat import Chat
    from longlink.client.client import Client

WAITING: Final = 100
"""Lines read ahead; beyond that stdin waits."""
LOOK_AGAIN_S: Final = 2.0


async def talk(client: Client, peer: str) -> int:
    async with client:
        chat = await _open(client, peer)
        printing = asyncio.create_task(_print(client, chat))
        sending = asyncio.create_task(_send(chat))
        try:
            await asyncio.wait((printing, sending), return_when=asyncio.FIRST_COMPLETED)
            return (sending if sending.done() else printing).result()
        finally:
            for task in (printing, sending):
                task.cancel()
            await asyncio.gather(printing, sending, return_exceptions=True)


async def _open(client: Client, peer: str) -> Chat:
    told = False
    while True:
        try:
            return await client.direct(peer)
        except LonglinkError as error:
            if error.row is not errors.USER_UNKNOWN:
                raise
        if not told:
            sys.stderr.write(f"{plain.line(peer)} has not connected yet; waiting\n")
            told = True
        await asyncio.sleep(LOOK_AGAIN_S)


async def _print(client: Client, chat: Chat) -> int:
    from longlink.client.events import Disconnected, Message, Notice

    async for event in client:
        if isinstance(event, Message) and event.conversation == chat.id and event.sender != client.user:
            said = f"[{event.custom.type}]" if event.custom else event.text
            sys.stdout.write(f"{plain.line(event.sender)}: {plain.line(said)}\n")
            sys.stdout.flush()
        elif isinstance(event, Notice):
            sys.stderr.write(f"notice: {plain.line(f'[{event.custom.type}]' if event.custom else event.text)}\n")
        elif isinstance(event, Disconnected):
            sys.stderr.write(f"disconnected: {plain.line(event.error.message)}; again in {event.retry_in_s:.1f} s\n")
    return 0


async def _send(chat: Chat) -> int:
    lines: asyncio.Queue[str] = asyncio.Queue(WAITING)
    loop = asyncio.get_running_loop()
    # A thread, because stdin may be a terminal, a pipe or a file, and only a thread can wait for all of them.
    threading.Thread(target=_read, args=(lines, loop), daemon=True).start()
    failed = 0
    while line := await lines.get():
        if not line.rstrip("\r\n"):
            continue
        try:
            await chat.send(line.rstrip("\r\n"))
        except LonglinkError as error:
            failed = 1
            sys.stderr.write(f"not sent: {error}\n")
    return failed


def _read(lines: asyncio.Queue[str], loop: asyncio.AbstractEventLoop) -> None:
    """Every line, then an empty one for the end. Ends when the loop is gone."""
    with contextlib.suppress(RuntimeError, asyncio.CancelledError):
        for line in sys.stdin:
            asyncio.run_coroutine_threadsafe(lines.put(line), loop).result()
        asyncio.run_coroutine_threadsafe(lines.put(""), loop).result()
