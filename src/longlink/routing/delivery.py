"""Delivery: one frame to every session of some users, encoded once per encoding, handed to each gateway once.

Never waits for a receiver and never retries: a client that misses a frame sees the gap in the sequence, or is told when
it comes back, because the registry counts. Read next: registry.py, bus/.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from longlink.ops.metrics import Counts
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Frame
from longlink.routing.bus.base import Bus, Parcel
from longlink.routing.sessions import Session, Sessions

PORTION: Final = 32
"""Frames of one user that are handed over in one go: about two milliseconds, if each has 32 receivers."""
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
        self._portions: dict[str, asyncio.Event] = {}

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

    async def deliver_by_user(self, batch: Sequence[Outgoing], users: Sequence[str]) -> list[int]:
        """As deliver, but others get a turn between two portions of a user who caused many frames.

        users: for each frame the user who caused it. Frames that one user caused keep their order, also with those of
        batches before; frames that different users caused may overtake one another.
        """
        caused = Counter(users)
        large = [user for user, frames in caused.items() if frames > PORTION or user in self._portions]
        if not large:
            return await self.deliver(batch)
        reached = [0] * len(batch)
        small = [place for place, user in enumerate(users) if user not in large]
        await self._deliver_places(batch, small, reached)
        for user in large:
            places = [place for place, each in enumerate(users) if each == user]
            await self._deliver_in_portions(batch, user, places, reached)
        return reached

    async def _deliver_in_portions(
        self, batch: Sequence[Outgoing], user: str, places: Sequence[int], reached: list[int]
    ) -> None:
        before = self._portions.get(user)
        done = self._portions[user] = asyncio.Event()
        try:
            if before is not None:
                await before.wait()
            for begin in range(0, len(places), PORTION):
                await self._deliver_places(batch, places[begin : begin + PORTION], reached)
                await asyncio.sleep(0)
        finally:
            done.set()
            if self._portions[user] is done:
                del self._portions[user]

    async def _deliver_places(self, batch: Sequence[Outgoing], places: Sequence[int], reached: list[int]) -> None:
        for place, count in zip(places, await self.deliver([batch[place] for place in places]), strict=True):
            reached[place] = count


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
