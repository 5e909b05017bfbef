"""Drawings as SVG text: bars with their spread, a curve of quantiles, one stacked bar.

Never measures and knows no figure; colours come from the page's style. Read next: style.css.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final, NamedTuple

WIDTH: Final = 760
LABEL: Final = 282
"""Room for the names of bars."""
VALUE: Final = 190
"""Room for numbers behind bars."""
LINE: Final = 26
THICK: Final = 14
FARTHEST: Final = 2.0
"""Bars are cut at so many times the line."""


class Bar(NamedTuple):
    """value, between least and most of all rounds; words stand behind it."""

    name: str
    value: float
    least: float
    most: float
    words: str
    missed: bool = False


class Part(NamedTuple):
    name: str
    value: float


def bars(drawn: Sequence[Bar], line: float | None = None) -> str:
    """Bars from 0, each with a line from its lowest to its highest; line: where all should end."""
    longest = max((bar.most for bar in drawn), default=0.0) or 1.0
    if line is not None:
        longest = min(max(longest, line * 1.05), line * FARTHEST)
    room = WIDTH - LABEL - VALUE
    parts = []
    for number, bar in enumerate(drawn):
        top = number * LINE + 4
        middle = top + THICK / 2
        length, low, high = (min(each / longest, 1.0) * room for each in (bar.value, bar.least, bar.most))
        kind = "bar missed" if bar.missed else "bar"
        behind = (room if line is not None else max(length, high)) + 8
        parts += [
            f'<text class="name" x="{LABEL - 8}" y="{middle + 4:.1f}" text-anchor="end">{escape(bar.name)}</text>',
            f'<rect class="{kind}" x="{LABEL}" y="{top}" width="{length:.1f}" height="{THICK}" rx="2"/>',
            f'<path class="spread" d="M{LABEL + low:.1f} {middle}H{LABEL + high:.1f}"/>',
            f'<text class="value" x="{LABEL + behind:.1f}" y="{middle + 4:.1f}">{escape(bar.words)}</text>',
        ]
    height = len(drawn) * LINE + 4
    if line is not None:
        at = LABEL + line / longest * room
        parts.append(f'<path class="goal" d="M{at:.1f} 0V{height}"/>')
    return _drawing(height, parts, "bars")


def stack(drawn: Sequence[Part]) -> str:
    """One bar of parts one behind the other, with a legend below."""
    whole = sum(part.value for part in drawn) or 1.0
    parts, left = [], 0.0
    for number, part in enumerate(drawn):
        width = part.value / whole * WIDTH
        words = f"{part.name}: {part.value:,.0f} B"
        parts.append(
            f'<rect class="part{number}" x="{left:.1f}" y="4" width="{width:.1f}" height="{LINE}">'
            f"<title>{escape(words)}</title></rect>"
        )
        top = LINE + 26
        at = number * WIDTH / len(drawn)
        parts.append(f'<rect class="part{number}" x="{at:.1f}" y="{top - 10}" width="11" height="11" rx="2"/>')
        parts.append(f'<text class="name" x="{at + 17:.1f}" y="{top}">{escape(words)}</text>')
        left += width
    return _drawing(LINE + 36, parts, "stacked bar")


def curve(points: Sequence[tuple[float, float]]) -> str:
    """(share, ms) over a scale that gives each further nine the same room, ms on a logarithmic one."""
    left, right, top, bottom = 60, WIDTH - 30, 10, 240
    shown = [(share, max(ms, 1e-3)) for share, ms in points if share < 1.0]
    if not shown:
        return _drawing(LINE, [], "no points")
    nines = max(-math.log10(1 - share) for share, _ in shown) or 1.0
    low = math.floor(math.log10(min(ms for _, ms in shown)))
    high = max(low + 1, math.ceil(math.log10(max(ms for _, ms in shown))))

    def across(share: float) -> float:
        return left - math.log10(1 - share) / nines * (right - left)

    def up(ms: float) -> float:
        return bottom - (math.log10(ms) - low) / (high - low) * (bottom - top)

    parts = []
    for power in range(low, high + 1):
        at = up(10.0**power)
        parts.append(f'<path class="grid" d="M{left} {at:.1f}H{right}"/>')
        parts.append(f'<text class="name" x="{left - 8}" y="{at + 4:.1f}" text-anchor="end">{10.0**power:g} ms</text>')
    for share in (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999):
        if share <= max(each for each, _ in shown):
            at = across(share)
            parts.append(f'<path class="grid" d="M{at:.1f} {top}V{bottom}"/>')
            parts.append(
                f'<text class="name" x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">{share * 100:g} %</text>'
            )
    path = "L".join(f"{across(share):.1f} {up(ms):.1f}" for share, ms in shown)
    parts.append(f'<path class="curve" d="M{path}"/>')
    for share, ms in shown:
        words = f"{share * 100:g} %: {ms:.2f} ms"
        parts.append(
            f'<circle class="dot" cx="{across(share):.1f}" cy="{up(ms):.1f}" r="3"><title>{words}</title></circle>'
        )
    return _drawing(bottom + 26, parts, "curve of quantiles")


def _drawing(height: float, parts: Sequence[str], what: str) -> str:
    inside = "\n".join(parts)
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{what}">\n{inside}\n</svg>'
