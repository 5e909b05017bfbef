"""Delivery: one frame to every session of some users, encoded once per encoding, handed to each gateway once.

Never waits for a receiver and never retries: whoever misses a frame sees the gap in the sequence, or hears of it when
he comes back, because the registry counts. Read next: registry.py, bus/.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

from longlink.ops.metrics import Counts
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Frame
from longlink.routing.bus.base import Bus, Parcel
from longlink.routing.sessions import Session, Sessions

PORTION: Final = 32
"""Frames of a large batch that are handed over in one go: about two milliseconds, if each has 32 receivers."""
EVENT = 1
"""The core's delivery class for events that the log can repeat (core/BOUNDARY.md)."""


class Outgoing(NamedTuple):
    """A frame (id 0) for all sessions of users, but not over the link of the one that caused it."""

    frame: Frame
    users: tuple[str, ...]
    besides: Session | None


class Delivery:
    """One per process that has the registry."""

    def __init__(self, sessions: Sessions, bus: Bus, counts: Counts) -> None:
        self._sessions = sessions
        self._bus = bus
        self._counts = counts
        self._portions = asyncio.Lock()

    async def deliver(self, batch: Sequence[Outgoing]) -> list[int]:
        """Hand over in order. Returns when the bus has the parcels, which says nothing of arrival.

        Returns for each frame the number of connections that it was handed over for.
        """
        by_gateway: dict[int, list[Parcel]] = {}
        reached: list[int] = []
        for outgoing in batch:
            besides = outgoing.besides.link if outgoing.besides is not None else 0
            targets = await self._sessions.reach(outgoing.users, besides)
            reached.append(len(targets))
            _pack(outgoing.frame, targets, by_gateway)
        for gateway, parcels in by_gateway.items():
            self._counts.deliveries += sum(len(parcel.connections) for parcel in parcels)
            self._bus.publish(gateway, parcels)
        return reached

    async def deliver_in_portions(self, batch: Sequence[Outgoing]) -> list[int]:
        """As deliver, but others get a turn between two portions of a large batch.

        For events of which only the newest counts: a smaller batch may overtake a large one.
        """
        if len(batch) <= PORTION:
            return await self.deliver(batch)
        reached: list[int] = []
        async with self._portions:
            for begin in range(0, len(batch), PORTION):
                reached += await self.deliver(batch[begin : begin + PORTION])
                await asyncio.sleep(0)
        return reached


def _pack(frame: Frame, targets: Sequence[Session], by_gateway: dict[int, list[Parcel]]) -> None:
    groups: dict[tuple[int, Encoding], list[int]] = {}
    for session in targets:
        groups.setdefault((session.gateway, session.encoding), []).append(session.connection)
    payloads: dict[Encoding, bytes] = {}
    for (gateway, encoding), connections in groups.items():
        if encoding not in payloads:
            payloads[encoding] = encoding.encode(frame)
        parcel = Parcel(tuple(connections), payloads[encoding], EVENT, encoding is Encoding.TEXT)
        by_gateway.setdefault(gateway, []).append(parcel)
