from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from longlink.errors import TABLE

ROOT = Path(__file__).parents[2]
SPEC = (ROOT / "proto" / "SPEC.md").read_text("utf-8")


def test_the_reference_pages_are_those_of_the_code() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_error_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "errors.md").read_text("utf-8")
    for row in TABLE.values():
        assert f"| {row.code} | `{row.name}` |" in page


def test_the_specification_names_only_codes_of_the_table() -> None:
    named = {(int(code), name) for code, name in re.findall(r"\b(4\d{3}) `(\w+)`", SPEC)}
    assert len(named) > 4
    assert named <= {(row.code, row.name) for row in TABLE.values()}


def test_every_link_of_the_specification_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", SPEC):
        assert (ROOT / "proto" / target).exists(), target
