"""`python -m bench`: measures everything in rounds that take turns, prints it against the targets, and keeps it.

Rounds take turns so that a change of the machine's mood hits all figures alike. Nothing here judges speed by failing:
only a wrong result (a lost message, a lost connection) or a broken run gives an exit code. Read next: README.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Final

from bench import machine, report
from bench.figures import echo, idle, messages, start
from bench.plan import FULL, OUT, QUICK, Plan

Samples = dict[str, list[dict[str, float]]]
FIGURES: Final[Mapping[str, Callable[[Plan, int], dict[str, float]]]] = {
    "start": start.measure,
    "echo": echo.measure,
    "load": messages.measure_load,
    "idle": idle.measure,
    "latency": messages.measure_latency,
    "tls": idle.measure_tls,
}
ONCE: Final = ("start", "tls")
"""Measured in the first round only: start repeats by itself, and TLS takes long for what it says."""


def main() -> int:
    options = _options()
    plan = QUICK if options.quick else FULL
    if options.rounds:
        plan = plan._replace(rounds=options.rounds)
    facts = {"date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"), **machine.describe()}
    facts["command"] = " ".join(["python -m bench", *sys.argv[1:]])
    facts["plan"] = f"{plan.name}, rounds: {plan.rounds}"
    facts["priority"] = f"nice {os.nice(0)}"
    busy = os.getloadavg()[0]
    samples, broken = _measure(plan, options.only or list(FIGURES))
    facts["load average"] = f"{busy:.1f} before, {os.getloadavg()[0]:.1f} after (the run itself makes about 2)"
    return _conclude(plan, facts, samples, options.keep) or int(bool(broken))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Longlink against its targets.")
    parser.add_argument("--quick", action="store_true", help="one short round: shows that everything runs")
    parser.add_argument("--rounds", type=int, help="measure so often")
    parser.add_argument("--only", nargs="+", choices=list(FIGURES), metavar="FIGURE", help=f"of {', '.join(FIGURES)}")
    parser.add_argument("--keep", metavar="NAME", help="also write the page to bench/results/NAME.md")
    return parser.parse_args()


def _measure(plan: Plan, names: list[str]) -> tuple[Samples, list[str]]:
    """The numbers, and the figures that broke; those are left out, the others go on."""
    samples: Samples = {}
    broken: list[str] = []
    for turn in range(plan.rounds):
        for name in names:
            if name in broken or (turn > 0 and name in ONCE):
                continue
            begun = time.perf_counter()
            print(f"round {turn + 1}/{plan.rounds}  {name} ...", end=" ", flush=True)
            try:
                samples.setdefault(name, []).append(FIGURES[name](plan, turn))
            except Exception:
                traceback.print_exc()
                broken.append(name)
                samples.pop(name, None)
            print(f"{time.perf_counter() - begun:.0f} s", flush=True)
    return samples, broken


def _conclude(plan: Plan, facts: dict[str, str], samples: Samples, keep: str | None) -> int:
    OUT.mkdir(parents=True, exist_ok=True)
    page = report.page(facts, samples)
    (OUT / f"{plan.name}.json").write_text(json.dumps({"facts": facts, "samples": samples}, indent=1) + "\n")
    (OUT / f"{plan.name}.md").write_text(page)
    if keep:
        (OUT.parent / "results" / f"{keep}.md").write_text(page)
    print("\n" + page)
    for words in report.missed(samples):
        print(f"target missed: {words}")
    faults = report.wrong(samples)
    for words in faults:
        print(f"WRONG: {words}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
