"""One load process: reads orders as JSON lines on stdin, carries them out one after the other, answers on stdout.

An order is {"do": name, ...}; it is answered with one line when it is done: a JSON object, {"error": ...} when it
failed. The first order is {"do": "be", "role": ...}. End of stdin ends the process. Read next: chat.py, idle.py.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import traceback
from typing import Any, Final

import uvloop

from bench.load.chat import Chat
from bench.load.echo import Echo
from bench.load.idle import Idle

ROLES: Final = {"chat": Chat, "echo": Echo, "idle": Idle}


async def obey() -> None:
    """Carry out orders until stdin ends."""
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    crew: Any = None
    while line := await orders.readline():
        order = json.loads(line)
        what = order.pop("do")
        answer: dict[str, Any]
        try:
            if what == "be":
                crew, answer = ROLES[order.pop("role")](**order), {}
            else:
                answer = await getattr(crew, what)(**order) or {}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{what}: {type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer | {"cpu_s": time.process_time()}) + "\n")
        sys.stdout.flush()


uvloop.run(obey())
