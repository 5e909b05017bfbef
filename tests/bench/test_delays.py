"""Quantiles of delays that several load processes counted in buckets."""

from __future__ import annotations

from longlink.bench import delays
from longlink.bench.swarm import Answer


def test_pictures_of_all_processes_are_added_and_the_ones_before_taken_away() -> None:
    before: list[Answer] = [{"late": [(5, 2)]}, {"late": []}]
    after: list[Answer] = [{"late": [(5, 3), (9, 1)]}, {"late": [(9, 4)]}]
    assert delays.between(before, after, "late") == {5: 1, 9: 5}


def test_a_quantile_is_the_delay_that_a_share_did_not_exceed() -> None:
    seen = {1_000_000: 98, 5_000_000: 1, 70_000_000: 1}
    assert [delays.quantile(seen, share) for share in (0.5, 0.98, 0.99, 1.0)] == [1.0, 1.0, 5.0, 70.0]
    assert delays.quantile({}, 0.5) == 0.0


def test_marks_and_curve_name_their_numbers() -> None:
    seen = {2_000_000: 1_000}
    assert delays.marks(seen, "acked_")["acked_p999_ms"] == 2.0
    assert delays.curve(seen, "delivered")["delivered at 0.99"] == 2.0


def test_a_percentile_is_a_figure_only_with_enough_delays() -> None:
    assert set(delays.marks({2_000_000: 999})) == {"p50_ms", "p90_ms", "p99_ms", "max_ms"}
    assert set(delays.marks({2_000_000: 20})) == {"p50_ms", "p90_ms", "max_ms"}
    assert delays.marks({}) == {}
