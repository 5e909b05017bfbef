"""Idle clients: connect, authenticate, and send a heartbeat every few seconds. Nothing else."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any, Final

from picows import WSMsgType

from bench.load.link import Link, in_turn, join
from bench.trust import trusting
from longlink.access.tokens import Signer

SLICES: Final = 50
"""Heartbeats are spread over the interval in so many steps."""


class Idle:
    """prefix: begins the name of every user; source: the loopback address to connect from."""

    def __init__(self, url: str, data: str, prefix: str, source: str, heartbeat_s: float) -> None:
        self._url = url
        self._signer = Signer.from_data(Path(data))
        self._prefix = prefix
        self._source = source
        self._heartbeat_s = heartbeat_s
        self._links: list[Link] = []
        self._sent = 0
        self._beating: asyncio.Task[None] | None = None

    async def connect(self, count: int) -> dict[str, Any]:
        """So many more users, each on one connection."""
        first = len(self._links)
        tls = trusting() if self._url.startswith("wss:") else None
        users = [f"{self._prefix}{number:06}" for number in range(first, first + count)]
        tokens = [self._signer.sign(user, days=1.0) for user in users]
        self._links += await in_turn(partial(join, Link, self._url, token, self._source, tls) for token in tokens)
        if self._beating is None:
            self._beating = asyncio.get_running_loop().create_task(self._beat())
        return {"connections": len(self._links)}

    async def count(self) -> dict[str, Any]:
        """Heartbeats sent and answered, connections lost."""
        lost = [link.closed for link in self._links if link.closed]
        answered = sum(link.heartbeats for link in self._links)
        return {"sent": self._sent, "answered": answered, "lost": len(lost), "why": lost[:3]}

    async def _beat(self) -> None:
        turn = 0
        while True:
            for link in self._links[turn % SLICES :: SLICES]:
                if not link.closed:
                    link.transport.send(WSMsgType.BINARY, b"")
                    self._sent += 1
            turn += 1
            await asyncio.sleep(self._heartbeat_s / SLICES)
