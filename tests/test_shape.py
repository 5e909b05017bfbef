"""The house rules that a machine can hold: size, headers, names, and what the package offers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import longlink

ROOT: Final = Path(__file__).parents[1]
PACKAGE: Final = ROOT / "src/longlink"
MODULES: Final = [path for path in sorted(PACKAGE.rglob("*.py")) if "_pb" not in path.parts]
SCRIPTS: Final = [
    path
    for part in ("bench", "docs", "examples", "proto")
    for path in sorted((ROOT / part).rglob("*.py"))
    if ROOT / "bench/out" not in path.parents
]
TESTS: Final = sorted((ROOT / "tests").rglob("*.py"))
RUST: Final = [path for path in sorted((ROOT / "core").rglob("*.rs")) if "target" not in path.parts]

SOURCE_LINES: Final = 600
TEST_LINES: Final = 1_000
HEADER_LINES: Final = 12
BODY_LINES: Final = 40
METHODS: Final = 8
FORBIDDEN: Final = {"utils", "util", "common", "helpers", "helper", "manager", "misc", "base_class"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the first statement after the docstring to the last."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", MODULES + SCRIPTS, ids=name_of)
def test_a_module_opens_with_a_short_header(path: Path) -> None:
    text = path.read_text()
    if not text.strip() and path.name == "__init__.py":
        return
    header = ast.get_docstring(ast.parse(text), clean=False)
    assert header, "says what the module does, what it never does, what to read next"
    assert len(header.splitlines()) <= HEADER_LINES


@pytest.mark.parametrize("path", RUST, ids=name_of)
def test_a_rust_module_opens_with_a_header(path: Path) -> None:
    assert path.read_text().lstrip().startswith(("//!", "#!["))


@pytest.mark.parametrize("path", MODULES + SCRIPTS + RUST, ids=name_of)
def test_a_source_file_is_one_room(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= SOURCE_LINES


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_a_test_file_is_bounded(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= TEST_LINES


@pytest.mark.parametrize("path", MODULES + SCRIPTS, ids=name_of)
def test_a_function_fits_a_screen(path: Path) -> None:
    long = {
        each.name: body_lines(each) for each in functions(ast.parse(path.read_text())) if body_lines(each) > BODY_LINES
    }
    assert long == {}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_an_interface_is_narrow(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef) and any(
            isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases
        ):
            assert sum(isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)) for each in node.body) <= METHODS, (
                node.name
            )


@pytest.mark.parametrize("path", MODULES + SCRIPTS + TESTS + RUST, ids=name_of)
def test_no_name_says_nothing(path: Path) -> None:
    parts = {part.removesuffix(path.suffix).removeprefix("test_") for part in path.relative_to(ROOT).parts}
    assert parts.isdisjoint(FORBIDDEN)


@pytest.mark.parametrize("path", MODULES + SCRIPTS + TESTS + RUST, ids=name_of)
def test_nothing_is_left_for_later(path: Path) -> None:
    if path == Path(__file__):
        return
    marks = [line for line in path.read_text().splitlines() if any(mark in line for mark in ("TODO", "FIXME", "XXX"))]
    assert marks == []


def test_the_package_offers_what_all_says_and_no_more() -> None:
    assert longlink.__all__ == sorted(longlink.__all__)
    for name in longlink.__all__:
        assert getattr(longlink, name) is not None
    ours = {name for name, value in vars(longlink).items() if getattr(value, "__module__", "").startswith("longlink")}
    assert {name for name in ours if not name.startswith("_")} <= set(longlink.__all__)
    assert set(longlink.__all__) <= set(dir(longlink))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = longlink.nothing
