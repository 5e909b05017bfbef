"""How long `longlink serve` takes from exec to ready: wall time and CPU, with a fresh data folder and with an old one.

The first start is thrown away: it writes Python's compiled files, which belongs to the installation.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

from bench import machine
from bench.plan import OUT, Plan

STOP_S: Final = 15.0


class _Start(NamedTuple):
    wall_ms: float
    cpu_ms: float


def measure(plan: Plan, _: int) -> dict[str, float]:
    """Medians over plan.starts of each kind, and the slowest."""
    OUT.mkdir(parents=True, exist_ok=True)
    fresh, existing = [], []
    with tempfile.TemporaryDirectory(dir=OUT, prefix="start-") as folder:
        home = Path(folder).resolve()
        _start(home / "old")
        for number in range(plan.starts):
            fresh.append(_start(home / f"fresh{number}"))
            existing.append(_start(home / "old"))
    return {
        "fresh_wall_ms": statistics.median(start.wall_ms for start in fresh),
        "fresh_cpu_ms": statistics.median(start.cpu_ms for start in fresh),
        "fresh_slowest_ms": max(start.wall_ms for start in fresh),
        "existing_wall_ms": statistics.median(start.wall_ms for start in existing),
        "existing_cpu_ms": statistics.median(start.cpu_ms for start in existing),
        "existing_slowest_ms": max(start.wall_ms for start in existing),
    }


def _start(folder: Path) -> _Start:
    """One server from exec to its ready line, then stopped."""
    settings = {
        "LONGLINK_LISTEN_ADDRESS": "127.0.0.1:0",
        "LONGLINK_LISTEN_HTTP": "127.0.0.1:0",
        "LONGLINK_LOG_FORMAT": "json",
        "LONGLINK_DRAIN_DURATION_MS": "0",
    }
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "longlink", "serve", "--data", str(folder)],
        env={name: value for name, value in os.environ.items() if not name.startswith("LONGLINK_")} | settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _wait_ready(process)
        wall_ms = (time.perf_counter() - begun) * 1000
        return _Start(wall_ms, machine.cpu(process.pid).total_s * 1000)
    finally:
        process.terminate()
        process.communicate(timeout=STOP_S)


def _wait_ready(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("{") and json.loads(line).get("event") == "ready":
            return
    raise RuntimeError("the server did not become ready:\n" + "".join(said[-20:]))
