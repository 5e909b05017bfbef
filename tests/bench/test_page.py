"""The page: well-formed, complete, and nothing that a result says can break out of it."""

from __future__ import annotations

from xml.etree import ElementTree

from longlink.bench.page import html
from longlink.bench.page.plots import Bar, bars, curve, stack
from longlink.bench.result import Result
from longlink.bench.table import ROWS, TITLES


def parsed(page: str) -> ElementTree.Element:
    """The page is XML as well as HTML, so a parser that forgives nothing can read it."""
    return ElementTree.fromstring(page.partition("\n")[2])


def whole() -> Result:
    """Every number there is, in two rounds, some of them beyond their goal."""
    rounds: dict[str, list[dict[str, float]]] = {}
    for figure in TITLES:
        names = [row.name for row in ROWS if row.figure == figure]
        names += ["delivered at 0", "delivered at 0.9", "delivered at 1"] if figure == "chat" else []
        rounds[figure] = [{name: 1.5 * turn for name in names} for turn in (1, 100)]
    rounds["fanout"][0]["cpu_us_per_delivery_50000"] = 3.0
    return Result({"machine": "<b> & 'co'"}, rounds, ["a <note>"])


def test_a_page_is_well_formed_and_shows_every_number() -> None:
    page = html(whole())
    root = parsed(page)
    shown = {cell.text for cell in root.iter("code")}
    assert {row.key for row in ROWS} <= shown
    assert len(list(root.iter("svg"))) >= 6
    assert "<note>" not in page
    assert "<b>" not in page


def test_a_page_needs_nothing_from_elsewhere() -> None:
    page = html(whole())
    assert not any(word in page for word in ("<script", "http:", "https:", "url(", "@import", "src="))
    assert "prefers-color-scheme: dark" in page


def test_a_page_of_one_figure_is_well_formed() -> None:
    root = parsed(html(Result({}, {"idle": [{"lost": 0.0}]}, [])))
    assert [section.get("id") for section in root.iter("section")] == ["idle"]


def test_drawings_stand_zeros_and_nothing() -> None:
    for drawing in (
        bars([]),
        bars([Bar("x", 0.0, 0.0, 0.0, "0")], line=1.0),
        stack([]),
        curve([]),
        curve([(0.0, 0.0)]),
    ):
        ElementTree.fromstring(drawing)
