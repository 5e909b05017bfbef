"""The server under measurement: a real process, its data on a disk, its limits out of the way of the load.

Only the limits that hold against one address or one client are lifted, since all load comes from this machine;
everything else is as shipped. Read next: src/longlink/testing/server.py.
"""

from __future__ import annotations

import contextlib
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from bench.plan import OUT
from bench.trust import trusting
from longlink.testing.server import RunningServer, run_server

LIFTED: Final = {
    "LONGLINK_CONNECTION_ACCEPT_RATE": "0",
    "LONGLINK_CONNECTION_MESSAGE_RATE": "0",
}
ANSWER_S: Final = 10.0


@contextlib.contextmanager
def server(settings: Mapping[str, str] | None = None) -> Iterator[RunningServer]:
    """A fresh server with an empty data folder, gone with the block."""
    OUT.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=OUT, prefix="data-") as folder,
        run_server(Path(folder).resolve(), LIFTED | dict(settings or {})) as running,
    ):
        yield running


def metrics(running: RunningServer) -> dict[str, float]:
    """The server's own numbers by name; those with labels are left out."""
    with urllib.request.urlopen(f"{running.http}/metrics", timeout=ANSWER_S, context=trusting()) as answer:
        lines = answer.read().decode().splitlines()
    plain = (line.split() for line in lines if line and not line.startswith("#") and "{" not in line)
    return {name: float(value) for name, value, *_ in plain}
