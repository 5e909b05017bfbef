"""One conversation, as the application holds it: send, read back, see how far the others are. Keeps no messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from longlink.client import arguments, events
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

    @property
    def unread(self) -> int:
        """Messages of others above the read mark of the user, as far as this client knows.

        Exact after a sync; after reading only a part of what was unread then, at least so many.
        """
        return self._client.track(self.id).unread

    @property
    def mentions(self) -> int:
        """How many of them mention the user; after reading only a part, at most so many."""
        return self._client.track(self.id).mentions

    async def send(
        self, text: str, *, mentions: Sequence[str] = (), mentions_all: bool = False, client_id: str = ""
    ) -> Sent:
        """Send a text, at least 1 character; returns once it is on the server's disk.

        Messages of one conversation are stored in the order of these calls, one after the other; down links and busy
        servers are waited for, up to connect's send_timeout or until the call is cancelled (`asyncio.timeout`).
        mentions: users whom it mentions, at most 50; mentions_all: it mentions every member.
        client_id: 1..64 characters of printable ASCII, to repeat a send of which an earlier process does not know
        whether it was stored.

        Raises UNANSWERED or DISCONNECTED when time is over (the message may have been stored), NOT_A_MEMBER,
        CONVERSATION_UNKNOWN, FIELD_INVALID, FRAME_TOO_LARGE, CONTENT_DIFFERS, and any final error of the client.
        """
        content = arguments.text_content(text, mentions, mentions_all)
        return await self._client.send(self.id, content, client_id=client_id)

    async def send_custom(
        self,
        kind: str,
        data: bytes,
        *,
        mentions: Sequence[str] = (),
        mentions_all: bool = False,
        client_id: str = "",
    ) -> Sent:
        """Send content of the application's own; kind: 1..128 characters, becomes `message.custom.type`. As send."""
        content = arguments.custom_content(kind, data, mentions, mentions_all)
        return await self._client.send(self.id, content, client_id=client_id)

    async def post(
        self, text: str, *, mentions: Sequence[str] = (), mentions_all: bool = False, client_id: str = ""
    ) -> str:
        """Send a text without waiting for the server; returns the client_id once the message is in the outbox, and on
        disk if the client has a store. Then it is tried until it is stored, by the next process too, or refused for
        good: the event `Sent` or `Refused` says which.

        Waits while max_pending messages are unacknowledged, up to send_timeout: UNANSWERED. Raises FIELD_INVALID,
        DATA_UNUSABLE (no room on the disk), and any final error of the client.
        """
        content = arguments.text_content(text, mentions, mentions_all)
        return await self._client.post(self.id, content, client_id=client_id)

    def read(self, upto: int | Message) -> None:
        """The user has read everything up to this message or seq, on whichever device. The server is told as soon as a
        link is up; a lower mark than the one that holds changes nothing. Raises SEQ_AHEAD beyond the head."""
        seq = upto.seq if isinstance(upto, Message) else upto
        self._client.read(self.id, arguments.whole(seq, "upto", 1))

    async def history(self, *, after: int = 0) -> AsyncIterator[Message]:
        """Every message with seq > after, oldest first, own ones too; read page by page while it is iterated.

        While no link is up, what the store holds: the newest ones that have come to this device, perhaps with gaps.
        """
        after = arguments.whole(after, "after")
        more = True
        while more:
            if (store := self._client.offline) is not None:
                kept = store.history(self.id, after)
                for each in kept:
                    yield events.message(each)
                    after = each.seq
                more = bool(kept)
                continue
            page = await self._page(ReadHistory(conversation=self._checked_id, after=after, limit=PAGE_MAX))
            for message in page.messages:
                yield events.message(message)
                after = message.seq
            more = page.more and bool(page.messages)

    async def last(self, count: int = 50, *, before: int | None = None) -> list[Message]:
        """The newest messages, count at most, oldest first. before: only those with a smaller seq. As history."""
        found: list[Message] = []
        count = arguments.whole(count, "count")
        before = SEQ_MAX if before is None else arguments.whole(before, "before", 1)
        if (store := self._client.offline) is not None:
            return [events.message(message) for message in store.last(self.id, before, count)]
        while len(found) < count:
            limit = min(PAGE_MAX, count - len(found))
            page = await self._page(ReadHistory(conversation=self._checked_id, before=before, limit=limit))
            found[:0] = [events.message(message) for message in page.messages]
            if not page.more or not page.messages:
                break
            before = page.messages[0].seq
        return found

    def delivered(self, user: str) -> int:
        """Up to which seq the conversation has reached a device of that user, as far as this client knows."""
        return self._client.track(self.id).delivered.get(arguments.text(user, "user"), 0)

    def read_by(self, user: str) -> int:
        """Up to which seq that user has read, as far as this client knows; 0 where the server keeps it private."""
        user = arguments.text(user, "user")
        track = self._client.track(self.id)
        return track.read if user == self._client.user else track.reads.get(user, 0)

    @property
    def _checked_id(self) -> str:
        return arguments.text(self.id, "conversation")

    async def _page(self, request: ReadHistory) -> frames.History:
        return (await self._client.ask(Frame(read_history=request))).history
