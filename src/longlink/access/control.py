"""The operator's door: a Unix socket in the data folder. Who may open it may do what it offers; nothing else is asked.

One line of JSON in, one line out: {"do": NAME, "with": {...}} is answered with {"done": {...}} or with {"error":
{"code", "message"}}. The socket is made for its owner alone. Read next: ../logic/broadcast.py, ../cli/broadcast.py.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from longlink import errors
from longlink.errors import LonglinkError
from longlink.ops import logs, sockets

log = logs.get("control")

NAME: Final = "control.sock"
NUMBERS: Final = "numbers"
"""What `longlink top` asks for: the metrics."""
LONGEST_LINE: Final = 2**24
"""Bytes: the largest text that a message may have, each character written as JSON writes control characters."""
ASK_S: Final = 10.0
"""How long either side waits for the other."""
MOST: Final = 16
"""Operators at once; one more is closed."""

Verbs = Mapping[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]]
"""What can be done, by name. May raise LonglinkError."""


class Control:
    """Serves the door of one folder. Raises DATA_UNUSABLE from start."""

    def __init__(self, folder: Path, verbs: Verbs) -> None:
        self._folder = folder
        self._verbs = verbs
        self._here: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        try:
            listener = sockets.listen_in(self._folder, NAME)
        except OSError as error:
            message = f"cannot make {self._folder / NAME}: {error.strerror}"
            raise LonglinkError(errors.DATA_UNUSABLE, message) from None
        self._server = await asyncio.start_unix_server(self._meet, sock=listener, limit=LONGEST_LINE)

    async def stop(self) -> None:
        """Idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None
            (self._folder / NAME).unlink(missing_ok=True)
        for task in list(self._here):
            task.cancel()
        await asyncio.gather(*self._here, return_exceptions=True)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None and len(self._here) < MOST:
            self._here.add(task)
            try:
                async with asyncio.timeout(ASK_S):
                    writer.write(json.dumps(await self._answer(reader)).encode() + b"\n")
                    await writer.drain()
            except (TimeoutError, ConnectionError):
                log.warning("operator_left")
            finally:
                self._here.discard(task)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> dict[str, Any]:
        try:
            return {"done": await self._do(json.loads(await reader.readline()))}
        except LonglinkError as error:
            return {"error": {"code": error.code, "message": error.message}}
        except (ValueError, TypeError, KeyError):
            # Also a line that is too long.
            message = f'expected {{"do": NAME, "with": {{...}}}} in one line of JSON of at most {LONGEST_LINE} bytes'
            return {"error": {"code": errors.FRAME_MALFORMED.code, "message": message}}

    async def _do(self, asked: dict[str, Any]) -> dict[str, Any]:
        verb = self._verbs.get(asked["do"])
        if verb is None:
            message = f"expected one of {', '.join(self._verbs)}, got {str(asked['do'])[:100]!r}"
            raise LonglinkError(errors.FRAME_UNKNOWN, message)
        arguments = dict(asked["with"])
        done = await verb(arguments)
        # `longlink top` asks every second or two and learns of no user: such lines would bury the others.
        write = log.debug if asked["do"] == NUMBERS else log.info
        write("operator", does=asked["do"], **_whom(arguments), **_how_many(done))
        return done


def _whom(arguments: dict[str, Any]) -> dict[str, object]:
    """What an operator has named, for the log; never the text of a notice."""
    return {name: arguments[name] for name in ("user", "device", "all") if arguments.get(name)}


def _how_many(done: dict[str, Any]) -> dict[str, object]:
    found = {name: len(value) if isinstance(value, list) else value for name, value in done.items()}
    return {name: value for name, value in found.items() if isinstance(value, int)}


def ask(folder: Path, verb: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Have the server of this folder do something. Raises its error, FRAME_TOO_LARGE; DATA_UNUSABLE without one."""
    line = json.dumps({"do": verb, "with": arguments}).encode() + b"\n"
    if len(line) > LONGEST_LINE:
        message = f"expected a request of at most {LONGEST_LINE} bytes as JSON, got {len(line)}"
        raise LonglinkError(errors.FRAME_TOO_LARGE, message)
    try:
        with sockets.connect_in(folder, NAME) as door:
            door.settimeout(ASK_S)
            door.sendall(line)
            door.shutdown(socket.SHUT_WR)
            with door.makefile("rb") as answers:
                answer = json.loads(answers.readline() or b"{}")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        message = f"no server answers at {folder / NAME} ({why}); name the data folder of a running server with --data"
        raise LonglinkError(errors.DATA_UNUSABLE, message) from None
    if "done" not in answer:
        failure = answer.get("error", {"code": errors.INTERNAL.code, "message": "the server gave no answer"})
        raise LonglinkError(errors.TABLE[failure["code"]], failure["message"])
    done: dict[str, Any] = answer["done"]
    return done
