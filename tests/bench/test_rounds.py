"""Rounds take turns; what breaks is left out, and only what is wrong or broken gives an exit code."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from longlink.bench import rounds
from longlink.bench.progress import Progress
from longlink.bench.run import Flag, Numbers, Run


@pytest.fixture(autouse=True)
def keep_the_handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def figure(name: str, measure: Callable[[Run], Numbers], times: int = 2) -> ModuleType:
    made = ModuleType(name)
    made.__dict__.update(NAME=name, ROUNDS=times, FLAGS=(Flag("size", 7, 3, "a size"),), measure=measure)
    return made


def options(data: Path, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    rounds.arguments(parser)
    return parser.parse_args([*words, "--data", str(data)])


def test_figures_take_turns_as_often_as_each_wants(tmp_path: Path) -> None:
    turns: list[tuple[str, int, int]] = []

    def noting(name: str) -> Callable[[Run], Numbers]:
        def measure(run: Run) -> Numbers:
            turns.append((name, run.turn, run.sizes.size))
            return {"checked": 1.0, "faults": 0.0}

        return measure

    figures = [figure("echo", noting("echo")), figure("chat", noting("chat"), 1)]
    assert rounds.run(figures, options(tmp_path)) == 0
    assert turns == [("echo", 0, 7), ("chat", 0, 7), ("echo", 1, 7)]
    turns.clear()
    assert rounds.run(figures, options(tmp_path, "--quick")) == 0
    assert turns == [("echo", 0, 3), ("chat", 0, 3)]


def test_a_wrong_result_is_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rounds.run([figure("echo", lambda _: {"checked": 1.0, "faults": 3.0})], options(tmp_path)) == 1
    assert "WRONG: echo.faults: 3, wanted <= 0" in capsys.readouterr().out


def test_a_slow_result_is_not_wrong(tmp_path: Path) -> None:
    assert rounds.run([figure("echo", lambda _: {"cpu_ratio_to_floor": 99.0})], options(tmp_path)) == 0


def test_a_figure_that_breaks_is_told_and_the_others_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_: Run) -> Numbers:
        raise RuntimeError("no server")

    figures = [figure("echo", broken), figure("chat", lambda _: {"checked": 1.0, "faults": 0.0})]
    assert rounds.run(figures, options(tmp_path)) == 1
    said = capsys.readouterr()
    assert "note: echo broke: no server" in said.out
    assert "chat.checked" in said.out


def test_growth_that_is_not_told_from_noise_is_no_figure() -> None:
    notes: list[str] = []
    run = Run(SimpleNamespace(), Path(), Progress(), notes, 0)
    assert run.grown("process_bytes", 9 * 2**20, 10_000) == {"process_bytes": 943.7184}
    assert run.grown("process_bytes", -2_076_000, 1_000) == {}
    assert notes == [
        "process_bytes: -2.0 MiB for 1,000 connections is not told from noise below 5 MiB; use more of them"
    ]
