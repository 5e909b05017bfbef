"""Buckets that refill with the time. ../logic/test_quota.py and ../access/http/test_places.py use them."""

from __future__ import annotations

import pytest

from longlink.routing.rates import Rate


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_rate_tells_how_long_to_wait_and_refills_to_its_burst() -> None:
    clock = Clock()
    rate = Rate(4, 2, clock)
    assert [rate.take("a") for _ in range(3)] == [0.0, 0.0, pytest.approx(0.25)]
    clock.now_s += 1_000
    assert [rate.take("a") for _ in range(3)] == [0.0, 0.0, pytest.approx(0.25)]


def test_a_rate_remembers_a_bounded_number_of_buckets_and_forgets_those_who_lose_nothing() -> None:
    clock = Clock()
    rate = Rate(1, 1, clock, most=3)
    for number in range(10):
        rate.take(str(number))
    assert len(rate) == 3
    clock.now_s += 10
    rate.take("new")
    assert len(rate) == 1


def test_what_is_given_back_can_be_taken_again_and_is_forgotten_with_the_rest() -> None:
    clock = Clock()
    rate = Rate(1, 2, clock)
    assert [rate.take("a") for _ in range(2)] == [0.0, 0.0]
    rate.give_back("a")
    assert [rate.take("a") for _ in range(2)] == [0.0, pytest.approx(1.0)]
    rate.give_back("a")
    rate.give_back("a")
    assert len(rate) == 0, "a full bucket is not kept"
    rate.give_back("a")
    assert [rate.take("a") for _ in range(3)] == [0.0, 0.0, pytest.approx(1.0)], "no more than the burst"


def test_rounding_takes_nothing_from_anybody_after_months_of_uptime() -> None:
    clock = Clock()
    clock.now_s = 1e8 / 3
    rate = Rate(200, 200, clock)
    for _ in range(20):
        assert sum(not rate.take("a") for _ in range(250)) == 200
        clock.now_s += 1.0
