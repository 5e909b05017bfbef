"""The auditor: goes straight to the server, brings users and conversations into being, and reads the log at the end.

Read next: crowd.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from longlink.client.transport import Transport, open_transport
from longlink.protocol import codec
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import VERSION, Connect, Frame, ListConversations, OpenDirect, ReadHistory, body_name
from longlink.testing.facts import Entry, Marks
from longlink.testing.server import RunningServer

DEVICE: Final = "auditor"
PAGE: Final = 200
ANSWER_S: Final = 30.0


@dataclass
class Auditor:
    """One link of one user."""

    link: Transport
    requests: int = 0

    async def ask(self, frame: Frame) -> Frame:
        """Raises AssertionError when the answer is an error."""
        self.requests += 1
        frame.id = self.requests
        async with asyncio.timeout(ANSWER_S):
            await self.link.send(codec.encode(frame))
            while (answer := codec.decode(await self.link.receive())).id != frame.id:
                pass
        if body_name(answer) == "error":
            raise AssertionError(f"{body_name(frame)} was answered with {answer.error.name}: {answer.error.message}")
        return answer

    async def entries(self, conversation: str) -> list[Entry]:
        """The whole log of a conversation."""
        found: list[Entry] = []
        more = True
        while more:
            request = ReadHistory(conversation=conversation, after=found[-1].seq if found else 0, limit=PAGE)
            page = (await self.ask(Frame(read_history=request))).history
            found += [Entry(each.seq, each.sender, each.client_id, each.content.text) for each in page.messages]
            more = page.more and bool(page.messages)
        return found

    async def marks(self) -> dict[tuple[str, str], Marks]:
        """What the server says of everybody's marks in all conversations of this user."""
        found: dict[tuple[str, str], Marks] = {}
        cursor, more = "", True
        while more:
            request = ListConversations(limit=PAGE, cursor=cursor)
            page = (await self.ask(Frame(list_conversations=request))).conversations
            for listed in page.conversations:
                found |= {(listed.id, member.user): Marks(member.delivered, member.read) for member in listed.members}
            cursor = page.next
            more = bool(cursor)
        return found


@asynccontextmanager
async def auditing(server: RunningServer, user: str) -> AsyncIterator[Auditor]:
    """A link of this user, straight to the server."""
    link = await open_transport(f"tcp://127.0.0.1:{server.port}", Encoding.BINARY, None)
    try:
        auditor = Auditor(link)
        connect = Connect(version=VERSION, token=server.token(user), device=DEVICE, agent="auditor/1")
        await auditor.ask(Frame(connect=connect))
        yield auditor
    finally:
        await link.close(1000)


async def open_all(server: RunningServer, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The direct conversation of each pair of users, who exist from now on."""
    wanted = list(pairs)
    opened: dict[tuple[str, str], str] = {}
    for user in {user for pair in wanted for user in pair}:
        async with auditing(server, user):
            pass
    for user in {pair[0] for pair in wanted}:
        async with auditing(server, user) as auditor:
            for pair in (pair for pair in wanted if pair[0] == user):
                answer = await auditor.ask(Frame(open_direct=OpenDirect(user=pair[1])))
                opened[pair] = answer.conversation.id
    return opened


async def read_all(
    server: RunningServer, opened: dict[tuple[str, str], str]
) -> tuple[dict[str, list[Entry]], dict[tuple[str, str], Marks]]:
    """The log of every conversation and all marks, as the server tells them now."""
    log: dict[str, list[Entry]] = {}
    marks: dict[tuple[str, str], Marks] = {}
    for user in {pair[0] for pair in opened}:
        async with auditing(server, user) as auditor:
            marks |= await auditor.marks()
            for conversation in [name for pair, name in opened.items() if pair[0] == user]:
                log[conversation] = await auditor.entries(conversation)
    return log, marks
