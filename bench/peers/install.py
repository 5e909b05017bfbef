"""Fetches and builds the servers of other makes, into bench/out/peers and nowhere else; what is there already is kept.

Debian's packages are unpacked, not installed: no service starts, nothing of the system changes, no root is needed.
The package clients are those of the machine, with its settings. Raises MissingError, with a reason to act on.
Read next: table.py, which says who needs what.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

OUT: Final = Path("bench/out")
HOME: Final = (OUT / "peers").resolve()
SERVERS: Final = Path(__file__).resolve().parent / "servers"
DEBIAN: Final = HOME / "debian"
FETCH_S: Final = 900.0

UWS_CRATE: Final = "libuwebsockets-sys"
_UWS_MANIFEST: Final = """\
[package]
name = "sources"
version = "0.0.0"
edition = "2021"

[lib]
path = "nothing.rs"

[dependencies]
{crate} = "={version}"

[workspace]
"""


class MissingError(Exception):
    """This server cannot be had here, and why."""


def debian(*packages: str) -> None:
    """Fetch the packages and what they need beyond this system, and unpack them."""
    if _is_done("debian", *packages):
        return
    _tool("apt-get", "no apt-get here")
    _tool("dpkg-deb", "no dpkg-deb here")
    _update_apt()
    _run(*_apt(), "--download-only", "--no-install-recommends", "--reinstall", "--yes", "install", *packages)
    for archive in sorted((HOME / "apt/cache/archives").glob("*.deb")):
        _run("dpkg-deb", "--extract", str(archive), str(DEBIAN))
    _done("debian", *packages)


def debian_version(package: str) -> str:
    """As Debian counts it, without the epoch."""
    found = sorted((HOME / "apt/cache/archives").glob(f"{package}_*.deb"))
    return found[-1].name.split("_")[1].rpartition("%3a")[2] if found else "unknown"


def debian_libraries() -> dict[str, str]:
    """The environment in which unpacked programs find their libraries."""
    found = sorted({str(path.parent) for path in DEBIAN.glob("**/lib/*-linux-gnu/lib*.so*")})
    return {"LD_LIBRARY_PATH": ":".join(found)}


def tool_version(*command: str) -> str:
    """What a tool of this machine says to that."""
    if shutil.which(command[0]) is None:
        return "unknown"
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return said.strip().removeprefix("go").removeprefix("v") or "unknown"


def npm(*packages: str) -> Path:
    """The folder with these modules, where Node finds them for a server that lies in it. Their scripts do not run."""
    folder = HOME / "npm"
    if not _is_done("npm", *packages):
        _tool("node", "no node here")
        _tool("npm", "no npm here")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text("{}\n")
        _run("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder), *packages)
        _done("npm", *packages)
    return folder


def pypi(*packages: str) -> Path:
    """The interpreter of an environment with these packages; one environment for all, apart from the project's."""
    python = HOME / "python/bin/python"
    if not _is_done("pypi", *packages):
        uv = str(Path(sys.executable).with_name("uv"))
        _tool(uv, "no uv beside this Python: run make setup")
        if not python.exists():
            _run(uv, "venv", "--quiet", "--python", sys.executable, str(python.parents[1]))
        _run(uv, "pip", "install", "--quiet", "--python", str(python), *packages)
        _done("pypi", *packages)
    return python


def go_build(folder: str) -> Path:
    """A program of ours from servers/."""
    program = HOME / "go/bin" / folder
    if not _is_done("go", folder, (SERVERS / folder / "main.go").read_text()):
        _tool("go", "no Go toolchain here")
        _run("go", "build", "-o", str(program), ".", folder=SERVERS / folder, env=_go())
        _done("go", folder, (SERVERS / folder / "main.go").read_text())
    return program


def go_install(module: str, program: str) -> Path:
    """A program from the module proxy, by `module@version`; the first time takes minutes."""
    if not _is_done("go", module):
        _tool("go", "no Go toolchain here")
        _run("go", "install", module, env=_go())
        _done("go", module)
    return HOME / "go/bin" / program


def uwebsockets(version: str) -> Path:
    """The C++ server on the sources of uWebSockets, which a crate carries with it."""
    source = (SERVERS / "uws_room.cpp").read_text()
    folder = HOME / "uws"
    if not _is_done("uws", version, source):
        for tool in ("cargo", "cc", "c++"):
            _tool(tool, f"no {tool} here")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "Cargo.toml").write_text(_UWS_MANIFEST.format(crate=UWS_CRATE, version=version))
        (folder / "nothing.rs").touch()
        _run("cargo", "vendor", "--quiet", "vendor", folder=folder)
        _compile_uws(folder, folder / "vendor" / UWS_CRATE / "uWebSockets")
        _done("uws", version, source)
    return folder / "room"


def _compile_uws(folder: Path, sources: Path) -> None:
    sockets = sources / "uSockets/src"
    flags = ["-O3", "-march=native", "-flto", "-DLIBUS_NO_SSL", "-DUWS_NO_ZLIB", f"-I{sockets}"]
    parts = [*sorted(sockets.glob("*.c")), sockets / "eventing/epoll_kqueue.c"]
    _run("cc", *flags, "-c", *map(str, parts), folder=folder)
    objects = [str(folder / f"{part.stem}.o") for part in parts]
    server = str(SERVERS / "uws_room.cpp")
    _run("c++", "-std=c++20", *flags, f"-I{sources / 'src'}", server, *objects, "-o", str(folder / "room"))


@functools.cache
def _update_apt() -> None:
    """Lists of our own, so that it works before anybody has run `apt-get update`."""
    (HOME / "apt/lists/partial").mkdir(parents=True, exist_ok=True)
    (HOME / "apt/cache/archives/partial").mkdir(parents=True, exist_ok=True)
    _run(*_apt(), "update")


def _apt() -> list[str]:
    settings = {
        "Dir::State::Lists": HOME / "apt/lists",
        "Dir::Cache": HOME / "apt/cache",
        "Debug::NoLocking": 1,
        "APT::Sandbox::User": "root",
    }
    return ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in settings.items())]


def _go() -> dict[str, str]:
    return {"GOPATH": str(HOME / "go"), "GOFLAGS": "-modcacherw -buildvcs=false", "GOBIN": str(HOME / "go/bin")}


def _tool(name: str, reason: str) -> None:
    if shutil.which(name) is None:
        raise MissingError(reason)


def _run(*command: str, folder: Path | None = None, env: dict[str, str] | None = None) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | (env or {}),
            capture_output=True,
            text=True,
            timeout=FETCH_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise MissingError(f"{command[0]} took more than {FETCH_S:.0f} s") from None
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or ["no reason"]
        raise MissingError(f"{' '.join(command[:2])}: {words[-1][:200]}")


def _stamp(*what: str) -> Path:
    name = "-".join(part for part in what if "\n" not in part)
    return HOME / "stamps" / "".join(letter if letter.isalnum() or letter in ".-" else "_" for letter in name)


def _is_done(*what: str) -> bool:
    stamp = _stamp(*what)
    return stamp.exists() and stamp.read_text() == "\0".join(what)


def _done(*what: str) -> None:
    stamp = _stamp(*what)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text("\0".join(what))
