"""The unit of the guide, as systemd itself judges it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

GUIDE: Final = Path(__file__).parents[1] / "docs/guides/systemd.md"


def unit() -> str:
    return GUIDE.read_text().split("```ini\n")[1].split("```")[0]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    program = shutil.which("true")
    assert program is not None
    file = tmp_path / "longlink.service"
    # Root, because the user of the guide is not there; `true`, because the program of the guide is not there.
    text = unit().replace("/opt/longlink/bin/longlink", program).replace("User=longlink", "User=root")
    file.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True, timeout=60)
    found = [line for line in done.stderr.splitlines() if "longlink" in line]
    assert (done.returncode, found) == (0, [])


def test_the_unit_uses_what_the_server_speaks() -> None:
    lines = unit().splitlines()
    for wanted in ("Type=notify", "ExecReload=/bin/kill -HUP $MAINPID", "KillMode=mixed"):
        assert wanted in lines
