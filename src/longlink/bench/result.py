"""The result of a run: the median of the rounds by key, their spread, and what was wrong.

Never measures, never prints. Read next: table.py; report.py shows it.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from longlink.bench.run import Numbers
from longlink.bench.table import Row, place_of, row_of, rows_of

Rounds = Mapping[str, Sequence[Numbers]]
"""By figure, the numbers of each round."""


class Value(NamedTuple):
    """One key's median, lowest and highest."""

    row: Row
    median: float
    least: float
    most: float

    def verdict(self) -> str:
        """ "met", "missed", or nothing where there is no goal."""
        return "" if not self.row.goal() else "met" if self.row.meets(self.median) else "missed"


class Result(NamedTuple):
    """goals: whether the run was large enough to be held to them; what a server did wrong is wrong in any run."""

    facts: Mapping[str, str]
    rounds: Rounds
    notes: Sequence[str]
    goals: bool = True

    def values(self, figure: str) -> list[Value]:
        """In the order of the table, sizes behind their plain keys."""
        rounds = self.rounds[figure]
        names = list(dict.fromkeys(name for numbers in rounds for name in numbers))
        found = []
        for name in names:
            row = row_of(f"{figure}.{name}")
            if row is not None:
                if not self.goals and not row.wrong:
                    row = row._replace(at_most=None, at_least=None)
                seen = [numbers[name] for numbers in rounds if name in numbers]
                found.append(Value(row, statistics.median(seen), min(seen), max(seen)))
        return sorted(found, key=lambda value: place_of(value.row.key))

    def wrong(self) -> list[str]:
        """What says that a server did something wrong, in any round. How fast it was is no matter here."""
        return [
            f"{value.row.key}: {value.row.shown(extreme)}, wanted {value.row.goal()}"
            for figure in self.rounds
            for value in self.values(figure)
            if value.row.wrong
            and not value.row.meets(extreme := value.most if value.row.at_most is not None else value.least)
        ]

    def flat(self) -> dict[str, Any]:
        """One object: every number by its key, null where it could not be had, and facts, notes and rows."""
        numbers: dict[str, Any] = {}
        for figure in self.rounds:
            numbers |= {row.key: None for row in rows_of(figure)}
            numbers |= {value.row.key: value.median for value in self.values(figure)}
        return numbers | {
            "facts": dict(self.facts),
            "notes": list(self.notes),
            "rows": {figure: list(rounds) for figure, rounds in self.rounds.items()},
        }
