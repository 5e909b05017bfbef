"""The bus of one process: straight to the gateway, in order, and quiet when it has gone."""

from __future__ import annotations

from longlink.routing.bus.base import Parcel
from longlink.routing.bus.local import LocalBus


def _parcel(number: int) -> Parcel:
    return Parcel((number,), b"frame", 1, text=False)


def test_parcels_reach_the_gateway_they_are_for_in_order() -> None:
    bus = LocalBus()
    east: list[Parcel] = []
    west: list[Parcel] = []
    bus.attach("east", east.extend)
    bus.attach("west", west.extend)
    bus.publish("east", [_parcel(1), _parcel(2)])
    bus.publish("west", [_parcel(3)])
    bus.publish("east", [_parcel(4)])
    assert (east, west) == ([_parcel(1), _parcel(2), _parcel(4)], [_parcel(3)])


def test_a_gateway_that_has_gone_gets_nothing_and_nobody_is_troubled() -> None:
    bus = LocalBus()
    heard: list[Parcel] = []
    bus.publish("never there", [_parcel(1)])
    bus.attach("east", heard.extend)
    bus.detach("east")
    bus.detach("east")
    bus.publish("east", [_parcel(2)])
    assert heard == []
