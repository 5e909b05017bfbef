"""The bus between logic and gateways: parcels of encoded bytes for lists of connections, and endings of sessions.

Delivery is a hint: the log is the truth, so a bus may lose a parcel and may never block its publisher. What it must
keep is the order of what one publisher sends to one gateway. Read next: local.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Parcel(NamedTuple):
    """One encoded frame for some connections of one gateway.

    delivery: one of the core's delivery classes (core/BOUNDARY.md). text: whether payload is the JSON twin.
    """

    connections: tuple[int, ...]
    payload: bytes
    delivery: int
    text: bool


class Ending(NamedTuple):
    """A session that must go. code: of the table of errors; message: why, for the client."""

    session: int
    connection: int
    code: int
    message: str


class Receiver(Protocol):
    """A gateway, as a bus sees it."""

    def receive(self, parcels: Sequence[Parcel]) -> None:
        """Write these, in order. Connections that have gone are normal."""

    def end(self, endings: Sequence[Ending]) -> None:
        """Tell these sessions why, and close them. Those that have gone are normal."""


class Bus(Protocol):
    """Nothing raises for an absent gateway: its connections are gone, and their clients will sync."""

    def publish(self, gateway: int, parcels: Sequence[Parcel]) -> None:
        """Hand over, in order, without waiting."""

    def end(self, gateway: int, endings: Sequence[Ending]) -> None:
        """Hand over, in order with the parcels, without waiting."""

    def attach(self, gateway: int, receiver: Receiver) -> None:
        """What is for this gateway goes to receiver from now on."""

    def detach(self, gateway: int) -> None:
        """Nothing more for this gateway. Unknown is fine."""
