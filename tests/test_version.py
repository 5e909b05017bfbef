"""One version everywhere: the package, the core, the crates and what the client says of itself."""

from __future__ import annotations

import tomllib
from importlib.metadata import version
from pathlib import Path

from longlink import _core
from longlink.client.handshake import AGENT

ROOT = Path(__file__).parents[1]


def test_every_place_names_the_same_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    crates = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    assert {crates, _core.__version__, version("longlink"), AGENT.removeprefix("longlink-python/")} == {project}
