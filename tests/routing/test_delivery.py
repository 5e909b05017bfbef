"""Delivery: encoded once per encoding, handed to each gateway once, never to the session that caused it.

Read next: bus/test_local.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from longlink import _core, config
from longlink.ops.metrics import Counts
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Frame, Message
from longlink.routing.bus.base import Ending, Parcel
from longlink.routing.delivery import EVENT, PORTION, Delivery, Outgoing
from longlink.routing.ids import COUNTER_BITS
from longlink.routing.registry import MemorySessions
from longlink.routing.sessions import Session

EAST, WEST = 1, 2


class Notebook:
    """A bus that writes down what it is given, by gateway."""

    def __init__(self) -> None:
        self.published: list[tuple[int, list[Parcel]]] = []

    def publish(self, gateway: int, parcels: Sequence[Parcel]) -> None:
        self.published.append((gateway, list(parcels)))

    def end(self, gateway: int, endings: Sequence[Ending]) -> None:
        raise AssertionError("delivery ends no session")

    def broadcast(self, binary: bytes, text: bytes) -> int:
        raise AssertionError("nothing is broadcast here")


def _deliver(sessions: Sequence[Session], batch: Sequence[Outgoing]) -> tuple[Notebook, Counts]:
    bus, counts = Notebook(), Counts()

    async def story() -> None:
        registry = MemorySessions(config.Sessions(), counts, lambda: 0.0)
        for session in sessions:
            registry.add(session)
        await Delivery(registry, bus, counts).deliver(batch)

    asyncio.run(story())
    return bus, counts


def session(user: str, device: str, gateway: int, connection: int, encoding: Encoding = Encoding.BINARY) -> Session:
    id_ = gateway << COUNTER_BITS | connection
    return Session(user, device, "", id_, id_, connection, encoding)


def _frame(seq: int) -> Frame:
    return Frame(message=Message(conversation="d_1", seq=seq))


def test_the_class_of_events_is_the_cores() -> None:
    assert EVENT == _core.EVENT


def test_each_gateway_gets_one_parcel_for_each_encoding_with_all_its_connections() -> None:
    sessions = [
        session("alice", "a", EAST, 1),
        session("alice", "b", EAST, 2, Encoding.TEXT),
        session("alice", "c", WEST, 3),
        session("bob", "a", EAST, 4),
        session("carol", "a", EAST, 5),
    ]
    bus, counts = _deliver(sessions, [Outgoing(_frame(1), ("alice", "bob"), None)])
    binary, text = Encoding.BINARY.encode(_frame(1)), Encoding.TEXT.encode(_frame(1))
    assert dict(bus.published) == {
        EAST: [Parcel((1, 4), binary, EVENT, text=False), Parcel((2,), text, EVENT, text=True)],
        WEST: [Parcel((3,), binary, EVENT, text=False)],
    }
    assert len(bus.published) == 2
    assert counts.deliveries == 4


def test_the_session_that_caused_a_frame_does_not_get_it() -> None:
    sender, other = session("a", "x", EAST, 1), session("a", "y", EAST, 2)
    bus, _ = _deliver([sender, other], [Outgoing(_frame(1), ("a",), sender)])
    assert [parcel.connections for _, parcels in bus.published for parcel in parcels] == [(2,)]


def test_a_frame_for_nobody_is_handed_to_nobody() -> None:
    sender = session("a", "x", EAST, 1)
    bus, counts = _deliver([sender], [Outgoing(_frame(1), ("a", "nobody"), sender), Outgoing(_frame(2), (), None)])
    assert (bus.published, counts.deliveries) == ([], 0)


def test_a_batch_keeps_its_order_and_is_handed_over_at_once() -> None:
    receiver = session("a", "x", EAST, 1)
    bus, _ = _deliver([receiver], [Outgoing(_frame(seq), ("a",), None) for seq in range(1, 20)])
    ((_, parcels),) = bus.published
    assert [Encoding.BINARY.decode(parcel.payload).message.seq for parcel in parcels] == list(range(1, 20))


def test_a_user_who_causes_many_frames_leaves_turns_to_others_and_keeps_their_order() -> None:
    async def story() -> None:
        bus, counts = Notebook(), Counts()
        registry = MemorySessions(config.Sessions(), counts, lambda: 0.0)
        registry.add(session("bob", "phone", EAST, 1))
        delivery = Delivery(registry, bus, counts)

        def batch(first: int, number: int) -> list[Outgoing]:
            return [Outgoing(_frame(seq), ("bob",), None) for seq in range(first, first + number)]

        many, few = batch(1, 5 * PORTION), batch(1_000, 2)
        large = asyncio.ensure_future(delivery.deliver_by_user(many, ["alice"] * len(many)))
        await asyncio.sleep(0)
        later = asyncio.ensure_future(delivery.deliver_by_user(few, ["alice", "carol"]))
        reached = await asyncio.gather(large, later)
        assert [len(each) for each in reached] == [len(many), 2]
        assert all(count == 1 for each in reached for count in each)
        order = [Frame.FromString(parcel.payload).message.seq for _, parcels in bus.published for parcel in parcels]
        assert order.index(1_001) < 3 * PORTION, "carol does not wait for all of alice's"
        order.remove(1_001)
        assert order == [*range(1, len(many) + 1), 1_000], "alice's keep their order, across batches too"
        assert delivery._portions == {}

    asyncio.run(story())
