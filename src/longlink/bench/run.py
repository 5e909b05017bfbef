"""What a figure gets to measure with: its sizes, a folder on a disk, the line of progress, a place for notes.

Read next: figures/echo.py; rounds.py, which makes it.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

from longlink.bench.progress import Progress

Numbers = dict[str, float]

LEAST_GROWTH_BYTES: Final = 5 * 2**20
"""Growth of a process or of the kernel from which on it is a figure: both move by up to 1 MiB while nothing happens."""


class Flag(NamedTuple):
    """One size or time of a figure. full, quick: what it is when nobody says anything; lists take several."""

    name: str
    full: Any
    quick: Any
    meaning: str
    least: float | None = None
    """None: 1, or a tenth of a second."""

    def offer(self, parser: argparse._ActionsContainer) -> None:
        option = "--" + self.name.replace("_", "-")
        if self.full is False:
            parser.add_argument(option, action="store_true", default=None, help=self.meaning)
            return
        several = isinstance(self.full, list)
        one = self.full[0] if several else self.full
        words = f"{self.meaning} (default: {_shown(self.full)}; with --quick {_shown(self.quick)})"
        parser.add_argument(
            option,
            type=at_least(type(one), (1 if type(one) is int else 0.1) if self.least is None else self.least),
            nargs="+" if several else None,
            metavar="N" if type(one) is int else "T",
            help=words,
        )


def at_least(kind: type[int] | type[float], least: float) -> Callable[[str], float]:
    """Reads a number of the command line, and refuses one that makes no sense."""

    def read(text: str) -> float:
        try:
            number = kind(text)
        except ValueError:
            number = -1
        if not least <= number < math.inf:
            raise argparse.ArgumentTypeError(
                f"expected {'a whole' if kind is int else 'a'} number of at least {least:g}, got {text}"
            )
        return number

    return read


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else f"{value:g}"


class Run:
    """turn: number of the round, from 0; it also says who goes first."""

    def __init__(self, sizes: SimpleNamespace, home: Path, progress: Progress, notes: list[str], turn: int) -> None:
        self.sizes: Any = sizes
        self.home = home
        self.progress = progress
        self.turn = turn
        self._notes = notes

    def note(self, words: str) -> None:
        """Something that a reader of the result must know; said once however often it happens."""
        if words not in self._notes:
            self._notes.append(words)
            self.progress.say(f"note: {words}")

    def grown(self, name: str, grown_bytes: float, connections: int) -> Numbers:
        """Growth of memory per connection under this name; nothing, and a note, if it cannot be told from noise."""
        if grown_bytes >= LEAST_GROWTH_BYTES:
            return {name: grown_bytes / connections}
        words = f"{grown_bytes / 2**20:.1f} MiB for {connections:,} connections"
        self.note(f"{name}: {words} is not told from noise below {LEAST_GROWTH_BYTES / 2**20:g} MiB; use more of them")
        return {}

    def source(self) -> str:
        """A loopback address for a load process, others each time, so that none waits for ports of one before."""
        number = next(_SOURCES)
        return f"127.{1 + number // 2_500 % 250}.{number // 10 % 250}.{1 + number % 10 * 25}"


_SOURCES: Final = itertools.count(10)
"""The first are left to everybody else; 25 addresses for each process are more than it has files for."""


def sizes(flags: Sequence[Flag], options: argparse.Namespace, quick: bool) -> SimpleNamespace:
    """What was asked for, and the defaults for the rest."""
    chosen = {flag.name: flag.quick if quick else flag.full for flag in flags}
    asked = {flag.name: value for flag in flags if (value := getattr(options, flag.name, None)) is not None}
    return SimpleNamespace(**chosen | asked)
