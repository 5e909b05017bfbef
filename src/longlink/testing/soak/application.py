"""One device of the crowd that uses the public client, as an application would. Read next: crowd.py, peer.py."""

from __future__ import annotations

import asyncio

import longlink
from longlink.testing.facts import Device


class Application:
    """book: what the application sent and was shown. complaints: errors that it must never see."""

    def __init__(self, url: str, token: str, device: str, book: Device, conversations: list[str]) -> None:
        self.book = book
        self.complaints: list[str] = []
        self.links = 0
        self.resumed = 0
        self.have = dict.fromkeys(conversations, 0)
        self._queues: dict[str, asyncio.Queue[tuple[str, str]]] = {name: asyncio.Queue() for name in conversations}
        self._options = (url, token, device)
        self._client: longlink.Client | None = None
        self._said = 0
        self._answered = 0

    @property
    def connected(self) -> bool:
        """On a link now."""
        return self._client is not None and self._client.connected

    @property
    def unanswered(self) -> int:
        """Messages that are not stored, as far as this device knows."""
        return self._said - self._answered

    @property
    def settled(self) -> bool:
        """Everything is sent, as far as this device knows."""
        return self.connected and self.unanswered == 0

    def say(self, conversation: str) -> None:
        """Send a message of a few words, behind those said before."""
        self._said += 1
        client_id, text = f"{self.book.full}-{self._said}", f"{self.book.full} says {self._said}"
        self.book.asked(conversation, client_id, text)
        self._queues[conversation].put_nowait((client_id, text))

    async def live(self) -> None:
        """Until it is cancelled; the client reconnects by itself."""
        url, token, device = self._options
        options = {"connect_timeout": None, "send_timeout": None, "resend_after": 3.0, "dead_after": 3.0}
        client = longlink.connect(url, token=token, device=device, replay=True, flush_timeout=0.1, **options)  # type: ignore[arg-type]
        try:
            async with client as self._client, asyncio.TaskGroup() as tasks:
                for conversation in self._queues:
                    tasks.create_task(self._talk(conversation))
                await self._listen(client)
        except* longlink.LonglinkError as group:
            self.complaints += [f"{self.book.full}: {error}" for error in group.exceptions]

    async def _talk(self, conversation: str) -> None:
        assert self._client is not None
        chat = self._client.chat(conversation)
        while True:
            client_id, text = await self._queues[conversation].get()
            sent = await chat.send(text, client_id=client_id)
            self.book.told(conversation, client_id, sent.seq)
            self.have[conversation] += 1
            self._answered += 1

    async def _listen(self, client: longlink.Client) -> None:
        async for event in client:
            if isinstance(event, longlink.Message):
                # A message under an id of the application's own may come back as an event (docs/guides).
                if not event.client_id.startswith(f"{self.book.full}-"):
                    self.book.saw(event.conversation, event.seq, event.sender, event.client_id, event.text)
                    self.have[event.conversation] += 1
            elif isinstance(event, longlink.Delivered):
                self.book.heard(event.conversation, event.user, delivered=event.seq)
            elif isinstance(event, longlink.Connected | longlink.Reconnected):
                self.links += 1
