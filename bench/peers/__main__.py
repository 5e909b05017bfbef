"""`python -m bench.peers`: our core, the floor and servers of other makes, in rounds that take turns, in one table.

What cannot be had here, or breaks, is named with its reason, and the others go on; the exit code is 1 only when our own
row or the floor is missing. Nothing is judged. Read next: README.md, table.py.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.peers import figures, install, report
from bench.peers.figures import FULL, QUICK, Numbers, Plan
from bench.peers.probe import Sizes
from bench.peers.report import Outcome
from bench.peers.table import FLOOR, OURS, PEERS, Peer
from longlink.bench.rounds import end_blocks_on_sigterm, facts

RESULTS: Final = Path("bench/results")


def main(arguments: Sequence[str] | None = None, peers: Sequence[Peer] = PEERS) -> int:
    options = _parser(peers).parse_args(arguments)
    end_blocks_on_sigterm()
    plan = QUICK if options.quick else FULL
    if options.rounds:
        plan = plan._replace(rounds=options.rounds)
    chosen = [peer for peer in peers if not options.only or peer.name in {FLOOR, OURS, *options.only}]
    busy = os.getloadavg()[0]
    missing: dict[str, str] = {}
    sizes = prepare(chosen, missing)
    rounds = measure([peer for peer in chosen if peer.name in sizes], plan, sizes, missing)
    known = facts("python -m bench.peers", busy) | {"plan": f"{plan.name}, rounds: {plan.rounds}"}
    _keep(Outcome(known, plan, chosen, rounds, missing), options.keep)
    return 0 if {FLOOR, OURS} <= rounds.keys() else 1


def _parser(peers: Sequence[Peer]) -> argparse.ArgumentParser:
    names = [peer.name for peer in peers if peer.name not in {FLOOR, OURS}]
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers", description="Measure rivals beside ours and the floor."
    )
    parser.add_argument("--quick", action="store_true", help="one short round: shows that everything runs")
    parser.add_argument("--rounds", type=int, metavar="N", help="measure so often")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--keep", metavar="NAME", help="also write to bench/results/NAME.md and NAME.json")
    return parser


def prepare(peers: Sequence[Peer], missing: dict[str, str]) -> dict[str, Sizes]:
    """Fetch, build and start each once; what its answers are like, by name, for those that can be measured."""
    ready: dict[str, Sizes] = {}
    for number, peer in enumerate(peers, 1):
        _say(f"[{number}/{len(peers)}] {peer.title}: ")
        begun = time.monotonic()
        try:
            peer.prepare()
            ready[peer.name] = figures.ask(peer)
            _say(f"{peer.version()}, ready in {time.monotonic() - begun:.0f} s\n")
        except (install.MissingError, RuntimeError, OSError) as reason:
            _miss(peer, reason, missing)
    return ready


def measure(
    peers: Sequence[Peer], plan: Plan, sizes: dict[str, Sizes], missing: dict[str, str]
) -> dict[str, list[Numbers]]:
    """By name, a mapping a round. Who begins turns from round to round; who breaks is left out from then on."""
    rounds: dict[str, list[Numbers]] = {peer.name: [] for peer in peers}
    for turn in range(plan.rounds):
        for step in range(len(peers)):
            peer = peers[(turn * len(peers) // plan.rounds + step) % len(peers)]
            if peer.name not in rounds:
                continue
            _say(f"round {turn + 1}/{plan.rounds}  {peer.title}: ")
            begun = time.monotonic()
            try:
                rounds[peer.name].append(figures.measure(peer, plan, sizes[peer.name]))
                _say(f"{time.monotonic() - begun:.0f} s\n")
            except (RuntimeError, OSError) as reason:
                del rounds[peer.name]
                _miss(peer, reason, missing)
    return rounds


def _miss(peer: Peer, reason: Exception, missing: dict[str, str]) -> None:
    missing[peer.title] = " ".join(str(reason).split()) or type(reason).__name__
    _say(f"not measured: {missing[peer.title]}\n")


def _keep(outcome: Outcome, name: str | None) -> None:
    text = report.page(outcome)
    whole = report.flat(outcome.rounds) | {"facts": outcome.facts, "missing": outcome.missing, "rows": outcome.rounds}
    install.OUT.mkdir(parents=True, exist_ok=True)
    for path in [install.OUT / f"peers-{outcome.plan.name}", *([RESULTS / name] if name else [])]:
        path.with_name(f"{path.name}.md").write_text(text)
        path.with_name(f"{path.name}.json").write_text(json.dumps(whole, indent=1) + "\n")
    _say(f"\n{text}")


def _say(words: str) -> None:
    sys.stdout.write(words)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
