"""The crowd: users with several devices each, who talk in pairs; what they say, how far they are, and the books.

It makes no weather. Read next: peer.py, application.py, storm.py, audit.py.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from longlink.protocol.codec import Encoding
from longlink.testing.facts import ViolationError
from longlink.testing.history import History
from longlink.testing.network import HostileNetwork
from longlink.testing.server import RunningServer
from longlink.testing.soak.application import Application
from longlink.testing.soak.audit import open_all, read_all
from longlink.testing.soak.peer import Peer, Way

TICK_S: Final = 0.1
SYNC_S: Final = 20.0
WAYS: Final = (("tcp", Encoding.BINARY), ("ws", Encoding.BINARY), ("tcp", Encoding.BINARY), ("ws", Encoding.TEXT))
"""How devices connect, in turn: JSON costs the server most, so a quarter of them uses it."""


@dataclass(frozen=True)
class Plan:
    """users, devices of each, and with how many others each one talks. public: how many devices are public clients.

    lossy: how many devices go through the second network. waiting: messages that may be unanswered before nobody says
    anything new.
    """

    users: int = 250
    devices: int = 2
    friends: int = 3
    public: int = 8
    lossy: int = 40
    waiting: int = 2_000
    seed: int = 1


@dataclass
class Crowd:
    """networks: the first one for most devices, the second one for the lossy ones."""

    server: RunningServer
    networks: tuple[HostileNetwork, HostileNetwork]
    plan: Plan
    history: History = field(default_factory=History)
    opened: dict[tuple[str, str], str] = field(default_factory=dict)
    devices: list[Peer | Application] = field(default_factory=list)
    said: Counter[str] = field(default_factory=Counter)
    _tasks: list[asyncio.Task[Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lottery = random.Random(self.plan.seed)  # noqa: S311 - a seeded lottery, not a secret
        self._rest = 0.0

    async def enter(self) -> None:
        """Bring everybody into being, and let all devices connect."""
        users = [f"user-{number}" for number in range(self.plan.users)]
        pairs = {
            (user, users[(number + step) % len(users)])
            for number, user in enumerate(users)
            for step in range(1, self.plan.friends + 1)
        }
        self.opened = await open_all(self.server, sorted(pairs))
        self.history.members = {name: pair for pair, name in self.opened.items()}
        for number in range(self.plan.users * self.plan.devices):
            user = users[number % len(users)]
            self.devices.append(self._device(number, user, f"device-{number // len(users)}"))
        self._tasks += [asyncio.create_task(device.live()) for device in self.devices]
        self._tasks.append(asyncio.create_task(self._tick()))

    def _device(self, number: int, user: str, name: str) -> Peer | Application:
        conversations = [conversation for pair, conversation in self.opened.items() if user in pair]
        book = self.history.device(user, name)
        last = self.plan.users * self.plan.devices - 1 - number
        network = self.networks[number < self.plan.lossy or last < self.plan.public // 2]
        token = self.server.token(user)
        if last < self.plan.public:
            scheme = ("ws", "tcp")[number % 2]
            return Application(f"{scheme}://127.0.0.1:{network.port}", token, name, book, conversations)
        transport, encoding = WAYS[number % len(WAYS)]
        return Peer(Way(network.port, transport, encoding, name, token), book, conversations, self._lottery)

    async def leave(self) -> None:
        """Everybody stops. Raises what any of them has died of."""
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    # Talking ----------------------------------------------------------------------------------------------------------

    def talk(self, count: float) -> None:
        """So many messages, by chance; parts of one are kept for the next time. Nobody speaks while too much waits."""
        self._rest += count
        while self._rest >= 1:
            self._rest -= 1
            if self.waiting < self.plan.waiting:
                device = self._lottery.choice(self.devices)
                conversation = self._lottery.choice(list(_conversations(device)))
                self.said[conversation] += 1
                device.say(conversation)

    @property
    def asked(self) -> int:
        """Messages that were said."""
        return self.said.total()

    @property
    def waiting(self) -> int:
        """Messages without an answer."""
        return sum(device.unanswered for device in self.devices)

    @property
    def connected(self) -> int:
        """Devices on a link now."""
        return sum(device.connected for device in self.devices)

    @property
    def complaints(self) -> list[str]:
        """Errors that no device must ever see."""
        return [complaint for device in self.devices for complaint in device.complaints]

    def unsettled(self) -> list[str]:
        """Who has not sent, seen and acknowledged everything yet, and what is missing."""
        return [
            f"{device.book.full} has {have} of {self.said[conversation]} in {conversation}"
            for device in self.devices
            for conversation, have in _conversations(device).items()
            if have < self.said[conversation] or not device.settled
        ]

    async def _tick(self) -> None:
        while True:
            for device in self.devices:
                if isinstance(device, Peer):
                    device.tick()
            await asyncio.sleep(TICK_S)

    # The end ----------------------------------------------------------------------------------------------------------

    async def settle(self, seconds: float) -> list[str]:
        """Wait until everybody has everything; what is missing when time is over."""
        until = asyncio.get_running_loop().time() + seconds
        while (missing := self.unsettled()) and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110 - a poll
            await asyncio.sleep(TICK_S)
        return missing

    async def violations(self) -> list[ViolationError]:
        """The books against the server's log, which is read now. Whoever could not sync says nothing of marks."""
        peers = [device for device in self.devices if isinstance(device, Peer)]
        for peer in peers:
            peer.sync()
        await self.settle(SYNC_S)
        log, marks = await read_all(self.server, self.opened)
        for peer in (peer for peer in peers if peer.settled):
            for (conversation, user), (delivered, read) in peer.marks.items():
                peer.book.stands(conversation, user, delivered=delivered, read=read)
        return list(self.history.violations(log, marks))


def _conversations(device: Peer | Application) -> dict[str, int]:
    """The conversations of a device, and up to where it has each."""
    return device.have if isinstance(device, Application) else {p.id: p.have for p in device.places.values()}
