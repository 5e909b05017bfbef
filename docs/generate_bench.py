"""Writes docs/reference/bench.md from the table of figures: every key of `longlink bench ... --json`.

`python docs/generate_bench.py` writes; with --check it only says whether the page is stale, and exits with 1 if it is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from longlink.bench.table import TITLES, rows_of

PAGE: Final = Path(__file__).parent / "reference" / "bench.md"
NOTE: Final = "<!-- Made by docs/generate_bench.py; do not edit. -->"
INTRO: Final = """\
`longlink bench FIGURE --json` writes one flat object. Every number stands under its key, `figure.name`: the median of
the rounds, or null when it was not asked for or could not be measured; `notes` says why. Goals are for the project's
own machine of two CPUs, in a full run; "right" marks numbers that decide the exit code: when one misses, the server
did something wrong. How it is measured: [bench/README.md](../../bench/README.md).

Beside the numbers there are `facts` (date, commit, machine, kernel, versions, command), `notes` (texts) and `rows` (by
figure, the raw numbers of each round, more of them than have a key). Keys of `fanout` are for the first of
`--receivers`; for each further number N there are the same keys with `_N` at their end."""


def page() -> str:
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield from (NOTE, "# Figures of the benchmark", "", INTRO)
    for figure, title in TITLES.items():
        yield from ("", f"## {title}", "", "| key | unit | meaning | goal |", "|---|---|---|---|")
        for row in rows_of(figure):
            goal = f"{row.goal()}, right" if row.wrong else row.goal()
            yield f"| `{row.key}` | {row.unit} | {row.meaning} | {goal} |"


def main() -> int:
    check = "--check" in sys.argv
    if PAGE.is_file() and PAGE.read_text("utf-8") == page():
        return 0
    if not check:
        PAGE.write_text(page(), "utf-8")
    sys.stdout.write(f"{'stale' if check else 'written'}: docs/reference/{PAGE.name}\n")
    return 1 if check else 0


if __name__ == "__main__":
    sys.exit(main())
