"""From the numbers of all rounds to a page: ratios to the floor of the same round, absolute values, what is missing.

Never measures. Read next: figures.py; README.md, "How to read it".
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from bench.peers.figures import FIGURES, Numbers, Plan
from bench.peers.table import FLOOR, Peer

Rounds = Mapping[str, Sequence[Numbers]]
"""By name of the server, one mapping a round, in the order of the rounds."""

MEMORY: Final = "idle_bytes"
NONE: Final = "-"


class Outcome(NamedTuple):
    """missing: by title of the server, why it was not measured."""

    facts: Mapping[str, str]
    plan: Plan
    peers: Sequence[Peer]
    rounds: Rounds
    missing: Mapping[str, str]


def page(outcome: Outcome) -> str:
    """The whole result in Markdown."""
    peers = [peer for peer in outcome.peers if peer.name in outcome.rounds]
    parts = ["# Longlink and its rivals", "", *(f"- {name}: {value}" for name, value in outcome.facts.items()), ""]
    parts += [
        "Median of the rounds, in brackets the lowest and the highest. What the rows and columns are, and what they"
    ]
    parts += ["do not say: ../peers/README.md.", "", "## Against the floor", ""]
    parts += [
        "CPU of all processes of a server, divided by the floor's in the same round; memory in bytes a connection.",
        "",
    ]
    parts += [
        *_table(outcome, peers, _against),
        "",
        "## In numbers",
        "",
        "CPU in us; memory in bytes a connection.",
        "",
    ]
    parts += [*_table(outcome, peers, _plain), "", "## Versions", "", "| server | version | to know |", "|---|---|---|"]
    parts += [f"| {peer.title} | {peer.version()} | {peer.remark or NONE} |" for peer in peers]
    if outcome.missing:
        parts += ["", "## Not measured", "", *(f"- {title}: {reason}" for title, reason in outcome.missing.items())]
    return "\n".join([*parts, ""])


def ratios(name: str, key: str, rounds: Rounds) -> list[float]:
    """To the floor of the same round; nothing where there is none."""
    pairs = zip(rounds[name], rounds.get(FLOOR, ()), strict=False)
    return [theirs[key] / least[key] for theirs, least in pairs if least[key] > 0]


def flat(rounds: Rounds) -> dict[str, float]:
    """Medians by "server.figure", those of the ratios by "server.figure_to_floor"."""
    found = {f"{name}.{key}": [each[key] for each in seen] for name, seen in rounds.items() for key in FIGURES}
    found |= {f"{name}.{key}_to_floor": ratios(name, key, rounds) for name in rounds for key in FIGURES}
    return {key: round(statistics.median(values), 4) for key, values in found.items() if values}


def _table(outcome: Outcome, peers: Sequence[Peer], cell: Callable[[str, str, Rounds], str]) -> list[str]:
    few, many = f"{outcome.plan.few:,}", f"{outcome.plan.first + outcome.plan.many:,}"
    heads = [head.format(few=few, many=many) for head in FIGURES.values()]
    lines = [f"| server | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for peer in peers:
        cells = [cell(peer.name, key, outcome.rounds) for key in FIGURES]
        lines.append(f"| {peer.title} | {' | '.join(cells)} |")
    return lines


def _against(name: str, key: str, rounds: Rounds) -> str:
    if key == MEMORY:
        return _plain(name, key, rounds)
    return _spread(ratios(name, key, rounds), 2)


def _plain(name: str, key: str, rounds: Rounds) -> str:
    values = [each[key] for each in rounds[name]]
    return _spread(values, 0 if key == MEMORY else 2)


def _spread(values: Sequence[float], digits: int) -> str:
    if not values:
        return NONE
    middle = f"{statistics.median(values):,.{digits}f}"
    return f"{middle} ({min(values):,.{digits}f} - {max(values):,.{digits}f})" if len(values) > 1 else middle
