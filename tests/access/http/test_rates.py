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
    assert [rates.take("alice", 1) for _ in range(5)] == [0.0, 0.0, 0.0, 0.5, 0.5]
    clock.s = 0.5
    assert [rates.take("alice", 1) for _ in range(2)] == [0.0, 0.5]


def test_a_long_rest_saves_no_more_than_the_burst() -> None:
    clock = Clock()
    rates = Rates(1, 2, clock)
    rates.take("alice", 2)
    clock.s = 1_000
    assert [rates.take("alice", 1) for _ in range(3)] == [0.0, 0.0, 1.0]


def test_more_than_the_burst_needs_a_full_bucket_and_leaves_a_debt() -> None:
    clock = Clock()
    rates = Rates(1, 2, clock)
    assert rates.take("alice", 5) == 0.0
    assert rates.take("alice", 1) == 4.0


def test_users_do_not_share_a_bucket_and_rate_0_is_no_limit() -> None:
    clock = Clock()
    rates = Rates(1, 1, clock)
    assert (rates.take("alice", 1), rates.take("bob", 1), rates.take("alice", 1)) == (0.0, 0.0, 1.0)
    free = Rates(0, 1, clock)
    assert [free.take("alice", 9) for _ in range(3)] == [0.0, 0.0, 0.0]


def test_the_table_is_bounded_and_forgets_who_called_least_lately() -> None:
    clock = Clock()
    rates = Rates(1, 1, clock, users=2)
    for user in ("alice", "bob", "alice", "carol"):
        rates.take(user, 1)
    assert (rates.take("alice", 1), rates.take("bob", 1)) == (1.0, 0.0)
