"""What the documents say of this repository is there: files and tests that they name, and pages that they link to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "proto").rglob("*.md")])
NAMED_TEST: Final = re.compile(r"`(tests/[\w./-]+?)(?:::(\w+))?`")
LINK: Final = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_test_that_a_page_names_is_there(page: Path) -> None:
    for file, test in NAMED_TEST.findall(page.read_text()):
        path = ROOT / file
        assert path.exists(), f"{file} is not there"
        assert not test or re.search(rf"^(async )?def {test}\b", path.read_text(), re.MULTILINE), f"{file}::{test}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert missing == []
