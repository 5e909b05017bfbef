"""How the longest silence is found that a network keeps alive."""

from __future__ import annotations

import pytest

from longlink.client.prober import CLOSE_S, LEAST_S, MOST_S, PROOF, RETRY_AFTER, Prober


def live(prober: Prober, limit_s: float, heartbeats: int) -> int:
    """Heartbeats on a network that forgets a link after limit_s; returns how many links ended over one."""
    ended = 0
    for _ in range(heartbeats):
        if prober.interval_s < limit_s:
            prober.answered()
        else:
            prober.failed()
            ended += 1
    return ended


def test_a_new_client_begins_with_the_shortest_silence() -> None:
    assert Prober().interval_s == LEAST_S


def test_the_interval_grows_only_after_several_answers() -> None:
    prober = Prober()
    for _ in range(PROOF - 1):
        prober.answered()
        assert prober.interval_s == LEAST_S
    prober.answered()
    assert prober.interval_s > LEAST_S


def test_on_a_network_that_forgets_nothing_it_grows_to_the_longest_and_stays() -> None:
    prober = Prober()
    assert live(prober, 10_000.0, 2 * RETRY_AFTER) == 0
    assert prober.interval_s == prober.good_s == MOST_S


@pytest.mark.parametrize("limit_s", [45.0, 60.0, 120.0, 180.0, 299.0])
def test_the_limit_of_the_network_is_found_with_few_lost_links(limit_s: float) -> None:
    prober = Prober()
    assert live(prober, limit_s, RETRY_AFTER) <= 5
    assert limit_s - 2 * CLOSE_S <= prober.interval_s < limit_s


def test_after_a_failure_the_last_good_interval_is_used_at_once() -> None:
    prober = Prober(good_s=100.0)
    for _ in range(PROOF):
        prober.answered()
    assert prober.interval_s == 150.0
    prober.failed()
    assert prober.interval_s == 100.0


def test_one_link_that_ended_by_chance_does_not_shorten_what_was_proved() -> None:
    prober = Prober(good_s=100.0)
    prober.failed()
    assert prober.interval_s == 100.0


def test_a_network_that_has_become_worse_is_noticed_after_a_few_failures() -> None:
    prober = Prober(good_s=240.0)
    live(prober, 61.0, 3 * PROOF)
    assert prober.good_s < 61.0


def test_the_search_begins_again_after_a_long_time_for_networks_change() -> None:
    prober = Prober()
    live(prober, 45.0, RETRY_AFTER)
    live(prober, 10_000.0, RETRY_AFTER + 100)
    assert prober.interval_s == MOST_S


def test_what_was_learnt_is_where_the_next_process_begins() -> None:
    assert Prober(good_s=120.0).interval_s == 120.0
    assert Prober(good_s=1e9).interval_s == MOST_S
    assert Prober(good_s=0.5).interval_s == LEAST_S


def test_an_interval_that_was_given_is_left_as_it_is() -> None:
    prober = Prober(fixed_s=50.0)
    live(prober, 10_000.0, 10)
    live(prober, 1.0, 10)
    assert prober.interval_s == 50.0
