"""The floor of floor.c, compiled where it is needed: what this kernel takes at least for the same work.

Read next: floor.c; figures/echo.py.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("floor.c")
MISSING: Final = "no C compiler (cc): the floor was not measured, so ratios to it are null"


class Floor:
    """A program in a folder of its own, which goes with this object."""

    def __init__(self, compiler: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="longlink-floor-")
        self.program = str(Path(self._folder.name) / "floor")
        command = [compiler, "-O2", "-D_GNU_SOURCE", "-o", self.program, str(SOURCE)]
        subprocess.run(command, check=True)  # noqa: S603 - our own source


@functools.cache
def floor() -> Floor | None:
    """Compiled once; None where there is no C compiler."""
    compiler = shutil.which("cc")
    return Floor(compiler) if compiler else None
