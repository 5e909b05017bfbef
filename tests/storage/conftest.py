"""The backends that the suite runs on: a new one is one more line in OPENERS."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from longlink.storage.sqlite import open_store

from .scene import Opener, Scene

OPENERS: Final[dict[str, Opener]] = {
    "sqlite": open_store,
}


@pytest.fixture(params=OPENERS)
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Scene:
    """A place where nothing is stored yet."""
    return Scene(OPENERS[request.param], tmp_path / "data")
