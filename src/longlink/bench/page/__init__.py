"""A result as one page for a browser: no scripts, nothing from elsewhere, light and dark.

Read next: result.py; plots.py, the drawings.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from typing import Final

from longlink.bench.page.plots import Bar, Part, bars, curve, stack
from longlink.bench.report import spread
from longlink.bench.result import Result, Value
from longlink.bench.table import ROWS, TITLES

BARS: Final = {
    "connect": ("CPU us until authenticated", ("cpu_us", "new_user_cpu_us", "tls_resumed_cpu_us", "tls_full_cpu_us")),
    "echo": ("CPU us per echo", ("cpu_us", "floor_cpu_us")),
    "fanout": (
        "CPU us per message delivered",
        ("cpu_us_per_delivery", "floor_cpu_us_per_delivery", "coalesced_cpu_us_per_message"),
    ),
    "chat": ("server CPU us per message", ("server_cpu_us_per_message", "kernel_cpu_us_per_message")),
}
"""What is drawn as bars: a caption, and names of numbers."""


def html(result: Result) -> str:
    """The whole page."""
    style = files(__name__).joinpath("style.css").read_text("utf-8")
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>',
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
        f"<title>Benchmark of Longlink</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>",
        "<h1>Benchmark of Longlink</h1>",
        *_facts(result),
        *goal_bars(result),
    ]
    for figure, title in TITLES.items():
        if figure in result.rounds:
            parts += [f'<section id="{figure}">\n<h2>{escape(title)}</h2>', *drawings(figure, result)]
            parts += [*_table(result.values(figure)), "</section>"]
    return "\n".join([*parts, "</main>\n</body>\n</html>\n"])


def _facts(result: Result) -> Iterator[str]:
    yield "<dl>"
    yield from (f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in result.facts.items())
    yield "</dl>"
    yield from (f'<p class="note">{escape(note)}</p>' for note in result.notes)
    yield from (f'<p class="wrong">WRONG: {escape(words)}</p>' for words in result.wrong())


def goal_bars(result: Result) -> Iterator[str]:
    """Every goal as a bar that should end before the line; for goals from below the bar is turned around."""
    met = []
    for value in (value for figure in TITLES if figure in result.rounds for value in result.values(figure)):
        row = value.row
        if row.wrong or not row.goal():
            continue
        shares = [_share(value, number) for number in (value.median, value.least, value.most)]
        words = f"{row.shown(value.median)}, goal {row.goal()}"
        met.append(Bar(row.key, shares[0], min(shares), max(shares), words, missed=value.verdict() == "missed"))
    if met:
        yield "<section>\n<h2>Goals</h2>\n<figure>"
        yield bars(met, line=1.0)
        yield "<figcaption>Measured, as a share of the goal: met where the bar ends before the line.</figcaption>"
        yield "</figure>\n</section>"


def _share(value: Value, number: float) -> float:
    """Of the goal: 1 is just met, more is missed."""
    if value.row.at_most is not None:
        return number / value.row.at_most
    return (value.row.at_least or 0.0) / max(number, 1e-9)


def drawings(figure: str, result: Result) -> Iterator[str]:
    found = {value.row.name: value for value in result.values(figure)}
    if figure in BARS:
        caption, names = BARS[figure]
        sized = [name for name in found if any(name.startswith(f"{plain}_") and name[-1].isdigit() for plain in names)]
        drawn = [found[name] for name in (*names, *sized) if name in found]
        made = [Bar(_label(each), each.median, each.least, each.most, each.row.shown(each.median)) for each in drawn]
        yield f"<figure>{bars(made)}<figcaption>{escape(caption)}; lines show all rounds.</figcaption></figure>"
    if figure == "idle":
        parts = _memory(found)
        caption = f"Where the {sum(part.value for part in parts):,.0f} bytes of one connection are."
        yield f"<figure>{stack(parts)}<figcaption>{caption}</figcaption></figure>"
    if figure == "chat":
        caption = "From due to delivered, at a fixed rate."
        yield f"<figure>{curve(_delays(result))}<figcaption>{caption}</figcaption></figure>"


def _label(value: Value) -> str:
    return value.row.name.replace("_", " ").replace("cpu us", "").strip() or value.row.figure


def _memory(found: dict[str, Value]) -> list[Part]:
    """Where the bytes of an idle connection are; what is left over is a difference, not a measurement."""
    held = {name: found[f"{name}_bytes_per_connection"].median for name in ("core", "python") if _has(found, name)}
    parts = [Part("core (Rust)", held.get("core", 0.0)), Part("Python objects", held.get("python", 0.0))]
    if _has(found, "process"):
        rest = found["process_bytes_per_connection"].median - sum(held.values())
        parts.append(Part("allocators, SQLite", max(0.0, rest)))
    if _has(found, "kernel"):
        parts.append(Part("kernel", found["kernel_bytes_per_connection"].median))
    return parts


def _has(found: dict[str, Value], name: str) -> bool:
    return f"{name}_bytes_per_connection" in found


def _delays(result: Result) -> list[tuple[float, float]]:
    """(share, ms): medians of the rounds."""
    rounds = result.rounds["chat"]
    names = [name for name in rounds[0] if name.startswith("delivered at ")]
    return [
        (float(name.rpartition(" ")[2]), statistics.median(numbers[name] for numbers in rounds if name in numbers))
        for name in names
    ]


def _table(values: Sequence[Value]) -> Iterator[str]:
    heads = '<th>key</th><th class="number">median</th><th class="number">spread</th><th>goal</th><th></th>'
    yield f"<table>\n<tr>{heads}</tr>"
    for value in values:
        row, verdict = value.row, value.verdict()
        yield (
            f'<tr><td><code title="{escape(row.meaning)}">{escape(row.key)}</code></td>'
            f'<td class="number">{escape(row.shown(value.median))}</td><td class="number">{escape(spread(value))}</td>'
            f'<td>{escape(row.goal())}</td><td class="{verdict}">{verdict}</td></tr>'
        )
    yield "</table>"
    known = {row.key for row in ROWS}
    meanings = [value.row for value in values if value.row.key in known]
    yield '<details>\n<summary>What the keys mean</summary>\n<dl class="keys">'
    yield from (f"<div><dt><code>{row.key}</code></dt><dd>{escape(row.meaning)}</dd></div>" for row in meanings)
    yield "</dl>\n</details>"
