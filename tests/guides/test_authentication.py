"""The keys and the programs of the guide on authentication: what each language prints is a token that is accepted."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import Final

import pytest

from longlink.access.tokens import Verifier
from longlink.config import Auth

from .blocks import blocks_of

GUIDE: Final = Path(__file__).parents[2] / "docs/guides/authentication.md"
PROGRAMS: Final[dict[str, tuple[str, list[str]]]] = {
    "js": ("token.js", ["node", "token.js"]),
    "go": ("token.go", ["go", "run", "token.go"]),
    "java": ("Token.java", ["java", "Token.java"]),
    "php": ("token.php", ["php", "token.php"]),
}
"""By language: the file, and the command that runs it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the keys that the first commands of the guide make."""
    made = tmp_path_factory.mktemp("host")
    commands = next(block.text for block in blocks_of(GUIDE) if block.language == "sh")
    subprocess.run(["bash", "-euc", commands], cwd=made, check=True, capture_output=True, timeout=60)
    return made


def test_every_key_that_the_guide_makes_can_be_trusted(folder: Path) -> None:
    entries = [str(folder / f"{name}.pem") for name in ("host", "ec", "rsa")] + [f"secret:{folder / 'host.secret'}"]
    for entry in entries:
        Verifier.from_config(Auth(keys=[entry]), folder)
    Verifier.from_config(Auth(keys=entries), folder)


@pytest.mark.parametrize("language", PROGRAMS)
def test_the_token_of_a_program_is_accepted(folder: Path, language: str) -> None:
    file, command = PROGRAMS[language]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    (block,) = [block for block in blocks_of(GUIDE) if block.language == language]
    (folder / file).write_text(block.text)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    verifier = Verifier.from_config(
        Auth(keys=[str(folder / "host.pem"), str(folder / "rsa.pem")], audience="my-app"), folder
    )
    assert verifier.verify(done.stdout.strip(), time.time()).user == "alice"
