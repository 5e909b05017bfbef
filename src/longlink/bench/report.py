"""A result as text for a terminal: each number beside its spread and its goal.

Read next: result.py; page.py shows the same in a browser.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from longlink.bench.result import Result, Value
from longlink.bench.table import TITLES

HEADS: Final = ("", "median", "spread", "goal", "")


def text(result: Result) -> str:
    """All figures that were measured, then facts and notes."""
    lines: list[str] = []
    for figure, title in TITLES.items():
        if figure in result.rounds:
            lines += ["", title, "", *_table([HEADS, *map(_cells, result.values(figure))])]
    lines += ["", *(f"{name}: {value}" for name, value in result.facts.items())]
    lines += [f"note: {note}" for note in result.notes]
    lines += [f"WRONG: {words}" for words in result.wrong()]
    return "\n".join(lines) + "\n"


def spread(value: Value) -> str:
    """Empty when all rounds agree."""
    digits = value.row.digits
    low, high = f"{value.least:,.{digits}f}", f"{value.most:,.{digits}f}"
    return f"{low} - {high}" if low != high else ""


def _cells(value: Value) -> tuple[str, ...]:
    return (value.row.key, value.row.shown(value.median), spread(value), value.row.goal(), value.verdict())


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, median, *rest in rows:
        cells = [name.ljust(widths[0]), median.rjust(widths[1])]
        cells += [cell.ljust(width) for cell, width in zip(rest, widths[2:], strict=True)]
        yield ("  " + "  ".join(cells)).rstrip()
