"""`longlink bench ACTION`: measure the connection core alone; an action is a file of ../bench.

Read next: ../bench/serve.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from types import ModuleType
from typing import Final

from longlink.bench import serve

SUMMARY = "measure the connection core: `bench serve` echoes every message"

ACTIONS: Final[dict[str, ModuleType]] = {"serve": serve}
"""In the order of --help; each offers SUMMARY, arguments(parser) and run(options)."""


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, action in ACTIONS.items():
        action.arguments(actions.add_parser(name, help=action.SUMMARY, allow_abbrev=False))


def run(options: argparse.Namespace) -> int:
    act: Callable[[argparse.Namespace], int] = ACTIONS[options.action].run
    return act(options)
