"""From numbers to a page: median of the rounds, the spread, the target, and where each byte of a connection goes.

Never measures. Read next: targets.py.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from bench import targets
from bench.targets import Row

KINDS: Final = ("heap", "anonymous", "stack", "file")
Samples = Mapping[str, Sequence[Mapping[str, float]]]
"""By figure, one mapping of numbers per round."""


def page(facts: Mapping[str, str], samples: Samples) -> str:
    """The whole result in Markdown."""
    parts = ["# Benchmark of Longlink", "", *(f"- {name}: {value}" for name, value in facts.items()), ""]
    parts += ["Median of the rounds, in brackets the lowest and the highest. How it is measured: ../README.md.", ""]
    for figure, title in targets.TITLES.items():
        if figure in samples:
            parts += [f"## {title}", "", *_section(figure, samples[figure]), ""]
    return "\n".join(parts)


def missed(samples: Samples) -> list[str]:
    """The rows whose target was missed, in words."""
    return [
        f"{row.label}: {_shown(row, median(samples[row.figure], row.key))}, wanted {_target(row)}"
        for row in _rows(samples)
        if verdict(row, samples[row.figure]) == "missed"
    ]


def wrong(samples: Samples) -> list[str]:
    """Rows of correctness that missed in any round."""
    return [
        f"{targets.TITLES[row.figure]}: {row.label}"
        for row in _rows(samples)
        if row.key in targets.CORRECTNESS and any(not _meets(row, sample[row.key]) for sample in samples[row.figure])
    ]


def verdict(row: Row, rounds: Sequence[Mapping[str, float]]) -> str:
    """ "met", "missed", or nothing for a row without a target."""
    if row.at_most is None and row.at_least is None:
        return ""
    return "met" if _meets(row, median(rounds, row.key)) else "missed"


def median(rounds: Sequence[Mapping[str, float]], key: str) -> float:
    return statistics.median(sample[key] for sample in rounds)


def _rows(samples: Samples) -> Iterable[Row]:
    return (row for row in targets.ROWS if row.figure in samples)


def _meets(row: Row, value: float) -> bool:
    return (row.at_most is None or value <= row.at_most) and (row.at_least is None or value >= row.at_least)


def _section(figure: str, rounds: Sequence[Mapping[str, float]]) -> list[str]:
    if figure == "echo":
        return _echo(rounds)
    lines = ["| | measured | target | |", "|---|---|---|---|"]
    lines += [_line(row, rounds) for row in targets.ROWS if row.figure == figure]
    if figure == "idle":
        lines += ["", "Where the bytes of one connection go:", "", *_bytes(rounds)]
    if figure == "load":
        lines += ["", "Server CPU per message by thread:", "", *_threads(rounds)]
    return lines


def _line(row: Row, rounds: Sequence[Mapping[str, float]]) -> str:
    values = [sample[row.key] for sample in rounds]
    spread = f" ({min(values):,.{row.digits}f} - {max(values):,.{row.digits}f})" if len(values) > 1 else ""
    middle = _shown(row, statistics.median(values))
    return f"| {row.label} | {middle}{spread} | {_target(row)} | {verdict(row, rounds)} |"


def _shown(row: Row, value: float) -> str:
    return f"{value:,.{row.digits}f} {row.unit}".rstrip()


def _target(row: Row) -> str:
    if row.at_most is not None:
        return f"<= {row.at_most:,g} {row.unit}".rstrip()
    return f">= {row.at_least:,g} {row.unit}".rstrip() if row.at_least is not None else ""


def _bytes(rounds: Sequence[Mapping[str, float]]) -> list[str]:
    """Core, Python objects one by one, and what is left: allocators' rounding and free space, SQLite's pages."""
    python = {key.partition(": ")[2]: median(rounds, key) for key in rounds[0] if key.startswith("python: ")}
    core, process = median(rounds, "core"), median(rounds, "process")
    held = sum(python.values())
    kinds = ", ".join(f"{kind} {median(rounds, kind):,.0f}" for kind in KINDS if kind in rounds[0])
    return [
        "| owner | B |",
        "|---|---|",
        f"| connection core (slots, timers, addresses), by its own gauge | {core:,.0f} |",
        f"| Python objects, counted | {held:,.0f} |",
        *(f"| - {name} | {size:,.0f} |" for name, size in python.items()),
        f"| remainder: free space and rounding of the allocators, pages of SQLite | {process - core - held:,.0f} |",
        f"| **whole process** (by mapping: {kinds}) | **{process:,.0f}** |",
    ]


def _threads(rounds: Sequence[Mapping[str, float]]) -> list[str]:
    names = sorted({key for sample in rounds for key in sample if key.startswith("thread ")})
    spent = {name: statistics.median(sample.get(name, 0.0) for sample in rounds) for name in names}
    ranked = sorted(spent.items(), key=lambda item: -item[1])
    return ["| thread | us |", "|---|---|", *(f"| {name.removeprefix('thread ')} | {us:.1f} |" for name, us in ranked)]


def _echo(rounds: Sequence[Mapping[str, float]]) -> list[str]:
    limit = median(rounds, "C epoll us") if "C epoll us" in rounds[0] else None
    lines = ["| server | CPU us per echo | of it kernel | against C epoll | echoes/s | CPUs used |"]
    lines.append("|---|---|---|---|---|---|")
    for name in targets.ECHO:
        if f"{name} us" not in rounds[0]:
            continue
        us = [sample[f"{name} us"] for sample in rounds]
        ratio = f"{statistics.median(us) / limit:.2f}" if limit else ""
        lines.append(
            f"| {name} | {statistics.median(us):.2f} ({min(us):.2f} - {max(us):.2f})"
            f" | {median(rounds, f'{name} kernel us'):.2f} | {ratio}"
            f" | {median(rounds, f'{name} per s'):,.0f} | {median(rounds, f'{name} server cores'):.2f} |"
        )
    return lines
