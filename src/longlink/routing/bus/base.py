"""The bus between logic and gateways: parcels of encoded bytes for lists of connections.

Delivery is a hint: the log is the truth, so a bus may lose a parcel and may never block its publisher. What it must
keep is the order of the parcels of one publisher to one gateway. Read next: local.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol


class Parcel(NamedTuple):
    """One encoded frame for some connections of one gateway.

    delivery: one of the core's delivery classes (core/BOUNDARY.md). text: whether payload is the JSON twin.
    """

    connections: tuple[int, ...]
    payload: bytes
    delivery: int
    text: bool


class Bus(Protocol):
    """publish never raises for an absent gateway: its connections are gone, and their clients will sync."""

    def publish(self, gateway: str, parcels: Sequence[Parcel]) -> None:
        """Hand over, in order, without waiting."""

    def attach(self, gateway: str, receive: Callable[[Sequence[Parcel]], None]) -> None:
        """Parcels for this gateway go to receive from now on."""

    def detach(self, gateway: str) -> None:
        """No more parcels for this gateway. Unknown is fine."""
