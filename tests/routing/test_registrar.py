"""The registrar: sessions that give way are ended by the gateway that holds them, with the reason."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from longlink import errors
from longlink.protocol.codec import Encoding
from longlink.routing.bus.base import Ending, Parcel
from longlink.routing.bus.local import LocalBus
from longlink.routing.ids import COUNTER_BITS
from longlink.routing.registrar import Registrar
from longlink.routing.registry import FORGOTTEN, MemorySessions
from longlink.routing.sessions import Session

EAST, WEST = 1, 2


class Gateway:
    """Writes down whom it is to end."""

    def __init__(self) -> None:
        self.ended: list[Ending] = []

    def receive(self, parcels: Sequence[Parcel]) -> None:
        raise AssertionError("nothing is published here")

    def end(self, endings: Sequence[Ending]) -> None:
        self.ended += endings

    def broadcast(self, binary: bytes, text: bytes) -> None:
        raise AssertionError("nothing is broadcast here")

    def sessions(self, most: int) -> Iterator[list[Session]]:
        raise AssertionError("nobody asks here")

    def missed(self) -> None:
        raise AssertionError("nothing is lost here")


def session(device: str, gateway: int, connection: int) -> Session:
    id_ = gateway << COUNTER_BITS | connection
    return Session("alice", device, "", id_, id_, connection, Encoding.BINARY)


def test_the_same_device_on_another_gateway_ends_the_session_of_the_first() -> None:
    async def story() -> None:
        bus, east, west = LocalBus(), Gateway(), Gateway()
        bus.attach(EAST, east)
        bus.attach(WEST, west)
        sessions = MemorySessions(8)
        registrar = Registrar(sessions, bus)
        first, second = session("phone", EAST, 7), session("phone", WEST, 7)
        await registrar.add(first)
        await registrar.add(second)
        await registrar.remove(first)
        assert east.ended == [Ending(first.id, 7, errors.REPLACED.code, "device 'phone' connected again")]
        assert west.ended == []
        assert await sessions.of(["alice"]) == [second]

    asyncio.run(story())


def test_one_device_too_many_ends_the_oldest_wherever_it_is() -> None:
    async def story() -> None:
        bus, east = LocalBus(), Gateway()
        bus.attach(EAST, east)
        registrar = Registrar(MemorySessions(1), bus)
        await registrar.add(session("phone", EAST, 1))
        await registrar.add(session("tablet", WEST, 2))
        ((_, connection, code, message),) = east.ended
        assert (connection, code) == (1, errors.REPLACED.code)
        assert message == "device 'tablet' connected, and 'phone' was the oldest of as many as a user may have"

    asyncio.run(story())


def test_a_restored_session_gives_way_to_a_newer_one_of_its_device_that_is_there_already() -> None:
    async def story() -> None:
        bus, west = LocalBus(), Gateway()
        bus.attach(WEST, west)
        sessions = MemorySessions(8)
        registrar = Registrar(sessions, bus)
        newer, older = session("phone", EAST, 9), session("phone", WEST, 4)
        await registrar.restore(newer)
        await registrar.restore(older)
        why = "device 'phone' connected again, or as many newer ones as a user may have"
        assert west.ended == [Ending(older.id, 4, errors.REPLACED.code, why)]
        assert await sessions.of(["alice"]) == [newer]

    asyncio.run(story())


def test_a_gateway_is_forgotten_with_all_its_sessions_and_no_others() -> None:
    async def story() -> None:
        sessions = MemorySessions(8)
        registrar = Registrar(sessions, LocalBus())
        for number in range(FORGOTTEN + 10):
            for gateway in (EAST, WEST):
                id_ = gateway << COUNTER_BITS | number
                await registrar.add(Session(f"user-{number}", f"at-{gateway}", "", id_, id_, number, Encoding.BINARY))
        assert sessions.count == 2 * (FORGOTTEN + 10)
        await registrar.forget(EAST)
        found = await sessions.of([f"user-{number}" for number in range(FORGOTTEN + 10)])
        assert {one.gateway for one in found} == {WEST}
        assert len(found) == sessions.count == FORGOTTEN + 10

    asyncio.run(story())
