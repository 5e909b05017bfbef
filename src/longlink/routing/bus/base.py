"""The bus between logic and gateways: encoded frames for some connections or for all, and endings of sessions.

Delivery is a hint: the log is the truth, so a bus may lose a parcel and may never block its publisher. What it must
keep is the order of what one publisher sends to one gateway. Read next: local.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from longlink.routing.sessions import Arrival, Session


class Parcel(NamedTuple):
    """One encoded frame for some connections of one gateway.

    delivery: one of the core's delivery classes (core/BOUNDARY.md). text: whether payload is the JSON twin.
    """

    connections: tuple[int, ...]
    payload: bytes
    delivery: int
    text: bool


class Ending(NamedTuple):
    """A link that must go. code: of the table of errors; message: why, for the client."""

    link: int
    connection: int
    code: int
    message: str


class Receiver(Protocol):
    """A gateway, as a bus sees it."""

    def receive(self, parcels: Sequence[Parcel]) -> None:
        """Write these, in order. Connections that have gone are normal."""

    def end(self, endings: Sequence[Ending]) -> None:
        """Tell these links why, and close them. Those that have gone are normal."""

    def broadcast(self, binary: bytes, text: bytes) -> None:
        """Write this to every session, each in its encoding; who reads too slowly does not get it."""

    def sessions(self, most: int) -> Iterator[list[tuple[Session, Arrival]]]:
        """All sessions that are there, at most so many at a time; each part as it is when it is asked for."""

    def missed(self) -> None:
        """Parcels for any of the sessions may have been lost: tell them, spread over time."""


class Bus(Protocol):
    """Nothing raises for an absent gateway: its connections are gone, and their clients will sync."""

    def publish(self, gateway: int, parcels: Sequence[Parcel]) -> None:
        """Hand over, in order, without waiting."""

    def end(self, gateway: int, endings: Sequence[Ending]) -> None:
        """Hand over, in order with the parcels, without waiting."""

    def broadcast(self, binary: bytes, text: bytes) -> int:
        """Hand one frame, in both encodings, to all gateways that are there and keep up; returns how many they are."""
