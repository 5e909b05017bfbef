"""The registry in memory: one session a device, the newest wins. Read next: test_delivery.py."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from longlink.protocol.codec import Encoding
from longlink.routing.sessions import MemorySessions, Session


def session(user: str, device: str, connection: int) -> Session:
    return Session(user, device, "", connection + 1, connection + 1, connection, Encoding.BINARY)


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


def test_the_newest_session_of_a_device_replaces_the_one_before() -> None:
    async def story() -> None:
        sessions = MemorySessions(8)
        first, second, other = session("alice", "phone", 1), session("alice", "phone", 2), session("alice", "tab", 3)
        assert sessions.add(first) == []
        assert sessions.add(other) == []
        assert sessions.add(second) == [first]
        assert {found.connection for found in await sessions.of(["alice"])} == {2, 3}

    run(story())


def test_removing_a_replaced_session_leaves_the_one_that_replaced_it() -> None:
    async def story() -> None:
        sessions = MemorySessions(8)
        first, second = session("alice", "phone", 1), session("alice", "phone", 2)
        sessions.add(first)
        sessions.add(second)
        sessions.remove(first)
        assert await sessions.of(["alice"]) == [second]
        sessions.remove(second)
        sessions.remove(second)
        assert await sessions.of(["alice"]) == []

    run(story())


def test_the_same_session_again_changes_nothing_and_gives_way_to_nobody() -> None:
    async def story() -> None:
        sessions = MemorySessions(2)
        first, second = session("alice", "phone", 1), session("alice", "tab", 2)
        for one in (first, second, first, second):
            assert sessions.add(one) == []
        assert await sessions.of(["alice"]) == [first, second]

    run(story())


def test_users_who_are_not_there_have_no_sessions_and_others_are_found_together() -> None:
    async def story() -> None:
        sessions = MemorySessions(8)
        for number, user in enumerate(("alice", "bob", "carol")):
            sessions.add(session(user, "phone", number))
        found = await sessions.of(["alice", "nobody", "carol"])
        assert {one.user for one in found} == {"alice", "carol"}

    run(story())


def test_a_user_with_too_many_devices_loses_the_oldest_and_no_other_user_does() -> None:
    async def story() -> None:
        sessions = MemorySessions(2)
        bob = session("bob", "phone", 9)
        sessions.add(bob)
        first, second, third = (session("alice", f"device-{n}", n) for n in (1, 2, 3))
        assert [sessions.add(one) for one in (first, second, third)] == [[], [], [first]]
        assert await sessions.of(["alice", "bob"]) == [second, third, bob]
        again = session("alice", "device-2", 4)
        assert sessions.add(again) == [second]
        assert await sessions.of(["alice"]) == [third, again]

    run(story())


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(0, 9))))
def test_whatever_comes_and_goes_the_registry_holds_the_newest_of_each_device(
    steps: list[tuple[bool, str, str, int]],
) -> None:
    async def story() -> None:
        sessions = MemorySessions(8)
        model: dict[tuple[str, str], Session] = {}
        for comes, user, device, number in steps:
            one = session(user, device, number)
            if comes:
                before = model.get((user, device))
                assert sessions.add(one) == ([] if before in (None, one) else [before])
                model[user, device] = one
            else:
                sessions.remove(one)
                if model.get((user, device)) == one:
                    del model[user, device]
            for name in "ab":
                expected = {held.id for (owner, _), held in model.items() if owner == name}
                assert {held.id for held in await sessions.of([name])} == expected

    run(story())


@given(st.permutations(range(8)), st.integers(1, 4))
def test_in_whatever_order_sessions_are_restored_the_newest_ones_stay_and_the_oldest_is_the_next_to_go(
    order: list[int], most: int
) -> None:
    async def story() -> None:
        sessions = MemorySessions(most)
        there = [session("alice", f"device-{number % most}", number) for number in range(8)]
        ended = [old for number in order for old in sessions.restore(there[number])]
        newest = there[8 - most :]
        assert await sessions.of(["alice"]) == newest
        assert sorted(ended, key=lambda one: one.id) == there[: 8 - most], "each of the others is ended once"
        assert sessions.count == most
        if most > 1:
            assert sessions.add(session("alice", "another", 99)) == [newest[0]]

    run(story())


@given(st.permutations(range(6)), st.integers(1, 4))
def test_of_more_devices_than_a_user_may_have_the_newest_stay_in_whatever_order_they_are_restored(
    order: list[int], most: int
) -> None:
    async def story() -> None:
        sessions = MemorySessions(most)
        there = [session("alice", f"device-{number}", number) for number in range(6)]
        ended = [old for number in order for old in sessions.restore(there[number])]
        assert await sessions.of(["alice"]) == there[6 - most :]
        assert sorted(ended, key=lambda one: one.id) == there[: 6 - most], "each of the others is ended once"
        assert [old for one in there[6 - most :] for old in sessions.restore(one)] == []

    run(story())
