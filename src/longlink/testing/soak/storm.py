"""The storm: what happens to the network and the server while the crowd talks, by a seeded lottery.

Every blow is one that real networks and machines deal: links that end, half of them or in silence, slow lines, short
partitions, kill -9. Read next: ../network.py, crowd.py.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from longlink.protocol.frames import Frame, body_name
from longlink.testing.link import Link
from longlink.testing.losses import PACKETS
from longlink.testing.network import HostileNetwork
from longlink.testing.server import RunningServer

BODIES: Final = frozenset(PACKETS.values())
LOST_OF: Final = 150
"""One of so many of the six packets is lost on the lossy network, and one of ten times as many takes its link along."""
FEW: Final = 0.08
SLOW_BYTES: Final = 20_000
ALWAYS: Final = 2**60


@dataclass
class Storm:
    """blows: how many of each there were. kill_every_s: seconds between two deaths of the server; 0: it lives."""

    server: RunningServer
    networks: Sequence[HostileNetwork]
    kill_every_s: float
    seed: int
    blows: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._lottery = random.Random(self.seed)  # noqa: S311 - a seeded lottery, not a secret
        self._weather = asyncio.Lock()

    def begin(self) -> None:
        """Weather that lasts: all lines have some delay, and the lossy network loses single messages."""
        for network in self.networks:
            network.delay(0.02, jitter_s=0.01)
            network.reorder_s = 0.02
        lossy = self.networks[-1]
        lossy.lose(self._one_of(LOST_OF), count=ALWAYS)
        lossy.lose(self._one_of(10 * LOST_OF), count=ALWAYS, kill=True)

    async def blow(self) -> None:
        """One blow after the other, until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._kill())
            while True:
                await asyncio.sleep(self._lottery.uniform(0.1, 0.4))
                name = self._lottery.choice(("cut", "reset", "half_open", "black_hole", "hold", "slow", "closed"))
                self.blows[name] += 1
                await getattr(self, f"_{name}")()

    def heal(self) -> None:
        """Good weather from now on. Links that lost bytes are reset, so that nobody waits for them."""
        for network in self.networks:
            network.losses.clear()
            network.delay(0)
            network.reorder_s = network.up.rate = network.down.rate = 0.0
            network.accepting = True
            network.hold(False)
            network.reset()

    def _one_of(self, count: int) -> Callable[[Frame], bool]:
        return lambda frame: body_name(frame) in BODIES and self._lottery.random() < 1 / count

    def _some(self) -> list[Link]:
        return [link for each in self.networks for link in list(each.links) if self._lottery.random() < FEW]

    async def _cut(self) -> None:
        for link in self._some():
            link.cut()

    async def _reset(self) -> None:
        for link in self._some():
            link.reset()

    async def _half_open(self) -> None:
        for link in self._some():
            link.half_open(self._lottery.choice(("client", "server")))

    async def _black_hole(self) -> None:
        for link in self._some()[: len(self.networks[0].links) // 50 + 1]:
            link.black_hole()

    async def _hold(self) -> None:
        network = self._lottery.choice(self.networks)
        network.hold()
        await asyncio.sleep(self._lottery.uniform(0.1, 0.5))
        network.hold(False)

    async def _slow(self) -> None:
        weather = self._lottery.choice((self.networks[0].up, self.networks[0].down))
        weather.rate = SLOW_BYTES
        await asyncio.sleep(self._lottery.uniform(0.2, 0.6))
        weather.rate = 0.0

    async def _closed(self) -> None:
        network = self._lottery.choice(self.networks)
        network.accepting = False
        await asyncio.sleep(self._lottery.uniform(0.1, 0.5))
        network.accepting = True

    async def _kill(self) -> None:
        """kill -9 of the whole server, or of one of its processes, again and again."""
        while self.kill_every_s:
            await asyncio.sleep(self._lottery.uniform(0.7, 1.3) * self.kill_every_s)
            await asyncio.shield(asyncio.create_task(asyncio.to_thread(self._one_death)))

    def _one_death(self) -> None:
        victims = ["server", *self.server.workers] if self.server.workers else ["server"]
        victim = self._lottery.choice(victims)
        self.blows[f"kill {victim.partition('-')[0]}"] += 1
        if victim == "server":
            self.server.kill()
            self.server.start()
        else:
            self.server.kill_worker(victim)
