"""`longlink serve` where it is expected not to start, and what it must say then. Read next: test_08_operations.py."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from longlink.errors import Row

END_S = 20.0


def serve(data: Path, settings: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a server that ends by itself. Its ports are free ones unless the settings say otherwise."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LONGLINK_")}
    ports = {f"LONGLINK_LISTEN_{name}": "127.0.0.1:0" for name in ("ADDRESS", "HTTP", "OPERATIONS")}
    return subprocess.run(
        [sys.executable, "-m", "longlink", "serve", "--data", str(data)],
        env=inherited | ports | dict(settings or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=END_S,
    )


def one_clear_line(ended: subprocess.CompletedProcess[str], row: Row) -> str:
    """What went wrong, in one line of stderr; below it what to do about it, and nothing else.

    The log may say before what the start has done: events of the level info, one a line.
    """
    lines = [line for line in ended.stderr.splitlines() if not line.startswith('{"time": ')]
    assert '"level": "error"' not in ended.stderr
    assert len(lines) == 2, ended.stderr
    assert lines[0].startswith(f"longlink: {row.name}: "), lines[0]
    assert lines[1].strip() == row.remedy
    assert ended.stdout == ""
    return lines[0]
