"""Who is served next when there was no time for everybody."""

from __future__ import annotations

from longlink import _core
from longlink.access.turns import CROWDED, CROWDED_BYTES, Turns


def test_users_take_turns_and_each_keeps_their_order() -> None:
    turns = Turns()
    for number in range(3):
        turns.add("alice", (_core.BINARY, 1, b"a%d" % number))
    turns.add("bob", (_core.BINARY, 2, b"b0"))
    turns.add("alice", (_core.CLOSED, 1, 1000))
    turns.add("carol", (_core.BINARY, 3, b"c0"))
    served = [turns.take()[2] for _ in range(len(turns))]
    assert served == [b"a0", b"b0", b"c0", b"a1", b"a2", 1000]
    assert len(turns) == 0


def test_somebody_new_waits_for_one_event_of_each_other_user() -> None:
    turns = Turns()
    for number in range(100):
        turns.add("alice", (_core.BINARY, 1, b"%d" % number))
    turns.take()
    turns.add("bob", (_core.BINARY, 2, b"first"))
    assert [turns.take()[1] for _ in range(2)] == [1, 2]


def test_it_is_full_by_events_or_by_bytes_and_not_any_more_when_they_are_gone() -> None:
    few, small = Turns(most=2, most_bytes=1_000), Turns(most=100, most_bytes=10)
    for turns in (few, small):
        states = [turns.full]
        for _ in range(2):
            turns.add("alice", (_core.BINARY, 1, b"12345"))
        states.append(turns.full)
        turns.take()
        assert [*states, turns.full] == [False, True, False]


def test_a_user_with_too_many_events_or_bytes_is_crowded_and_others_are_not() -> None:
    turns = Turns()
    crowded = [turns.add("alice", (_core.BINARY, 1, b"x")) for _ in range(CROWDED)]
    assert crowded == [False] * (CROWDED - 1) + [True]
    assert not turns.add("bob", (_core.BINARY, 2, b"x"))
    assert turns.add("carol", (_core.BINARY, 3, bytes(CROWDED_BYTES)))
