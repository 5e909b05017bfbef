"""When the client leaves the long link for the stream, and when it comes back."""

from __future__ import annotations

from longlink.client.paths import LONGEST_S, Paths


def ways(paths: Paths, failures: int) -> list[bool]:
    found = []
    for _ in range(failures):
        found.append(paths.streaming)
        paths.failed()
    return found


def test_one_failure_is_everyday_life_two_in_a_row_are_not() -> None:
    paths = Paths(allowed=True)
    paths.failed()
    paths.held()
    paths.failed()
    assert not paths.streaming
    paths.failed()
    assert paths.streaming


def test_when_neither_way_leads_to_the_server_they_take_turns() -> None:
    assert ways(Paths(allowed=True), 7) == [False, False, True, False, True, False, True]


def test_without_the_fallback_only_the_long_link_is_tried() -> None:
    assert ways(Paths(allowed=False), 5) == [False] * 5


def test_a_stream_that_held_is_tried_again_first() -> None:
    paths = Paths(allowed=True)
    ways(paths, 2)
    paths.held()
    assert paths.streaming


def test_the_long_link_is_looked_for_ever_more_seldom() -> None:
    paths = Paths(allowed=True, look_after_s=60.0)
    ways(paths, 2)
    paths.held()
    assert [paths.look() for _ in range(9)] == [
        60.0,
        120.0,
        240.0,
        480.0,
        960.0,
        1920.0,
        LONGEST_S,
        LONGEST_S,
        LONGEST_S,
    ]


def test_a_long_link_that_opens_and_then_fails_costs_one_attempt() -> None:
    paths = Paths(allowed=True)
    ways(paths, 2)
    paths.held()
    paths.look()
    paths.open()
    assert ways(paths, 2) == [False, True]
    assert paths.look() > 60.0


def test_once_the_long_link_has_held_the_search_begins_anew() -> None:
    paths = Paths(allowed=True)
    ways(paths, 2)
    paths.look()
    paths.open()
    paths.held()
    assert paths.look() == 60.0
