"""One conversation, as the application holds it: send, read back, see how far the others are. Keeps no messages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from longlink.client import events
from longlink.client.events import Message, Sent
from longlink.protocol import frames
from longlink.protocol.frames import Frame, ReadHistory
from longlink.protocol.limits import PAGE_MAX, SEQ_MAX

if TYPE_CHECKING:
    from longlink.client.client import Client


@dataclass(frozen=True, slots=True)
class Chat:
    """members: the users in it, and head: its newest seq, as they were when the chat was opened; a chat made by
    `client.chat(id)` does not know them (empty and 0)."""

    _client: Client = field(repr=False)
    id: str
    members: tuple[str, ...]
    head: int

    @property
    def peer(self) -> str:
        """The other user of a direct conversation; empty when the members are not known."""
        return next((user for user in self.members if user != self._client.user), "")

    async def send(self, text: str, *, client_id: str = "") -> Sent:
        """Send a text, at least 1 character; returns once it is on the server's disk.

        Messages of one conversation are stored in the order of these calls, one after the other; down links and busy
        servers are waited for, up to connect's send_timeout or until the call is cancelled (`asyncio.timeout`).
        client_id: 1..64 characters of printable ASCII, to repeat a send of which an earlier process does not know
        whether it was stored.

        Raises UNANSWERED or DISCONNECTED when time is over (the message may have been stored), NOT_A_MEMBER,
        CONVERSATION_UNKNOWN, FIELD_INVALID, FRAME_TOO_LARGE, CONTENT_DIFFERS, and any final error of the client.
        """
        return await self._client.send(self.id, frames.Content(text=text), client_id=client_id)

    async def send_custom(self, kind: str, data: bytes, *, client_id: str = "") -> Sent:
        """Send content of the application's own; kind: 1..128 characters, becomes `message.custom.type`. As send."""
        content = frames.Content(custom=frames.Custom(type=kind, data=data))
        return await self._client.send(self.id, content, client_id=client_id)

    async def history(self, *, after: int = 0) -> AsyncIterator[Message]:
        """Every message with seq > after, oldest first, own ones too; read page by page while it is iterated."""
        more = True
        while more:
            page = await self._page(ReadHistory(conversation=self.id, after=after, limit=PAGE_MAX))
            for message in page.messages:
                yield events.message(message)
                after = message.seq
            more = page.more and bool(page.messages)

    async def last(self, count: int = 50, *, before: int | None = None) -> list[Message]:
        """The newest messages, count at most, oldest first. before: only those with a smaller seq."""
        found: list[Message] = []
        before = SEQ_MAX if before is None else before
        while len(found) < count:
            limit = min(PAGE_MAX, count - len(found))
            page = await self._page(ReadHistory(conversation=self.id, before=before, limit=limit))
            found[:0] = [events.message(message) for message in page.messages]
            if not page.more or not page.messages:
                break
            before = page.messages[0].seq
        return found

    def delivered(self, user: str) -> int:
        """Up to which seq the conversation has reached a device of that user, as far as this client knows."""
        return self._client.mark(self.id, user)

    async def _page(self, request: ReadHistory) -> frames.History:
        return (await self._client.request(Frame(read_history=request))).history
