"""The client reads no time of day: its places are times that the server gave, its waits are by the clock of the loop.

So a device whose clock is a day off behaves as any other. (TLS looks at the clock, for certificates.)
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest

from longlink import client

ROOT: Final = Path(client.__file__).parent
MODULES: Final = sorted(ROOT.rglob("*.py"))
CLOCKS: Final = {"now", "utcnow", "today", "fromtimestamp", "utcfromtimestamp"}


def time_of_day(source: str) -> list[str]:
    """Where a module imports `time`, or asks datetime for now."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name == "time"]
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            found.append(node.module)
        elif isinstance(node, ast.Attribute) and node.attr in CLOCKS:
            found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_of_the_client_reads_the_time_of_day(module: Path) -> None:
    assert time_of_day(module.read_text()) == []


@pytest.mark.parametrize(
    "source", ["import time", "from time import monotonic", "datetime.now(UTC)", "x = datetime.datetime.utcnow()"]
)
def test_a_module_that_did_would_be_found(source: str) -> None:
    assert time_of_day(source)
