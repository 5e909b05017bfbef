"""Who reads pages when many want to."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from longlink.logic.slots import Slots


class Readers:
    """Users who take slots; `served` lists them in the order in which they got one."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self.served: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def come(self, *users: str) -> None:
        self.tasks += [asyncio.ensure_future(self._take(user)) for user in users]
        await asyncio.sleep(0)

    async def leave(self, user: str) -> None:
        self._slots.give_back(user)
        for _ in range(3):
            await asyncio.sleep(0)

    async def _take(self, user: str) -> None:
        await self._slots.take(user)
        self.served.append(user)


def test_one_user_has_a_few_slots_and_leaves_the_others_to_others() -> None:
    async def scene() -> None:
        readers = Readers(Slots(total=4, per_user=2))
        await readers.come("alice", "alice", "alice", "alice", "bob")
        assert readers.served == ["alice", "alice", "bob"]
        await readers.leave("bob")
        assert readers.served == ["alice", "alice", "bob"], "a free slot is not for a user who has their share"
        await readers.leave("alice")
        assert readers.served[3:] == ["alice"]

    asyncio.run(scene())


def test_users_who_wait_take_turns() -> None:
    async def scene() -> None:
        readers = Readers(Slots(total=1, per_user=1))
        await readers.come("alice", "alice", "alice", "alice", "bob", "carol", "bob")
        for user in ("alice", "alice", "bob", "carol", "alice", "bob"):
            await readers.leave(user)
        assert readers.served == ["alice", "alice", "bob", "carol", "alice", "bob", "alice"]

    asyncio.run(scene())


def test_a_call_that_is_cancelled_leaves_no_slot_behind() -> None:
    async def scene() -> None:
        slots = Slots(total=1, per_user=1)
        readers = Readers(slots)
        await readers.come("alice", "bob", "carol")
        readers.tasks[1].cancel()
        slots.give_back("alice")
        readers.tasks[2].cancel()
        with suppress(asyncio.CancelledError):
            await readers.tasks[2]
        await asyncio.wait_for(slots.take("dave"), 5)

    asyncio.run(scene())
