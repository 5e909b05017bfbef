"""How long to wait before trying again."""

import pytest

from longlink.client.backoff import Backoff, retry_after_s


def test_the_longest_wait_doubles_from_the_base_up_to_the_cap() -> None:
    backoff = Backoff(lambda: 1.0, base_s=0.25, cap_s=2.0)
    assert [backoff.next() for _ in range(6)] == [0.25, 0.5, 1.0, 2.0, 2.0, 2.0]


def test_a_wait_may_be_nothing_at_all_because_the_jitter_is_full() -> None:
    backoff = Backoff(lambda: 0.0)
    assert [backoff.next() for _ in range(3)] == [0.0, 0.0, 0.0]


def test_the_servers_wish_is_a_floor_and_the_jitter_comes_on_top() -> None:
    backoff = Backoff(lambda: 0.5, base_s=1.0)
    assert backoff.next(at_least_s=10.0) == 10.5


def test_after_a_success_the_waits_start_small_again() -> None:
    backoff = Backoff(lambda: 1.0, base_s=1.0)
    assert [backoff.next(), backoff.next()] == [1.0, 2.0]
    backoff.reset()
    assert backoff.next() == 1.0


def test_a_thousand_failures_do_not_overflow() -> None:
    backoff = Backoff(lambda: 1.0, cap_s=30.0)
    assert max(backoff.next() for _ in range(1000)) == 30.0


@pytest.mark.parametrize("asked_s", [301.0, 4_294_967.0, 1e300, float("inf")])
def test_of_the_servers_wish_five_minutes_count_at_most(asked_s: float) -> None:
    assert Backoff(lambda: 0.5, base_s=1.0).next(at_least_s=asked_s) == 300.5


@pytest.mark.parametrize("asked_s", [-1.0, float("-inf"), float("nan")])
def test_a_wish_that_is_no_time_counts_for_nothing(asked_s: float) -> None:
    assert Backoff(lambda: 0.5, base_s=1.0).next(at_least_s=asked_s) == 0.5


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        *(("7", 7.0), ("0.5", 0.5), ("301", 300.0), ("9" * 400, 300.0), ("inf", 300.0)),
        *(("", 0.0), ("-3", 0.0), ("nan", 0.0), ("soon", 0.0), ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0)),
    ],
)
def test_a_retry_after_header_is_seconds_within_bounds_or_nothing(header: str, wait_s: float) -> None:
    assert retry_after_s(header) == wait_s
