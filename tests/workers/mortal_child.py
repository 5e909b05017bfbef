"""A supervisor whose children do what the command line says instead of serving. A process of its own, for it forks.

    python mortal_child.py FOLDER KIND

KIND: `dies` (a gateway that ends at once, each time), `fails` (one that cannot start again after its first life).
Read next: test_supervisor.py.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial

from longlink import errors
from longlink.config import Config, Data, Listen, Log, Server
from longlink.errors import LonglinkError
from longlink.ops import logs
from longlink.workers import supervisor
from longlink.workers.child import Line, Work
from longlink.workers.shared import share
from longlink.workers.supervisor import Supervisor, Worker


async def _live(line: Line, asked: asyncio.Event) -> None:
    line.ready()
    await asked.wait()


async def _mortal(kind: str, restarts: int, line: Line, asked: asyncio.Event) -> None:
    if kind == "fails" and restarts:
        raise LonglinkError(errors.CONFIG_INVALID, "the certificate has gone")
    line.ready()
    await asyncio.wait_for(asked.wait(), 0.01)


def _work(kind: str, restarts: int) -> Work:
    return partial(_mortal, kind, restarts)


def main() -> int:
    folder, kind = sys.argv[1:]
    vars(supervisor).update(PAUSES_S=(0.0, 0.01), MOST_DEATHS=5)
    listen = Listen(address="127.0.0.1:0", http="127.0.0.1:0")
    config = Config(server=Server(workers=1), listen=listen, data=Data(dir=folder), log=Log(format="json"))
    logs.setup(config.log)
    made = Supervisor(share(config), None)
    made._logic = Worker("logic", lambda _: _live)
    made._gateways = [Worker("gateway-1", partial(_work, kind))]
    return made.run()


if __name__ == "__main__":
    sys.exit(main())
