"""The waiting room: in order, bounded, and it knows who is in it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from longlink.access.arrivals import Arrivals, Event

EVENTS = st.lists(
    st.tuples(st.just(0), st.integers(1, 3), st.one_of(st.just(1006), st.binary(max_size=9))), max_size=20
)


@given(EVENTS, st.integers(1, 5))
def test_what_waits_leaves_in_order_and_its_connections_are_known_until_then(events: list[Event], most: int) -> None:
    arrivals = Arrivals()
    for event in events:
        arrivals.add(event)
    left = list(events)
    while left:
        assert [number for number in range(4) if number in arrivals] == sorted({event[1] for event in left})
        assert arrivals.take(most) == left[:most]
        del left[:most]
        assert len(arrivals) == len(left)
    assert arrivals.take(most) == []
    assert not any(number in arrivals for number in range(4))


def test_it_is_full_by_number_or_by_bytes_until_enough_has_left() -> None:
    for arrivals in (Arrivals(most=2), Arrivals(most_bytes=10)):
        for _ in range(2):
            assert not arrivals.full
            arrivals.add((0, 1, b"12345"))
        assert arrivals.full
        arrivals.take(1)
        assert not arrivals.full
