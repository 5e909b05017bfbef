"""Numbers as values: added up, taken from one another, sent and read again."""

from __future__ import annotations

import pytest

from longlink.ops.metrics import Counts
from longlink.ops.numbers import Numbers, counted, decode, encode, gauges, of_counts, of_process, total

EAST: Numbers = {
    "core": {"connections": 5, "accepted": 7, "message_bytes": ([64.0, 256.0], [1, 2, 3], 900.0)},
    "errors": {"idle": 1},
}
WEST: Numbers = {
    "core": {"connections": 1, "accepted": 2, "message_bytes": ([64.0, 256.0], [0, 4, 4], 400.0), "writes": 9},
    "trunk": {"attached": 1},
}


def test_numbers_of_processes_are_added_name_by_name() -> None:
    assert total([EAST, WEST]) == {
        "core": {"connections": 6, "accepted": 9, "message_bytes": ([64.0, 256.0], [1, 6, 7], 1300.0), "writes": 9},
        "errors": {"idle": 1},
        "trunk": {"attached": 1},
    }
    assert total([]) == {}


def test_what_was_counted_since_is_without_gauges_and_without_what_was_before() -> None:
    before: Numbers = {"core": {"accepted": 2, "connections": 3, "message_bytes": ([64.0, 256.0], [1, 1, 1], 60.0)}}
    assert counted(EAST, before) == {
        "core": {"accepted": 5, "message_bytes": ([64.0, 256.0], [0, 1, 2], 840.0)},
        "errors": {"idle": 1},
    }
    assert gauges(EAST) == {"core": {"connections": 5}, "errors": {}}
    assert total([counted(EAST, before), before, gauges(EAST)])["core"]["accepted"] == 7


def test_numbers_survive_the_way_to_another_process() -> None:
    counts = Counts()
    counts.loop_lag_seconds.observe(0.02)
    numbers = total([of_counts(counts), of_process()])
    came = decode(encode(numbers))
    assert came["process"] == numbers["process"]
    doubled = total([came, numbers])["messages"]["loop_lag_seconds"]
    assert isinstance(doubled, tuple)
    assert doubled[1][-1] == 2


def test_a_histogram_and_a_number_are_not_added() -> None:
    with pytest.raises(TypeError):
        total([{"core": {"a": 1.0}}, {"core": {"a": ([1.0], [1, 1], 1.0)}}])
