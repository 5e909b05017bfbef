"""The bus of one process: straight to the gateway, in order, and quiet when it has gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from longlink.routing.bus.base import Ending, Parcel
from longlink.routing.bus.local import LocalBus
from longlink.routing.sessions import Arrival, Session

EAST, WEST = 1, 2


class Notebook:
    """A gateway that writes down what it is told."""

    def __init__(self) -> None:
        self.heard: list[Parcel | Ending] = []

    def receive(self, parcels: Sequence[Parcel]) -> None:
        self.heard += parcels

    def end(self, endings: Sequence[Ending]) -> None:
        self.heard += endings

    def broadcast(self, binary: bytes, text: bytes) -> None:
        raise AssertionError("nothing is broadcast here")

    def sessions(self, most: int) -> Iterator[list[tuple[Session, Arrival]]]:
        raise AssertionError("nobody asks here")

    def missed(self) -> None:
        raise AssertionError("nothing is lost here")


def _parcel(number: int) -> Parcel:
    return Parcel((number,), b"frame", 1, text=False)


def test_parcels_and_endings_reach_the_gateway_they_are_for_in_order() -> None:
    bus = LocalBus()
    east, west = Notebook(), Notebook()
    bus.attach(EAST, east)
    bus.attach(WEST, west)
    bus.publish(EAST, [_parcel(1), _parcel(2)])
    bus.publish(WEST, [_parcel(3)])
    ending = Ending(9, 1, 4520, "why")
    bus.end(EAST, [ending])
    bus.publish(EAST, [_parcel(4)])
    assert (east.heard, west.heard) == ([_parcel(1), _parcel(2), ending, _parcel(4)], [_parcel(3)])


def test_a_gateway_that_has_gone_gets_nothing_and_nobody_is_troubled() -> None:
    bus = LocalBus()
    gateway = Notebook()
    bus.publish(WEST, [_parcel(1)])
    bus.attach(EAST, gateway)
    bus.detach(EAST)
    bus.detach(EAST)
    bus.publish(EAST, [_parcel(2)])
    bus.end(EAST, [Ending(9, 1, 4520, "why")])
    assert gateway.heard == []
