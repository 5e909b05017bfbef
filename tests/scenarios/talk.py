"""Alice and Bob with the public client through a hostile network, and books that judge what they saw.

Read next: test_15_hostile.py, test_16_lost_packets.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import longlink
from longlink.testing import History, HostileNetwork, RunningServer
from longlink.testing.soak.audit import open_all, read_all

DEADLINE_S: Final = 30.0
HURRY: Final = {"resend_after": 0.3, "request_timeout": 1.0, "dead_after": 1.0, "send_timeout": None, "replay": True}
"""Options of clients that shall not wait as long as usual."""


class Side:
    """One client, what it was shown, and its book."""

    def __init__(self, client: longlink.Client, chat: longlink.Chat, history: History) -> None:
        self.client = client
        self.chat = chat
        self.book = history.device(client.user, client.device)
        self.texts: list[str] = []
        self.arrived: dict[str, float] = {}
        self.links = 1
        self._changed = asyncio.Event()

    async def listen(self) -> None:
        async for event in self.client:
            if isinstance(event, longlink.Message):
                self.book.saw(event.conversation, event.seq, event.sender, event.client_id, event.text)
                self.texts.append(event.text)
                self.arrived[event.text] = asyncio.get_running_loop().time()
            elif isinstance(event, longlink.Delivered):
                self.book.heard(event.conversation, event.user, delivered=event.seq)
            self.links += isinstance(event, longlink.Reconnected)
            self._changed.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for events until it holds."""
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    async def say(self, text: str) -> longlink.Sent:
        client_id = f"{self.book.full}-{text}"
        self.book.asked(self.chat.id, client_id, text)
        sent = await self.chat.send(text, client_id=client_id)
        self.book.told(self.chat.id, client_id, sent.seq)
        return sent


class Talk:
    """Two sides and the network between them and the server."""

    def __init__(self, server: RunningServer, users: tuple[str, str], network: HostileNetwork) -> None:
        self.server = server
        self.users = users
        self.network = network
        self.history = History()
        self.conversation = ""
        self.alice: Side
        self.bob: Side

    async def check(self) -> None:
        """The books agree with the log, which has so many messages as were sent."""
        log, marks = await read_all(self.server, {self.users: self.conversation})
        self.history.members = {self.conversation: self.users}
        self.history.check(log, marks)
        asked = [fact for fact in self.history.facts if fact.what == "asked"]
        assert len(log[self.conversation]) == len(asked)

    async def delivered(self, seq: int) -> None:
        """Alice knows that Bob has everything up to seq."""
        await self.alice.until(lambda: self.alice.chat.delivered(self.users[1]) >= seq)


@asynccontextmanager
async def talking(
    server: RunningServer, name: str, *, scheme: str = "ws", frames: bool = False, **options: Any
) -> AsyncIterator[Talk]:
    """name: makes users of this talk's own. The body has DEADLINE_S seconds."""
    users = (f"alice-{name}", f"bob-{name}")
    async with asyncio.timeout(DEADLINE_S), HostileNetwork(server.port, frames=frames) as network:
        talk = Talk(server, users, network)
        talk.conversation = (await open_all(server, [users]))[users]
        url = f"{scheme}://127.0.0.1:{network.port}"
        chosen: dict[str, Any] = HURRY | options
        alice = longlink.connect(url, token=server.token(users[0]), device="phone", **chosen)
        bob = longlink.connect(url, token=server.token(users[1]), device="phone", **chosen)
        async with alice, bob:
            talk.alice = Side(alice, await alice.direct(users[1]), talk.history)
            talk.bob = Side(bob, await bob.direct(users[0]), talk.history)
            listening = [asyncio.create_task(side.listen()) for side in (talk.alice, talk.bob)]
            try:
                yield talk
            finally:
                for task in listening:
                    task.cancel()
                await asyncio.gather(*listening, return_exceptions=True)
