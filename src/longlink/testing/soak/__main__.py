"""`python -m longlink.testing.soak`: its last line says what was lost, doubled and reordered; exit code 1 if any was.

Read next: run.py.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Final

from longlink.testing.soak.crowd import Plan
from longlink.testing.soak.run import Course, Outcome, soak

SUMMARY: Final = "Many clients of one real server through a hostile network, with kills; nothing may be lost."


def main(words: list[str] | None = None) -> int:
    """Returns the exit code."""
    options = _parser().parse_args(words)
    plan = Plan(users=options.users, devices=options.devices, seed=options.seed, public=options.public)
    course = Course(plan, options.seconds, options.messages, options.rate, options.kill_every, options.workers)
    print(f"soak: {plan.users * plan.devices} devices of {plan.users} users, seed {plan.seed}", flush=True)
    outcome = asyncio.run(soak(course, lambda line: print(line, flush=True)))
    _report(outcome)
    return 0 if outcome.good else 1


def _report(outcome: Outcome) -> None:
    for line in outcome.trouble:
        print(line)
    print(f"{outcome.links:,} links, {outcome.resumed:,} of them resumed; {dict(outcome.blows)}")
    print(outcome.line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m longlink.testing.soak", description=SUMMARY, allow_abbrev=False)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long they talk; 60 unless given")
    parser.add_argument("--messages", type=int, default=0, help="end earlier when so many are said; 0: do not")
    parser.add_argument("--rate", type=float, default=600.0, help="messages a second that they try to say; 600")
    parser.add_argument("--users", type=int, default=250, help="users; 250")
    parser.add_argument("--devices", type=int, default=2, help="devices of each user; 2")
    parser.add_argument("--public", type=int, default=8, help="devices that use the public client; 8")
    parser.add_argument("--workers", type=int, default=0, help="gateways of the server; 0: everything in one process")
    parser.add_argument("--kill-every", type=float, default=10.0, help="seconds between two kill -9; 0: none")
    parser.add_argument("--seed", type=int, default=1, help="of the weather and of who says what")
    return parser


if __name__ == "__main__":
    sys.exit(main())
