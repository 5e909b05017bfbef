"""How fast one user may call, by a clock that the test owns."""

from __future__ import annotations

from longlink.access.http.rates import Rates


class Clock:
    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


def test_a_burst_passes_then_the_rate_holds() -> None:
    clock = Clock()
    rates = Rates(2, 3, clock)
    assert [rates.take("alice") for _ in range(5)] == [0.0, 0.0, 0.0, 0.5, 0.5]
    clock.s = 0.5
    assert [rates.take("alice") for _ in range(2)] == [0.0, 0.5]


def test_a_long_rest_saves_no_more_than_the_burst() -> None:
    clock = Clock()
    rates = Rates(1, 2, clock)
    assert [rates.take("alice") for _ in range(2)] == [0.0, 0.0]
    clock.s = 1_000
    assert [rates.take("alice") for _ in range(3)] == [0.0, 0.0, 1.0]


def test_what_is_charged_beyond_the_bucket_is_a_debt_that_is_waited_for() -> None:
    clock = Clock()
    rates = Rates(1, 2, clock)
    assert rates.take("alice") == 0.0
    rates.charge("alice", 4)
    assert rates.take("alice") == 4.0
    clock.s = 4.0
    assert [rates.take("alice") for _ in range(2)] == [0.0, 1.0]


def test_a_refused_call_costs_nothing() -> None:
    clock = Clock()
    rates = Rates(1, 1, clock)
    assert [rates.take("alice") for _ in range(4)] == [0.0, 1.0, 1.0, 1.0]
    clock.s = 1.0
    assert rates.take("alice") == 0.0


def test_users_do_not_share_a_bucket_and_rate_0_is_no_limit() -> None:
    clock = Clock()
    rates = Rates(1, 1, clock)
    assert (rates.take("alice"), rates.take("bob"), rates.take("alice")) == (0.0, 0.0, 1.0)
    free = Rates(0, 1, clock)
    assert [free.take("alice") for _ in range(3)] == [0.0, 0.0, 0.0]
    assert len(free) == 0


def test_whoever_has_a_full_bucket_again_is_forgotten() -> None:
    clock = Clock()
    rates = Rates(1, 2, clock)
    for user in ("alice", "bob", "carol"):
        rates.take(user)
    rates.charge("carol", 1)
    clock.s = 1.0
    rates.take("dave")
    assert len(rates) == 2, "carol still owes a second, and dave has just come"
    assert [rates.take("carol") for _ in range(2)] == [0.0, 1.0]


def test_the_table_is_bounded_and_forgets_who_called_least_lately() -> None:
    clock = Clock()
    rates = Rates(1, 1, clock, users=2)
    for user in ("alice", "bob", "alice", "carol"):
        rates.take(user)
    assert len(rates) == 2
    assert (rates.take("alice"), rates.take("bob")) == (1.0, 0.0)
