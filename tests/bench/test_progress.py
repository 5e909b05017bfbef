"""What a run shows while it runs: one line that is rewritten on a terminal, a line for each phase elsewhere."""

from __future__ import annotations

import io

import pytest

from longlink.bench import floor
from longlink.bench.progress import Progress


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_in_a_pipe_each_phase_is_a_line_and_counts_are_not_shown() -> None:
    out = io.StringIO()
    progress = Progress(out)
    progress.phase("idle: connecting")
    progress.counts({"joined": 5})
    progress.say("note: something")
    assert out.getvalue() == "0:00  idle: connecting\nnote: something\n"


def test_on_a_terminal_one_line_is_rewritten_with_the_counts_that_say_something() -> None:
    out = Screen()
    progress = Progress(out)
    progress.phase("idle: connecting")
    progress.phase("idle: holding")
    assert "\n" not in out.getvalue()
    assert out.getvalue().endswith("\r\x1b[K0:00  idle: holding")


def test_counts_follow_the_phase_and_zeros_are_left_out() -> None:
    out = Screen()
    progress = Progress(out)
    progress.counts({"joined": 12_000, "lost": 0, "writes": 7})
    assert out.getvalue().endswith("12,000 joined")


def test_without_a_compiler_there_is_no_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert floor.floor.__wrapped__() is None
