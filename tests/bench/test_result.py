"""What a result says: keys, medians, goals, and what is wrong."""

from __future__ import annotations

import json

import pytest

from longlink.bench.report import text
from longlink.bench.result import Result
from longlink.bench.table import ROWS, TITLES, row_of, rows_of

FACTS = {"date": "today"}


def result(**rounds: list[dict[str, float]]) -> Result:
    return Result(FACTS, rounds, ["a note"])


def test_keys_are_unique_and_belong_to_a_figure_that_has_a_title() -> None:
    assert len({row.key for row in ROWS}) == len(ROWS)
    assert {row.figure for row in ROWS} == set(TITLES)


def test_a_flat_result_has_the_median_of_the_rounds_and_null_for_what_is_missing() -> None:
    flat = result(echo=[{"cpu_us": 1.0, "faults": 0.0}, {"cpu_us": 2.0}, {"cpu_us": 9.0}]).flat()
    assert (flat["echo.cpu_us"], flat["echo.floor_cpu_us"]) == (2.0, None)
    assert set(flat) == {row.key for row in rows_of("echo")} | {"facts", "notes", "rows"}
    assert flat["rows"]["echo"][2] == {"cpu_us": 9.0}
    json.dumps(flat)


def test_other_sizes_have_keys_of_their_own_with_the_same_meaning_and_goal() -> None:
    flat = result(fanout=[{"cpu_ratio_to_floor": 1.0, "cpu_ratio_to_floor_50000": 1.2}]).flat()
    assert (flat["fanout.cpu_ratio_to_floor"], flat["fanout.cpu_ratio_to_floor_50000"]) == (1.0, 1.2)
    row = row_of("fanout.cpu_ratio_to_floor_50000")
    assert row is not None
    assert (row.at_most, row.meaning[-16:]) == (1.15, ", 50,000 of them")
    assert row_of("fanout.nothing_50000") is None


def test_a_quick_run_is_held_to_no_goal_but_to_being_right() -> None:
    rounds = {"echo": [{"checked": 1.0, "faults": 2.0, "cpu_ratio_to_floor": 9.0}]}
    quick = Result(FACTS, rounds, [], goals=False)
    assert quick.wrong() == ["echo.faults: 2, wanted <= 0"]
    assert [value.row.name for value in quick.values("echo") if value.verdict()] == ["checked", "faults"]
    assert "missed" in {value.verdict() for value in Result(FACTS, rounds, []).values("echo")}


@pytest.mark.parametrize(
    ("numbers", "wrong"),
    [
        ({"checked": 5.0, "faults": 0.0, "cpu_us": 1e9}, []),
        ({"checked": 5.0, "faults": 1.0}, ["echo.faults: 1, wanted <= 0"]),
        ({"checked": 0.0, "faults": 0.0}, ["echo.checked: 0, wanted >= 1"]),
    ],
)
def test_only_what_is_not_right_is_wrong_however_slow_it_was(numbers: dict[str, float], wrong: list[str]) -> None:
    assert result(echo=[numbers]).wrong() == wrong


def test_one_round_that_is_wrong_is_enough() -> None:
    good, bad = {"checked": 1.0, "faults": 0.0}, {"checked": 1.0, "faults": 2.0}
    assert result(echo=[good, bad, good]).wrong() == ["echo.faults: 2, wanted <= 0"]


def test_the_text_shows_spread_goal_verdict_and_notes() -> None:
    shown = text(result(chat=[{"p50_ms": 1.0}, {"p50_ms": 2.5}, {"p50_ms": 9.0}]))
    line = next(line for line in shown.splitlines() if "chat.p50_ms" in line)
    assert line.split() == ["chat.p50_ms", "2.50", "ms", "1.00", "-", "9.00", "<=", "4", "ms", "met"]
    assert "note: a note" in shown


def test_numbers_come_in_the_order_of_the_table_one_size_after_the_other() -> None:
    numbers = {"faults_50": 0.0, "faults": 0.0, "checked_9": 1.0, "checked_50": 1.0, "checked": 1.0, "faults_9": 0.0}
    keys = [value.row.name for value in result(fanout=[numbers]).values("fanout")]
    assert keys == ["checked", "faults", "checked_9", "faults_9", "checked_50", "faults_50"]
