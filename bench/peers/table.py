"""Every server that is compared: what it is, how old, how it is had, how it is started, how one speaks to it.

A row is data and two functions. What was chosen for each is said in the head of its file in servers/. A new rival is a
new row. Read next: install.py, dialects.py, README.md.
"""

from __future__ import annotations

import functools
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from bench.peers import install
from bench.peers.dialects import Centrifugo, Dialect, Mqtt, Nchan, Room
from bench.peers.running import Command, free_port
from longlink.bench.floor import floor
from longlink.protocol.codec import Encoding

FLOOR: Final = "floor"
OURS: Final = "longlink"

WS: Final = "8.23.0"
BUFFERUTIL: Final = "4.1.0"
WEBSOCKETS: Final = "17.4"
PICOWS: Final = "2.3.1"
SOCKETIFY: Final = "0.0.31"
UVLOOP: Final = "0.23.0"
CENTRIFUGO: Final = "6.9.1"
GORILLA: Final = "1.5.3"
UWS: Final = "0.0.10"


class Peer(NamedTuple):
    """prepare: fetches and builds, raises install.MissingError. command: for a folder of its own, after prepare."""

    name: str
    title: str
    version: Callable[[], str]
    prepare: Callable[[], object]
    command: Callable[[Path], Command]
    dialect: Dialect
    remark: str = ""


def _python(script: str, home: Path) -> Command:
    return Command([str(install.pypi(*_PYPI)), str(install.SERVERS / script)])


def _node(home: Path) -> Command:
    folder = install.npm(*_NPM)
    copy = folder / "ws.mjs"
    copy.write_text((install.SERVERS / "ws.mjs").read_text())
    return Command(["node", str(copy)])


def _ours(home: Path) -> Command:
    return Command([sys.executable, "-m", "longlink", "bench", "serve", "--room"])


def _program(build: Callable[[], Path], home: Path) -> Command:
    return Command([str(build())])


def _floor_program() -> Path:
    """Raises MissingError without a C compiler."""
    made = floor()
    if made is None:
        raise install.MissingError("no C compiler (cc)")
    return Path(made.program)


def _nginx(config: str, home: Path) -> Command:
    port = free_port()
    path = _filled(config, home, port)
    program = str(install.DEBIAN / "usr/sbin/nginx")
    return Command([program, "-p", str(home), "-c", str(path)], install.debian_libraries(), port)


def _mosquitto(home: Path) -> Command:
    port = free_port()
    path = _filled("mosquitto.conf", home, port)
    return Command([str(install.DEBIAN / "usr/sbin/mosquitto"), "-c", str(path)], install.debian_libraries(), port)


def _centrifugo(home: Path) -> Command:
    port = free_port()
    return Command([str(_centrifugo_program()), "-c", str(_filled("centrifugo.json", home, port))], port=port)


def _ejabberd(home: Path) -> Command:
    """Erlang is started as its script does, which has fixed paths; without a node name, so that no epmd is needed."""
    port = free_port()
    root = install.DEBIAN / "usr/lib/erlang"
    binaries = next(iter(sorted(root.glob("erts-*/bin"))))
    env = {
        "ROOTDIR": str(root),
        "BINDIR": str(binaries),
        "EMU": "beam",
        "PROGNAME": "erl",
        "ERL_LIBS": str(next(iter(root.parent.glob("*-linux-gnu")))),
        "EJABBERD_CONFIG_PATH": str(_filled("ejabberd.yml", home, port)),
        "EJABBERD_LOG_PATH": str(home / "ejabberd.log"),
        "HOME": str(home),
    }
    mnesia = ["-mnesia", "dir", f'"{home}/tables"']
    options = ["-noinput", "-noshell", "+K", "true", "+P", "250000", *mnesia, "-s", "ejabberd"]
    return Command([str(binaries / "erlexec"), *options], install.debian_libraries() | env, port)


def _filled(config: str, home: Path, port: int) -> Path:
    """The configuration with what differs from run to run filled in."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    values = {
        "PORT": port,
        "HOME": home,
        "FILES": files,
        "CONNECTIONS": min(files - 100, 19_900),
        "USER": "root" if os.geteuid() == 0 else os.environ.get("USER", "nobody"),
        "MODULES": install.DEBIAN / "usr/lib/nginx/modules",
        "LUA": install.DEBIAN / "usr/share/lua/5.1",
        "SERVERS": install.SERVERS,
    }
    text = (install.SERVERS / config).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    path = home / config
    path.write_text(text)
    return path


def _nchan() -> None:
    """Debian's build of Nchan has one folder fixed, which nginx makes only when its parent is there."""
    install.debian("nginx", "libnginx-mod-nchan")
    try:
        Path("/var/lib/nginx").mkdir(exist_ok=True)
    except OSError as error:
        raise install.MissingError(f"Debian's Nchan needs the folder /var/lib/nginx: {error}") from None


