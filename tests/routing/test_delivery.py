"""Delivery: encoded once per encoding, handed to each gateway once, never to the session that caused it.

Read next: bus/test_local.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from longlink import _core
from longlink.ops.metrics import Counts
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Frame, Message
from longlink.routing.bus.base import Parcel
from longlink.routing.delivery import EVENT, Delivery, Outgoing
from longlink.routing.sessions import MemorySessions, Session


class Notebook:
    """A bus that writes down what it is given, by gateway."""

    def __init__(self) -> None:
        self.published: list[tuple[str, list[Parcel]]] = []

    def publish(self, gateway: str, parcels: Sequence[Parcel]) -> None:
        self.published.append((gateway, list(parcels)))

    def attach(self, gateway: str, receive: Callable[[Sequence[Parcel]], None]) -> None:
        raise AssertionError("delivery attaches no gateway")

    def detach(self, gateway: str) -> None:
        raise AssertionError("delivery detaches no gateway")


def _deliver(sessions: Sequence[Session], batch: Sequence[Outgoing]) -> tuple[Notebook, Counts]:
    bus, counts = Notebook(), Counts()

    async def story() -> None:
        registry = MemorySessions(8)
        for session in sessions:
            await registry.add(session)
        await Delivery(registry, bus, counts).deliver(batch)

    asyncio.run(story())
    return bus, counts


def _frame(seq: int) -> Frame:
    return Frame(message=Message(conversation="d_1", seq=seq))


def test_the_class_of_events_is_the_cores() -> None:
    assert EVENT == _core.EVENT


def test_each_gateway_gets_one_parcel_for_each_encoding_with_all_its_connections() -> None:
    sessions = [
        Session("alice", "a", "east", 1, Encoding.BINARY),
        Session("alice", "b", "east", 2, Encoding.TEXT),
        Session("alice", "c", "west", 3, Encoding.BINARY),
        Session("bob", "a", "east", 4, Encoding.BINARY),
        Session("carol", "a", "east", 5, Encoding.BINARY),
    ]
    bus, counts = _deliver(sessions, [Outgoing(_frame(1), ("alice", "bob"), None)])
    binary, text = Encoding.BINARY.encode(_frame(1)), Encoding.TEXT.encode(_frame(1))
    assert dict(bus.published) == {
        "east": [Parcel((1, 4), binary, EVENT, text=False), Parcel((2,), text, EVENT, text=True)],
        "west": [Parcel((3,), binary, EVENT, text=False)],
    }
    assert len(bus.published) == 2
    assert counts.deliveries == 4


def test_the_session_that_caused_a_frame_does_not_get_it() -> None:
    sender, other = Session("a", "x", "g", 1, Encoding.BINARY), Session("a", "y", "g", 2, Encoding.BINARY)
    bus, _ = _deliver([sender, other], [Outgoing(_frame(1), ("a",), sender)])
    assert [parcel.connections for _, parcels in bus.published for parcel in parcels] == [(2,)]


def test_a_frame_for_nobody_is_handed_to_nobody() -> None:
    sender = Session("a", "x", "g", 1, Encoding.BINARY)
    bus, counts = _deliver([sender], [Outgoing(_frame(1), ("a", "nobody"), sender), Outgoing(_frame(2), (), None)])
    assert (bus.published, counts.deliveries) == ([], 0)


def test_a_batch_keeps_its_order_and_is_handed_over_at_once() -> None:
    receiver = Session("a", "x", "g", 1, Encoding.BINARY)
    bus, _ = _deliver([receiver], [Outgoing(_frame(seq), ("a",), None) for seq in range(1, 20)])
    ((_, parcels),) = bus.published
    assert [Encoding.BINARY.decode(parcel.payload).message.seq for parcel in parcels] == list(range(1, 20))
