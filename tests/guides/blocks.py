"""Reads the code blocks of a page and runs them: Python with top-level await, shell commands, settings, JSON.

A page's blocks share their names and run in order, as a reader would type them. Read next: test_code_blocks.py.
"""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import CO_COROUTINE
from pathlib import Path
from typing import Any, Final

from longlink.config import load

_FENCE: Final = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
RUN: Final = frozenset({"python", "sh", "toml", "json"})
SHOWN: Final = frozenset(
    {"text", "console", "mermaid", "nginx", "ini", "caddyfile", "haproxy", "yaml", "dockerfile", "html", "diff"}
    | {"js", "javascript", "typescript", "go", "java", "php"}
)
"""Languages that are shown and not run here: another program's, or commands that need root."""
ENDLESS_S: Final = 3.0
"""How long a block may run that iterates over events, which has no end."""
BLOCK_S: Final = 30.0


@dataclass(frozen=True)
class Block:
    """language: the first word behind the fence; text: without the fence and the indentation that it has."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """The fenced code blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(
            page,
            text.count("\n", 0, match.start()) + 1,
            (match[2].split() or [""])[0],
            "".join(line.removeprefix(match[1]) for line in match[3].splitlines(keepends=True)),
        )
        for match in _FENCE.finditer(text)
    ]


async def run_python(block: Block, names: dict[str, Any]) -> None:
    """Run it with these names, which it may change. Raises what it raises."""
    code = compile(block.text, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    endless = "async for event in" in block.text
    try:
        async with asyncio.timeout(ENDLESS_S if endless else BLOCK_S):
            running = eval(code, names)
            if code.co_flags & CO_COROUTINE:
                await running
    except TimeoutError:
        if not endless:
            raise


def run_shell(script: str, folder: Path, environment: Mapping[str, str]) -> str:
    """Run it in bash, where any failing command ends it. Returns its output; raises AssertionError with all of it."""
    programs = str(Path(sys.executable).parent)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
        timeout=BLOCK_S,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout


def check_settings(block: Block, folder: Path) -> None:
    """Raises CONFIG_INVALID if they are not settings of ours, by name and type."""
    tomllib.loads(block.text)
    file = folder / "longlink.toml"
    file.write_text(block.text)
    load(file, {}, {})


def check_json(block: Block) -> None:
    """Raises ValueError."""
    json.loads(block.text)