_PYPI: Final = (f"websockets=={WEBSOCKETS}", f"picows=={PICOWS}", f"socketify=={SOCKETIFY}", f"uvloop=={UVLOOP}")
_NPM: Final = (f"ws@{WS}", f"bufferutil@{BUFFERUTIL}")
_PYPI_READY: Final = functools.partial(install.pypi, *_PYPI)
_uws_program: Final = functools.partial(install.uwebsockets, UWS)
_gorilla_program: Final = functools.partial(install.go_build, "gorilla")
_centrifugo_program: Final = functools.partial(
    install.go_install, f"github.com/centrifugal/centrifugo/v6@v{CENTRIFUGO}", "centrifugo"
)


def _is(version: str) -> Callable[[], str]:
    return lambda: version


def _debian(package: str, released: str) -> Callable[[], str]:
    return lambda: f"{install.debian_version(package)}, of {released}"


def _nginx_module(package: str, released: str) -> Callable[[], str]:
    return lambda: f"{_debian(package, released)()}; nginx {install.debian_version('nginx')}"


def _on_node() -> str:
    return f"{WS} with bufferutil {BUFFERUTIL}; Node {install.tool_version('node', '--version')}"


def _on_go(version: str) -> Callable[[], str]:
    return lambda: f"{version}; Go {install.tool_version('go', 'env', 'GOVERSION')}"


PEERS: Final = (
    Peer(
        FLOOR,
        "the floor: C on epoll",
        _is("this commit"),
        _floor_program,
        functools.partial(_program, _floor_program),
        Room(),
    ),
    Peer(
        OURS, "Longlink's connection core", _is("this commit"), lambda: None, _ours, Room(Encoding.BINARY.subprotocol)
    ),
    Peer(
        "uws",
        "uWebSockets in C++ (about 2024)",
        _is(f"sources in {install.UWS_CRATE} {UWS}, of about 2024"),
        _uws_program,
        functools.partial(_program, _uws_program),
        Room(),
        "newer ones are on GitHub only",
    ),
    Peer(
        "ws",
        "ws on Node",
        _on_node,
        functools.partial(install.npm, *_NPM),
        _node,
        Room(),
    ),
    Peer(
        "picows",
        "picows on uvloop",
        _is(f"{PICOWS}; uvloop {UVLOOP}"),
        _PYPI_READY,
        functools.partial(_python, "picows_room.py"),
        Room(),
    ),
    Peer(
        "websockets",
        "websockets on uvloop",
        _is(f"{WEBSOCKETS}; uvloop {UVLOOP}"),
        _PYPI_READY,
        functools.partial(_python, "websockets_room.py"),
        Room(),
    ),
    Peer(
        "socketify",
        "socketify (uWebSockets from Python)",
        _is(SOCKETIFY),
        _PYPI_READY,
        functools.partial(_python, "socketify_room.py"),
        Room(),
    ),
    Peer(
        "gorilla",
        "gorilla/websocket, Go",
        _on_go(GORILLA),
        _gorilla_program,
        functools.partial(_program, _gorilla_program),
        Room(),
        "all CPUs",
    ),
    Peer(
        "nchan",
        "Nchan, nginx (2023)",
        _nginx_module("libnginx-mod-nchan", "January 2023"),
        _nchan,
        functools.partial(_nginx, "nchan.conf"),
        Nchan(),
        "Debian's, old",
    ),
    Peer(
        "lua",
        "nginx with Lua (2022)",
        _nginx_module("libnginx-mod-http-lua", "2022"),
        functools.partial(install.debian, "nginx", "libnginx-mod-http-lua"),
        functools.partial(_nginx, "lua.conf"),
        Room(),
        "Debian's, old",
    ),
    Peer(
        "centrifugo",
        "Centrifugo",
        _on_go(CENTRIFUGO),
        _centrifugo_program,
        _centrifugo,
        Centrifugo(),
        "all CPUs; an echo is a publication to its own channel and the answer to it",
    ),
    Peer(
        "mosquitto",
        "Mosquitto, MQTT over TCP (2021)",
        _debian("mosquitto", "June 2021"),
        functools.partial(install.debian, "mosquitto"),
        _mosquitto,
        Mqtt(),
        "Debian's, old",
    ),
    Peer(
        "ejabberd",
        "ejabberd, MQTT over TCP (2023)",
        _debian("ejabberd", "January 2023"),
        functools.partial(install.debian, "ejabberd"),
        _ejabberd,
        Mqtt("any@localhost"),
        "Debian's, old; all CPUs",
    ),
)
