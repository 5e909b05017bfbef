"""A supervisor whose children do what the command line says instead of serving. A process of its own, for it forks.

    python mortal_child.py FOLDER KIND

KIND: `dies` (a gateway that ends at once, each time), `mute` (the same with a stdout that nobody reads), `fails` (one
that cannot start again after its first life), `regrets` (one that fails after it was ready, from its second life on),
`crowded` (a system that has no room for it after its second life), `slow` (a logic that is never ready).
Read next: test_supervisor.py.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from functools import partial
from typing import Final

from longlink import errors
from longlink.config import Config, Data, Listen, Loaded, Log, Server, Settings
from longlink.errors import LonglinkError
from longlink.ops import logs
from longlink.ops.service_manager import ServiceManager
from longlink.workers import supervisor
from longlink.workers.child import Line, Work
from longlink.workers.shared import share
from longlink.workers.supervisor import Supervisor, Worker
from longlink.workers.tally import Past

STEADY_S: Final = 0.1
"""How long a crowded one lives, which is enough to be steady."""


async def _live(line: Line, asked: asyncio.Event) -> None:
    line.ready()
    await asked.wait()


async def _slow(_: Line, asked: asyncio.Event) -> None:
    await asked.wait()


async def _mortal(kind: str, restarts: int, line: Line, asked: asyncio.Event) -> None:
    if kind == "fails" and restarts:
        raise LonglinkError(errors.CONFIG_INVALID, "the certificate has gone")
    line.ready()
    if kind == "mute":
        read, write = os.pipe()
        os.close(read)
        sys.stdout = os.fdopen(write, "w")
        sys.stdout.write("nobody hears this")
    if kind == "regrets" and restarts:
        raise LonglinkError(errors.STORAGE_UNAVAILABLE, "the disk has gone")
    await asyncio.wait_for(asked.wait(), STEADY_S if kind == "crowded" else 0.01)


def _work(kind: str, past: Past) -> Work:
    if kind == "crowded" and past.restarts:
        # In the supervisor: it has no room for the pipe to the next one.
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return partial(_mortal, kind, past.restarts)


def main() -> int:
    folder, kind = sys.argv[1:]
    vars(supervisor).update(PAUSES_S=(0.0, STEADY_S if kind == "crowded" else 0.01), MOST_DEATHS=5)
    if kind == "crowded":
        vars(supervisor).update(STEADY_S=STEADY_S)
    listen = Listen(address="127.0.0.1:0", http="127.0.0.1:0", operations="127.0.0.1:0")
    config = Config(server=Server(workers=1), listen=listen, data=Data(dir=folder), log=Log(format="json"))
    logs.setup(config.log)
    made = Supervisor(share(Settings(lambda: Loaded(config, {}))), None, ServiceManager({}))
    made._logic = Worker("logic", lambda _: _slow if kind == "slow" else _live)
    made._gateways = [Worker("gateway-1", partial(_work, kind))]
    return made.run()


if __name__ == "__main__":
    sys.exit(main())
