"""Delays that load processes counted in buckets: added up, and read as quantiles.

A bucket is told by its middle and is at most 0.8 % wide. Pictures only grow, so what happened between two of them is
their difference. Read next: figures/chat.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from longlink.bench.run import Numbers
from longlink.bench.swarm import Answer

MARKS: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
CURVE: Final = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999, 1.0)
"""Where a curve of quantiles is drawn."""


def between(before: Sequence[Answer], after: Sequence[Answer], name: str) -> Counter[int]:
    """How often each delay (ns) was seen, by all load processes together."""
    seen: Counter[int] = Counter()
    for answer in after:
        seen.update({delay: count for delay, count in answer[name]})
    for answer in before:
        seen.subtract({delay: count for delay, count in answer[name]})
    return +seen


def quantile(seen: Mapping[int, int], share: float) -> float:
    """The delay in ms that this share of all did not exceed; 0 when nothing was seen."""
    wanted, so_far = share * sum(seen.values()), 0
    for delay in sorted(seen):
        so_far += seen[delay]
        if so_far >= wanted:
            return delay / 1e6
    return 0.0


def marks(seen: Mapping[int, int], prefix: str = "") -> Numbers:
    """The usual percentiles and the longest, in ms; without those for which too few delays were seen."""
    number = sum(seen.values())
    # A percentile needs a delay beyond it: p99 of 50 delays would be the longest one under another name.
    stand = {mark: share for mark, share in MARKS.items() if round(number * (1 - share), 6) >= 1}
    found = {f"{prefix}{mark}_ms": quantile(seen, share) for mark, share in stand.items()}
    return found | ({f"{prefix}max_ms": quantile(seen, 1.0)} if number else {})


def curve(seen: Mapping[int, int], name: str) -> Numbers:
    """Points for a plot, kept with the raw numbers of a round."""
    return {f"{name} at {share:g}": quantile(seen, share) for share in CURVE}
