"""A flame graph: where the CPU time of our server goes, kernel, core and Python told apart by colour.

    python -m bench.flame echo --out echo.svg          under the load of the figure; or fanout
    python -m bench.flame PID --title "My server"      of any process that runs

Samples with Linux perf by the CPU clock, unwinds with DWARF, and draws a picture that needs no script to be read:
width is time, a box stands on its caller. Read next: README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import html
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from longlink.bench import server
from longlink.bench.swarm import swarm
from longlink.protocol.codec import Encoding

SAMPLES_PER_S: Final = 499
STACK_BYTES: Final = 16_384
WIDTH: Final = 1200
ROW: Final = 18
MARGIN: Final = 16
HEADER: Final = 64
NARROWEST: Final = 0.6
"""Boxes narrower than so many pixels are left out; together they would be a blur."""
LETTER: Final = 6.6
OWNERS: Final = {"kernel": "#8fa6bf", "core": "#e0924c", "Python": "#6fae75", "libraries": "#c9b458"}
"""Whose code a box is, and its colour."""

SIZE: Final = 100
WARM_S: Final = 0.5


class _Load(NamedTuple):
    """The order of longlink.bench.load that starts it, and a title."""

    connections: int
    order: str
    arguments: dict[str, int]
    title: str


LOADS: Final = {
    "echo": _Load(1_000, "talk", {}, "Echo of 100 bytes, 1,000 connections in a closed loop"),
    "fanout": _Load(10_001, "publish", {"bursts": 2**62, "messages": 1}, "Fan-out of 100 bytes to 10,000 connections"),
}

Stack = tuple[tuple[str, str], ...]
"""From the outermost function to the one that ran: name and owner."""


@dataclass
class Box:
    """A function in one calling context; time is in samples."""

    name: str
    owner: str
    time: int = 0
    inner: dict[tuple[str, str], Box] = field(default_factory=dict)


def main() -> int:
    options = _options()
    if shutil.which("perf") is None:
        print("bench.flame: there is no perf; on Debian: apt install linux-perf", file=sys.stderr)
        return 1
    with _busy(options.what) as (pid, title):
        stacks = fold(sample(pid, options.seconds))
    if not stacks:
        print(f"bench.flame: process {pid} used no CPU that perf could see", file=sys.stderr)
        return 1
    options.out.write_text(draw(stacks, options.title or title))
    print(f"{options.out}: " + ", ".join(f"{owner} {share:.0%}" for owner, share in shares(stacks).items()))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.flame", description="Draw where a process spends its CPU.")
    parser.add_argument("what", metavar="echo|fanout|PID", help="a load of ours, or a process that runs")
    parser.add_argument("--seconds", type=float, default=5.0, help="of sampling (default: %(default)s)")
    parser.add_argument("--title", help="stands above the picture")
    parser.add_argument("--out", type=Path, default=Path("flame.svg"), help="where it goes (default: %(default)s)")
    options = parser.parse_args()
    if options.what not in LOADS and not options.what.isdecimal():
        parser.error(f"expected {', '.join(LOADS)} or the number of a process, got {options.what!r}")
    return options


@contextlib.contextmanager
def _busy(what: str) -> Iterator[tuple[int, str]]:
    """A process that has work for the block, and what it does."""
    if what.isdecimal():
        yield int(what), f"CPU time of process {what}"
        return
    load = LOADS[what]
    with server.core("--room") as serving, swarm(1, lambda _: None) as crowd:
        outline = {"plan": what, "host": "127.0.0.1", "port": serving.port, "source": "127.0.3.1", "size": SIZE}
        crowd.each("be", [outline | {"subprotocol": Encoding.BINARY.subprotocol}])
        crowd.all("connect", count=load.connections)
        crowd.all(load.order, **load.arguments)
        time.sleep(WARM_S)
        yield serving.pids[0], load.title


def sample(pid: int, seconds: float) -> Iterator[str]:
    """The lines of `perf script` for so long. Raises CalledProcessError when perf may not look."""
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/perf.data"
        record = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(SAMPLES_PER_S), "-o", data]
        record += ["--call-graph", f"dwarf,{STACK_BYTES}", "-p", str(pid), "--", "sleep", str(seconds)]
        subprocess.run(record, check=True)
        script = ["perf", "script", "-i", data, "-F", "comm,tid,ip,sym,dso"]
        told = subprocess.run(script, check=True, capture_output=True, text=True)
    yield from told.stdout.splitlines()


_FRAME: Final = re.compile(r"\s+[0-9a-f]+ (?P<name>.*) \((?P<place>[^()]*(?:\([^()]*\))?[^()]*)\)$")


def fold(lines: Iterable[str]) -> Counter[Stack]:
    """Samples by stack. A sample is a line that names the thread, its frames from the inside out, and an empty line."""
    stacks: Counter[Stack] = Counter()
    thread, frames = "", list[tuple[str, str]]()
    for line in [*lines, ""]:
        if not line.strip():
            if frames:
                stacks[((thread, "libraries"), *reversed(frames))] += 1
            thread, frames = "", []
        elif not line[0].isspace():
            thread = line.rsplit(None, 1)[0].strip()
        elif (frame := _FRAME.match(line)) is not None:
            frames.append((_short(frame["name"]), _owner(frame["place"])))
    return stacks


def _short(name: str) -> str:
    """A Rust path by its last two words, without hashes and generics."""
    plain = re.sub(r"::h[0-9a-f]{16}$", "", name)
    plain = re.sub(r"<impl ([\w:]+)>", r"\1", plain)
    return "::".join(plain.split("::")[-2:]) if "<" not in plain else plain


def _owner(place: str) -> str:
    if "kernel" in place or "vdso" in place:
        return "kernel"
    if "_core" in place and "cpython" not in place:
        return "core"
    return "Python" if "python" in place else "libraries"


def shares(stacks: Counter[Stack]) -> dict[str, float]:
    """The part of the time that ran in each owner's own code."""
    own: Counter[str] = Counter()
    for stack, times in stacks.items():
        own[stack[-1][1]] += times
    return {owner: own[owner] / own.total() for owner in OWNERS if own[owner]}


