"""`longlink bench ACTION`: benchmark this machine; an action is a figure, all of them, or a server for them.

Read next: ../bench/rounds.py.
"""

from __future__ import annotations

import argparse
from types import ModuleType
from typing import Final

from longlink.bench import rounds, serve
from longlink.bench.figures import chat, connect, echo, fanout, hostile, idle, resume, slow, start, sync

SUMMARY = "benchmark this machine (CPU, memory, latency) against a minimal C baseline"

FIGURES: Final[dict[str, ModuleType]] = {
    figure.NAME: figure for figure in (idle, connect, resume, echo, fanout, chat, slow, sync, hostile, start)
}
"""In the order of --help and of a round."""
ALL: Final = "every figure, also over TLS, in alternating rounds"


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, figure in FIGURES.items():
        action = actions.add_parser(name, help=figure.SUMMARY, description=f"{figure.SUMMARY}.", allow_abbrev=False)
        for flag in figure.FLAGS:
            flag.offer(action)
        rounds.arguments(action)
    everything = actions.add_parser("all", help=ALL, description=f"{ALL}.", allow_abbrev=False)
    everything.set_defaults(tls=True)
    rounds.arguments(everything)
    serve.arguments(actions.add_parser("serve", help=serve.SUMMARY, allow_abbrev=False))


def run(options: argparse.Namespace) -> int:
    if options.action == "serve":
        return serve.run(options)
    chosen = list(FIGURES.values()) if options.action == "all" else [FIGURES[options.action]]
    return rounds.run(chosen, options)
