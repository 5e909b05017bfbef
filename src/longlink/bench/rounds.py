"""Measures figures in rounds that take turns, then shows and keeps the result.

Rounds take turns so that a change of the machine's mood hits all figures alike. Exit code 1 says that a result is wrong
(lost, doubled, altered, out of order) or that a figure broke; being slow is never an error. Read next: run.py.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, ModuleType
from typing import Final, NoReturn

from longlink.bench import machine, page, report
from longlink.bench.progress import Progress
from longlink.bench.result import Result
from longlink.bench.run import Numbers, Run, at_least, sizes

QUICK: Final = "--quick: small and short, so numbers are rough and are not held to the goals"
TERMINATED: Final = 128 + signal.SIGTERM


def arguments(parser: argparse.ArgumentParser) -> None:
    """What every figure takes."""
    parser.add_argument(
        "--rounds", type=at_least(int, 1), metavar="N", help="number of rounds (default: by figure; 1 with --quick)"
    )
    parser.add_argument("--quick", action="store_true", help="a small, short run, to see that everything works")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write a page with plots")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where servers keep their data during the run (default: here)",
    )


def run(figures: Sequence[ModuleType], options: argparse.Namespace) -> int:
    """Measure, show, and say whether everything was right."""
    end_blocks_on_sigterm()
    notes: list[str] = [QUICK] if options.quick else []
    progress = Progress()
    busy = os.getloadavg()[0]
    options.data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.data, prefix=".longlink-bench-") as home:
        measured, broken = _measure(figures, options, Path(home).resolve(), progress, notes)
    progress.end()
    result = Result(facts("longlink", busy), measured, notes, goals=not options.quick)
    if options.html:
        options.html.parent.mkdir(parents=True, exist_ok=True)
        options.html.write_text(page.html(result), "utf-8")
    sys.stdout.write(json.dumps(result.flat(), indent=1) + "\n" if options.json else report.text(result))
    return 1 if broken or result.wrong() else 0


def end_blocks_on_sigterm() -> None:
    """SIGTERM becomes an exception, so that every block ends its processes."""
    signal.signal(signal.SIGTERM, _terminated)


def _terminated(_: int, __: FrameType | None) -> NoReturn:
    sys.exit(TERMINATED)


def _measure(
    figures: Sequence[ModuleType], options: argparse.Namespace, home: Path, progress: Progress, notes: list[str]
) -> tuple[dict[str, list[Numbers]], list[str]]:
    """The numbers by figure, and the figures that broke; those are left out, the others go on."""
    measured: dict[str, list[Numbers]] = {}
    broken: list[str] = []
    counts = {figure.NAME: options.rounds or (1 if options.quick else figure.ROUNDS) for figure in figures}
    for turn in range(max(counts.values())):
        for figure in figures:
            if turn >= counts[figure.NAME] or figure.NAME in broken:
                continue
            chosen = sizes(figure.FLAGS, options, options.quick)
            try:
                numbers = figure.measure(Run(chosen, home, progress, notes, turn))
                measured.setdefault(figure.NAME, []).append(numbers)
            except Exception as error:
                progress.end()
                traceback.print_exc()
                broken.append(figure.NAME)
                notes.append(f"{figure.NAME} broke: {error}")
    return measured, broken


def facts(program: str, busy: float) -> dict[str, str]:
    """When, where and how this run was made. busy: the load average before it."""
    when = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    load = f"{busy:.1f} before, {os.getloadavg()[0]:.1f} after"
    return {"date": when, **machine.describe(), "command": " ".join([program, *sys.argv[1:]]), "load average": load}
