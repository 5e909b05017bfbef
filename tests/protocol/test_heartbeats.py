"""The silence that client and server agree on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from longlink.protocol.heartbeats import Heartbeats

DEFAULT = Heartbeats.within(240_000, 30_000, 300_000, 675_000)
MS = st.integers(1, 10**7)


def test_a_client_gets_what_it_asks_for_within_bounds() -> None:
    asked = (0, 1, 29_999, 30_000, 100_000, 300_000, 300_001, 2**32 - 1)
    agreed = [DEFAULT.agreed(each) for each in asked]
    assert agreed == [240_000, 30_000, 30_000, 30_000, 100_000, 300_000, 300_000, 300_000]


def test_one_lost_heartbeat_ends_no_link() -> None:
    assert DEFAULT.patience(30_000) == 67_500
    assert DEFAULT.patience(300_000) == 675_000


def test_without_a_limit_of_silence_there_is_none() -> None:
    assert Heartbeats.within(240_000, 30_000, 300_000, 0).patience(30_000) == 0


@given(MS, MS, MS, MS, st.integers(0, 2**32 - 1))
def test_whatever_is_set_and_asked_the_client_has_more_than_two_heartbeats(
    usual_ms: int, least_ms: int, most_ms: int, more_ms: int, asked_ms: int
) -> None:
    heartbeats = Heartbeats.within(usual_ms, least_ms, most_ms, 2 * usual_ms + more_ms)
    agreed = heartbeats.agreed(asked_ms)
    assert 2 * agreed < heartbeats.patience(agreed) + 1
    assert heartbeats.agreed(0) == usual_ms
