"""Generates the Python message classes and their type stubs from longlink.proto.

Run it after every change of the schema; the output is committed, so that installing needs no compiler. With --check it
writes nothing and fails when the committed output is stale. Read next: longlink.proto.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
OUTPUT: Final = HERE.parent / "src" / "longlink" / "protocol" / "_pb"
SCHEMA: Final = "longlink.proto"
INIT: Final = '"""Generated from proto/longlink.proto by proto/generate.py; do not edit."""\n'


def generate() -> dict[str, bytes]:
    """Contents of every generated file, by name. Raises SystemExit with the compiler's own words when it fails."""
    plugin = shutil.which("protoc-gen-mypy", path=str(Path(sys.executable).parent)) or shutil.which("protoc-gen-mypy")
    if plugin is None:
        raise SystemExit("protoc-gen-mypy is missing: install the dev dependencies")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "grpc_tools.protoc", f"--plugin=protoc-gen-mypy={plugin}"]
        command += [f"--proto_path={HERE}", f"--python_out={folder}", f"--mypy_out=quiet:{folder}", SCHEMA]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode != 0:
            raise SystemExit(f"protoc failed on {SCHEMA}:\n{done.stderr}")
        files = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
    return {"__init__.py": INIT.encode(), **files}


def stale(files: dict[str, bytes]) -> list[str]:
    """Names of files that are missing, different or left over in the output folder."""
    there = {path.name: path.read_bytes() for path in OUTPUT.iterdir() if path.is_file()} if OUTPUT.is_dir() else {}
    return sorted(name for name in files.keys() | there.keys() if files.get(name) != there.get(name))


def write(files: dict[str, bytes]) -> None:
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for name in stale(files):
        if name in files:
            (OUTPUT / name).write_bytes(files[name])
        else:
            (OUTPUT / name).unlink()


def main() -> int:
    parser = argparse.ArgumentParser(description="generate the message classes from longlink.proto")
    parser.add_argument("--check", action="store_true", help="write nothing, fail when the committed output is stale")
    files = generate()
    if not parser.parse_args().check:
        write(files)
        return 0
    old = stale(files)
    if old:
        sys.stderr.write(f"stale in {OUTPUT}: {', '.join(old)}; run python proto/generate.py\n")
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main())
