"""How long `longlink serve` takes from exec to ready: wall time and CPU, with a fresh data folder and with an old one.

The first start is thrown away: it writes Python's compiled files, which belongs to the installation. Read next:
../../testing/server.py.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

from longlink.bench import machine
from longlink.bench.run import Flag, Numbers, Run
from longlink.testing.server import RunningServer

NAME: Final = "start"
SUMMARY: Final = "how long `longlink serve` takes until it is ready"
ROUNDS: Final = 1
FLAGS: Final = (Flag("starts", 5, 1, "starts with a fresh data folder, and as many with an old one"),)


class _Start(NamedTuple):
    wall_ms: float
    cpu_ms: float


def measure(run: Run) -> Numbers:
    """Medians over the starts of each kind, and the slowest."""
    fresh, existing = [], []
    with tempfile.TemporaryDirectory(dir=run.home, prefix="start-") as folder:
        home = Path(folder)
        _start(home / "old")
        for number in range(run.sizes.starts):
            run.progress.phase(f"start: {number + 1} of {run.sizes.starts}")
            fresh.append(_start(home / f"fresh{number}"))
            existing.append(_start(home / "old"))
    return {f"fresh_{name}": value for name, value in _numbers(fresh).items()} | {
        f"existing_{name}": value for name, value in _numbers(existing).items()
    }


def _numbers(starts: list[_Start]) -> Numbers:
    wall_ms = [start.wall_ms for start in starts]
    cpu_ms = statistics.median(start.cpu_ms for start in starts)
    return {"wall_ms": statistics.median(wall_ms), "slowest_ms": max(wall_ms), "cpu_ms": cpu_ms}


def _start(folder: Path) -> _Start:
    """One server from exec to its ready line, then stopped."""
    server = RunningServer(folder, {"LONGLINK_DRAIN_DURATION_MS": "0"})
    begun = time.perf_counter()
    server.start()
    wall_ms, cpu_ms = (time.perf_counter() - begun) * 1000, machine.cpu(server.pid).total_s * 1000
    server.stop()
    return _Start(wall_ms, cpu_ms)
