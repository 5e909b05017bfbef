"""The commands on a real store in a folder of the test, with a bus that only writes down what it is given.

Read next: test_send.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from longlink import config
from longlink.config import Storage
from longlink.logic import commands
from longlink.logic.quota import Quota
from longlink.logic.services import RECEIPTS, Services
from longlink.logic.slots import Slots
from longlink.ops.metrics import Counts
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Connect, Content, Frame, OpenDirect, Send
from longlink.protocol.heartbeats import Heartbeats
from longlink.routing.bus.base import Ending, Parcel
from longlink.routing.calls import Call
from longlink.routing.delivery import Delivery
from longlink.routing.ids import SessionIds
from longlink.routing.registrar import Registrar
from longlink.routing.registry import MemorySessions
from longlink.routing.sessions import Session
from longlink.routing.work import Accounts
from longlink.storage.sqlite import SqliteStore, open_store

NOON_MS = 1_790_000_000_000
PAGE_BYTES = 4_096
GATEWAY = 5


class Notebook:
    """A bus that writes down every parcel, and every ending."""

    def __init__(self) -> None:
        self.parcels: list[Parcel] = []
        self.endings: list[Ending] = []

    def publish(self, gateway: int, parcels: Sequence[Parcel]) -> None:
        assert gateway == GATEWAY
        self.parcels += parcels

    def end(self, gateway: int, endings: Sequence[Ending]) -> None:
        assert gateway == GATEWAY
        self.endings += endings

    def broadcast(self, binary: bytes, text: bytes) -> int:
        raise AssertionError("nothing is broadcast here")


class Stage:
    """One store, one clock that stands still, and users who come and ask."""

    def __init__(
        self,
        store: SqliteStore,
        *,
        accept_unknown: bool = True,
        new_conversations: int = 0,
        accounts: Accounts | None = None,
    ) -> None:
        self.counts = Counts()
        self.bus = Notebook()
        self.sessions = MemorySessions(config.Sessions(), self.counts, lambda: 0.0)
        self.registrar = Registrar(self.sessions, self.bus, self.counts)
        self.store = store
        self.services = Services(
            store=store,
            sessions=self.registrar,
            delivery=Delivery(self.sessions, self.bus, self.counts),
            counts=self.counts,
            now_ms=lambda: NOON_MS,
            server="longlink/test",
            heartbeats=Heartbeats(1_000, 500, 3_000, 0),
            detached_ms=60_000,
            max_frame_bytes=2_000,
            page_bytes=PAGE_BYTES,
            receipts=RECEIPTS["read"],
            accounts=Accounts(0, 1, lambda: 0.0) if accounts is None else accounts,
            slots=Slots(),
            accept_unknown=accept_unknown,
            new_conversations=Quota(new_conversations, (), lambda: 0.0),
        )
        self._handle = commands.handler(self.services)
        self._connections = 0
        self._ids = SessionIds(0, GATEWAY, lambda: NOON_MS / 1000)

    async def enter(self, user: str, device: str = "phone", encoding: Encoding = Encoding.BINARY) -> Session:
        """A connected session."""
        self._connections += 1
        id_ = self._ids.next()
        session = Session(user, device, "", id_, id_, self._connections, encoding)
        await self.ask(session, Frame(connect=Connect(version=1, device=device)))
        self.sessions.add(session)
        return session

    async def ask(self, session: Session, *frames: Frame) -> list[Frame]:
        """The answers to requests with the same body, which come as one batch under the ids 1, 2, 3, ..."""
        for number, frame in enumerate(frames, 1):
            frame.id = number
        answers = await self.ask_together(*[Call(session, frame) for frame in frames])
        assert [answer.id for answer in answers] == [frame.id for frame in frames]
        return answers

    async def ask_together(self, *calls: Call) -> list[Frame]:
        """The answers to one batch of calls of several sessions."""
        replies = await self._handle(calls)
        answers = [Encoding.BINARY.decode(reply.payload) for reply in replies]
        assert [reply.code for reply in replies] == [answer.error.code for answer in answers]
        return answers

    async def direct(self, session: Session, peer: str) -> str:
        (answer,) = await self.ask(session, Frame(open_direct=OpenDirect(user=peer)))
        assert answer.conversation.id, answer
        return answer.conversation.id

    def heard(self) -> list[tuple[int, Frame]]:
        """What was handed to the bus since the last call: connection and frame, in order."""
        parcels, self.bus.parcels = self.bus.parcels, []
        return [
            (connection, (Encoding.TEXT if parcel.text else Encoding.BINARY).decode(parcel.payload))
            for parcel in parcels
            for connection in parcel.connections
        ]

    def ended(self) -> list[tuple[int, int]]:
        """Who was ended since the last call: connection and code."""
        endings, self.bus.endings = self.bus.endings, []
        return [(ending.connection, ending.code) for ending in endings]


def play(
    folder: Path,
    story: Callable[[Stage], Awaitable[None]],
    *,
    accept_unknown: bool = True,
    new_conversations: int = 0,
    accounts: Accounts | None = None,
) -> None:
    """Open a store, run the story, close the store."""

    async def whole() -> None:
        store = await open_store(folder / "data", Storage(), now_ms=lambda: NOON_MS)
        try:
            await story(
                Stage(store, accept_unknown=accept_unknown, new_conversations=new_conversations, accounts=accounts)
            )
        finally:
            await store.close()

    asyncio.run(asyncio.wait_for(whole(), 30))


def text(conversation: str, client_id: str, said: str = "") -> Frame:
    return Frame(send=Send(conversation=conversation, client_id=client_id, content=Content(text=said or client_id)))
