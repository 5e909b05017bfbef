"""Writes the tables and pictures of docs/performance.md from results that were kept in bench/results.

The text between them is written by people. `python docs/generate_performance.py` writes; with --check it only says what
is stale, and exits with 1 if anything is. A new result: `longlink bench all --json > bench/results/performance.json`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from longlink.bench import page as pages
from longlink.bench.page.plots import Bar, bars
from longlink.bench.result import Result, Value
from longlink.bench.table import TITLES

HERE: Final = Path(__file__).parent
PAGE: Final = HERE / "performance.md"
PICTURES: Final = HERE / "pictures"
RESULTS: Final = HERE.parent / "bench/results"
PEERS_DRAWN: Final = {
    "idle_bytes": "{:,.0f} B",
    "echo_us": "{:,.2f} us",
    "fanout_many_us": "{:,.2f} us",
}
"""By figure, how its numbers are written."""
_BLOCK: Final = re.compile(r"(<!-- (?P<name>[\w:]+): generated -->\n).*?(<!-- end -->)", re.DOTALL)


def load(name: str) -> dict[str, Any]:
    """A kept result."""
    kept: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    return kept


def result(kept: Mapping[str, Any]) -> Result:
    """A kept result as the bench knows it."""
    return Result(kept["facts"], kept["rows"], kept["notes"])


def table(values: Sequence[Value]) -> Iterator[str]:
    yield "| | measured | all rounds | goal | |"
    yield "|---|---|---|---|---|"
    for value in values:
        row, same = value.row, value.least == value.most
        spread = "" if same else f"{row.shown(value.least).split()[0]} - {row.shown(value.most).split()[0]}"
        verdict = value.verdict().replace("missed", "**missed**")
        yield f"| {row.meaning} | {row.shown(value.median)} | {spread} | {row.goal()} | {verdict} |"


def facts(kept: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"- {name}: {value}" for name, value in kept["facts"].items())
    yield from (f"- note: {note}" for note in kept["notes"])


def peers() -> Iterator[str]:
    """The tables of the page that the comparison made, without its head."""
    text = (RESULTS / "peers.md").read_text("utf-8")
    yield text[text.index("\n## Against the floor") :].replace("\n## ", "\n### ").removeprefix("\n")


def blocks() -> dict[str, Callable[[], Iterator[str]]]:
    """What stands between the marks of the page, by name."""
    kept, million, push = load("performance"), load("million"), load("push-100000")
    measured = result(kept)
    made: dict[str, Callable[[], Iterator[str]]] = {
        "facts": lambda: facts(kept),
        "peers": peers,
        "peers_facts": lambda: iter([(RESULTS / "peers.md").read_text("utf-8").split("\n\n")[1]]),
        "million": lambda: table(result(million).values("idle")),
        "million_facts": lambda: facts(million),
        "push": lambda: table([value for value in result(push).values("idle") if "broadcast" in value.row.key]),
        "push_facts": lambda: facts(push),
    }
    for figure in measured.rounds:
        made[figure] = lambda figure=figure: table(measured.values(figure))  # type: ignore[misc]
    return made


def text() -> str:
    """The page with its blocks as they should be now. Raises KeyError for a mark of an unknown name."""
    known = blocks()
    return _BLOCK.sub(
        lambda found: found[1] + "\n" + "\n".join(known[found["name"]]()) + "\n\n" + found[3],
        PAGE.read_text("utf-8"),
    )


def pictures() -> dict[str, str]:
    """By file name. Each carries its colours, light and dark, for it is shown alone."""
    measured = result(load("performance"))
    drawn = {"goals": "".join(pages.goal_bars(measured))}
    drawn |= {figure: "".join(pages.drawings(figure, measured)) for figure in TITLES if figure in measured.rounds}
    cut = {name: _svg(html) for name, html in drawn.items() if "<svg" in html}
    cut |= {f"peers-{key}": bars(list(_peer_bars(key, words))) for key, words in PEERS_DRAWN.items()}
    return {f"performance-{name}.svg": _alone(svg) for name, svg in cut.items()}


def _peer_bars(key: str, words: str) -> Iterator[Bar]:
    """Servers from the least to the most; the page has them in the order of the result."""
    rows = load("peers")["rows"]
    table = (RESULTS / "peers.md").read_text("utf-8").partition("## Against the floor")[2].partition("\n## ")[0]
    titles = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")][1:]
    seen = {title: sorted(each[key] for each in rounds) for title, rounds in zip(titles, rows.values(), strict=True)}
    for name, values in sorted(seen.items(), key=lambda item: item[1][len(item[1]) // 2]):
        middle = values[len(values) // 2]
        yield Bar(name, middle, values[0], values[-1], words.format(middle))


def _svg(html: str) -> str:
    return html[html.rindex("<svg") : html.rindex("</svg>") + len("</svg>")]


def _alone(svg: str) -> str:
    style = files(pages).joinpath("style.css").read_text("utf-8")
    size = re.search(r'viewBox="0 0 (\d+) (\d+)"', svg)
    width, height = (size[1], size[2]) if size else ("760", "300")
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
    back = f'<rect width="{width}" height="{height}" fill="var(--paper)"/>'
    return re.sub(r"<svg([^>]*)>", f"{head}\\1><style>{style}</style>{back}", svg, count=1) + "\n"


def main() -> int:
    check = "--check" in sys.argv
    wanted = {PAGE: text()} | {PICTURES / name: svg for name, svg in pictures().items()}
    stale = [path for path, made in wanted.items() if not path.is_file() or path.read_text("utf-8") != made]
    for path in stale:
        if not check:
            path.write_text(wanted[path], "utf-8")
        sys.stdout.write(f"{'stale' if check else 'written'}: {path.relative_to(HERE.parent)}\n")
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main())
