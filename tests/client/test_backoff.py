"""How long to wait before trying again."""

from longlink.client.backoff import Backoff


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
