"""How much is measured: one plan for a result that counts, and one to see that everything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

OUT: Final = Path("bench/out")
"""Raw numbers, yardsticks and data folders of the runs; not kept by git. On a disk, because commits must reach one."""


class Plan(NamedTuple):
    """Times in seconds, sizes in connections; rounds: how often each figure is measured, in turn with the others."""

    name: str
    rounds: int
    idle: int
    idle_settle_s: float
    tls: int
    load_warm_s: float
    load_s: float
    latency_s: float
    starts: int
    echo_clients: int
    echo_warm_s: float
    echo_s: float


FULL: Final = Plan("full", 3, 10_000, 10.0, 2_000, 2.0, 6.0, 20.0, 7, 1_000, 1.0, 3.0)
QUICK: Final = Plan("quick", 1, 2_000, 6.0, 500, 1.0, 3.0, 4.0, 1, 1_000, 0.3, 1.0)
