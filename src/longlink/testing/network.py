"""A hostile network between clients and a server: a TCP proxy whose weather is switched while it runs.

It delays, slows, holds, loses, cuts and lies; it never changes a byte and never changes the order of one connection's
bytes. Everything random comes from one seed. It belongs to one event loop. Read next: link.py, one connection.
"""

from __future__ import annotations

import asyncio
import random
import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from longlink.testing.link import Link, Side
from longlink.testing.losses import Loss, Rule, rule_of

BACKLOG: Final = 1024


@dataclass
class Weather:
    """One direction. delay_s: every byte comes so much later; jitter_s: up to so much more, in order all the same.

    rate: bytes a second of each connection, 0 for no limit. hold: nothing gets through, and nothing is lost: it comes
    when hold ends, as behind a partition that heals. black_hole: bytes vanish while the sockets stay open; a connection
    that lost some stays black for good in this direction, since the rest of its stream would make no sense.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    rate: float = 0.0
    hold: bool = False
    black_hole: bool = False


class HostileNetwork:
    """`async with HostileNetwork(server.port, seed=7) as network:` and clients connect to `network.port`.

    up, down: the weather from clients to the server and back. accepting: whether new connections are served; otherwise
    they wait, as with a host that is not there, and are let in when it is set again. reorder_s: each connection is
    slower than the others by a random constant of up to so many seconds, so that a later one overtakes an earlier one.
    frames: tell messages apart, so that `lose` can lose single ones; costs some CPU for each, and only whole messages
    pass. sock: a listening socket to use instead of a new one on loopback. passed, swallowed: bytes that got through,
    and that vanished.
    """

    def __init__(
        self,
        port: int,
        *,
        host: str = "127.0.0.1",
        seed: int = 0,
        frames: bool = False,
        sock: socket.socket | None = None,
    ) -> None:
        self.up = Weather()
        self.down = Weather()
        self.reorder_s = 0.0
        self.frames = frames
        self.random = random.Random(seed)  # noqa: S311 - a seeded lottery, not a secret
        self.links: list[Link] = []
        self.losses: list[Loss] = []
        self.passed = 0
        self.swallowed = 0
        self.port = 0
        self._target = (host, port)
        self._sock = sock
        self._server: asyncio.Server | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """For `longlink.connect`."""
        return f"ws://127.0.0.1:{self.port}"

    # Weather ----------------------------------------------------------------------------------------------------------

    @property
    def accepting(self) -> bool:
        """Whether new connections are served; otherwise they wait."""
        return self._open.is_set()

    @accepting.setter
    def accepting(self, accepts: bool) -> None:
        (self._open.set if accepts else self._open.clear)()

    def delay(self, seconds: float, jitter_s: float = 0.0) -> None:
        """A round trip of so many seconds, half of it each way, and up to jitter_s more each way."""
        for weather in (self.up, self.down):
            weather.delay_s, weather.jitter_s = seconds / 2, jitter_s

    def hold(self, holds: bool = True) -> None:
        """Nothing gets through in either direction, until hold(False)."""
        self.up.hold = self.down.hold = holds
        self.changed()

    def black_hole(self, swallows: bool = True) -> None:
        """Everything vanishes in both directions; connections that lost bytes stay black for good."""
        self.up.black_hole = self.down.black_hole = swallows

    def changed(self) -> None:
        """To be called after a `hold` of one direction has been taken away, so that what waits moves again."""
        for link in self.links:
            link.move()

    # Blows ------------------------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Every connection ends at once with FIN on both sides; what was on its way is lost."""
        for link in list(self.links):
            link.cut()

    def reset(self) -> None:
        """Every connection ends with RST on both sides; what was on its way is lost."""
        for link in list(self.links):
            link.reset()

    def half_open(self, told: Side) -> None:
        """Every connection ends for one side, "client" or "server"; the other one is not told, and talks to nobody."""
        for link in list(self.links):
            link.half_open(told)

    def lose(self, what: str | Rule, *, nth: int = 1, count: int = 1, kill: bool = False) -> Loss:
        """Lose the nth message from now on that matches, and the count - 1 matching ones after it.

        what: a packet ("msg:R" to "ack:N"), the body of a frame ("sent"), or a function of a frame. kill: instead of
        that message the link gets a reset. Raises RuntimeError unless the network was made with frames=True.
        """
        if not self.frames:
            raise RuntimeError("expected HostileNetwork(..., frames=True), without it no message is seen")
        loss = Loss(rule_of(what), nth, count, kill)
        self.losses.append(loss)
        return loss

    # Life -------------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if self._sock is None:
            self._server = await loop.create_server(lambda: Link(self).near, "127.0.0.1", 0, backlog=BACKLOG)
        else:
            self._server = await loop.create_server(lambda: Link(self).near, sock=self._sock, backlog=BACKLOG)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.reset()
        # Aborted transports close their sockets in the next turn of the loop.
        await asyncio.sleep(0)

    def opened(self, link: Link) -> None:
        """A client is there; for Link."""
        self.links.append(link)
        task = asyncio.get_running_loop().create_task(self._reach(link))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def closed(self, link: Link) -> None:
        """A connection is over on both sides; for Link."""
        if link in self.links:
            self.links.remove(link)

    async def _reach(self, link: Link) -> None:
        await self._open.wait()
        try:
            await asyncio.get_running_loop().create_connection(lambda: link.far, *self._target)
        except OSError:
            link.reset()
            self.closed(link)
