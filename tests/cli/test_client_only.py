"""An installation without the extra `server`: the client works, and the server's commands say what to install."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

from longlink.cli import SERVER_MODULES

ROOT: Final = Path(__file__).parents[2]
WITHOUT: Final = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {sorted(SERVER_MODULES)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT + code], capture_output=True, text=True, timeout=30, check=False
    )


def test_the_client_is_there_in_all_its_parts() -> None:
    done = _python(
        "import longlink, longlink.client.store, longlink.client.transport.websocket\n"
        "import longlink.client.transport.stream, longlink.client.transport.tcp\n"
        "[getattr(longlink, name) for name in longlink.__all__ if name != 'Server']"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_command_of_the_server_says_what_to_install() -> None:
    done = _python("from longlink.cli import main; sys.exit(main(['serve', '--listen', '127.0.0.1:0']))")
    assert done.returncode == 1
    assert done.stderr == "longlink: serve needs the server's libraries: pip install 'longlink[server]'\n"


def test_help_lists_every_command_all_the_same() -> None:
    done = _python("from longlink.cli import COMMANDS, main; main(['--help']); print(*COMMANDS)")
    assert done.returncode == 0
    commands = done.stdout.splitlines()[-1].split()
    assert [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")] == commands


def test_the_modules_are_those_of_the_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = {one.split(">")[0] for one in project["optional-dependencies"]["server"]}
    homes = packages_distributions()
    assert {homes[module][0].replace("_", "-") for module in SERVER_MODULES} == extra