def draw(stacks: Counter[Stack], title: str) -> str:
    """The picture as SVG."""
    root = Box("all", "libraries")
    for stack, times in stacks.items():
        _grow(root, stack, times)
    depth = max(map(len, stacks))
    height = HEADER + depth * ROW + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        ' font-family="ui-sans-serif, sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fbfaf7"/>',
        f'<text x="{MARGIN}" y="24" font-size="15" fill="#222">{html.escape(title)}</text>',
        *_legend(shares(stacks)),
    ]
    scale, x = (WIDTH - 2 * MARGIN) / root.time, float(MARGIN)
    for box in _widest_first(root):
        parts += _boxes(box, x, height - MARGIN - ROW, scale)
        x += box.time * scale
    return "\n".join([*parts, "</svg>", ""])


def _grow(root: Box, stack: Stack, times: int) -> None:
    root.time += times
    box = root
    for name, owner in stack:
        box = box.inner.setdefault((name, owner), Box(name, owner))
        box.time += times


def _widest_first(box: Box) -> list[Box]:
    return sorted(box.inner.values(), key=lambda inner: (-inner.time, inner.name))


def _legend(parts: dict[str, float]) -> Iterator[str]:
    x = float(MARGIN)
    for owner, share in parts.items():
        words = f"{owner} {share:.0%}"
        yield f'<rect x="{x}" y="36" width="12" height="12" rx="2" fill="{OWNERS[owner]}"/>'
        yield f'<text x="{x + 18}" y="46" fill="#222">{words}</text>'
        x += 18 + len(words) * LETTER + 20


def _boxes(box: Box, x: float, y: float, scale: float) -> Iterator[str]:
    width = box.time * scale
    if width < NARROWEST:
        return
    words = html.escape(box.name)
    yield (
        f'<rect x="{x:.1f}" y="{y}" width="{max(0.4, width - 0.5):.1f}" height="{ROW - 1}" rx="2" '
        f'fill="{OWNERS[box.owner]}"><title>{words}</title></rect>'
    )
    letters = int((width - 6) / LETTER)
    if letters >= 3:
        shown = box.name if len(box.name) <= letters else box.name[: letters - 1] + "…"
        yield f'<text x="{x + 3:.1f}" y="{y + 12}" fill="#111">{html.escape(shown)}</text>'
    for inner in _widest_first(box):
        yield from _boxes(inner, x, y - ROW, scale)
        x += inner.time * scale


if __name__ == "__main__":
    sys.exit(main())
