"""The command line: one file a command, found in COMMANDS and imported only when it is asked for.

A command file offers SUMMARY (a line), arguments(parser) and run(options) -> exit code. Exit codes: 0 done, 1 failed,
2 wrong use. Errors of the table become one line on stderr and what to do; --debug shows where they came from.
Read next: serve.py.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # As typing has it, whose import takes longer than a signal may wait.
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import Final, NoReturn

SERVERS: Final = ("serve", "demo")
"""Commands that run until a signal ends them."""
COMMANDS: Final = (
    "serve",
    "demo",
    "token",
    "chat",
    "send",
    "tail",
    "broadcast",
    "sessions",
    "top",
    "end",
    "config",
    "backup",
    "restore",
    "doctor",
    "decode",
    "bench",
)
"""In the order of --help; each is a module of this package."""
SERVER_MODULES: Final = frozenset(
    {
        "apsw",
        "cryptography",
        "httptools",
        "joserfc",
        "prometheus_client",
        "prompt_toolkit",
        "starlette",
        "uvicorn",
        "uvloop",
    }
)
"""What the extra `server` installs (pyproject.toml)."""
USAGE: Final = """usage: longlink COMMAND [options]

Instant messaging server: an acknowledged message is never lost, duplicated or reordered.

commands:
{commands}

longlink COMMAND --help explains a command; longlink --version shows the version.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code and never raises, apart from argparse's SystemExit(2) for wrong use."""
    words = list(sys.argv[1:] if argv is None else argv)
    if argv is None and words[:1] and words[0] in SERVERS:
        from longlink.ops import signals

        signals.take()
    _open_standard_streams()
    try:
        return _guard(words)
    except KeyboardInterrupt:
        return 130
    except ModuleNotFoundError as missing:
        if missing.name not in SERVER_MODULES:
            raise
        complain(f"longlink: {words[0]} needs the server's libraries: pip install 'longlink[server]'")
        return 1
    except NotOpenError as error:
        complain(f"longlink: {error}")
        return 1
    except BrokenPipeError:
        # The reader has gone (`| head`).
        discard()
        return 0
    except OSError as error:
        if "--debug" in words:
            raise
        complain(f"longlink: {error}")
        discard()
        return 1


def _open_standard_streams() -> None:
    """Stand in for the standard streams that the program was started without.

    A descriptor that is not open would go to the next file or socket, and what is meant for people would end in that.
    """
    from typing import TextIO, cast

    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)

    sys.stdin = sys.stdin or cast("TextIO", _Closed("standard input"))
    sys.stdout = sys.stdout or cast("TextIO", _Closed("standard output"))
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115 - for the life of the program


def complain(text: str) -> None:
    """One or more lines for people. Nobody may be there to read them, and that changes no exit code."""
    try:
        sys.stderr.write(f"{text}\n")
    except OSError:
        # Python would try again when it flushes stderr at its end, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def discard() -> None:
    """Nothing goes to standard output any more; Python would fail again when it flushes what is left at its end."""
    if (stdout := sys.__stdout__) is not None and sys.stdout is stdout:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())


class NotOpenError(Exception):
    """A command needs a standard stream that the program was started without."""


class _Closed:
    """Stands for such a stream, of which Python makes None: reading or writing it fails with its name."""

    closed = False

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, _: str) -> NoReturn:
        raise NotOpenError(f"{self._name} is closed, and this command needs it")

    def flush(self) -> None:
        """Nothing was written, so there is nothing to do."""


def _guard(words: list[str]) -> int:
    from longlink.errors import CONFIG_INVALID, INSECURE, LonglinkError

    try:
        return _dispatch(words)
    except LonglinkError as error:
        if "--debug" in words:
            raise
        complain(f"longlink: {error.name}: {error.message}\n          {error.row.remedy}")
        return 2 if error.row in (CONFIG_INVALID, INSECURE) else 1


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(USAGE.format(commands="\n".join(_summary(name) for name in COMMANDS)))
        return 0
    if words[0] in ("-V", "--version"):
        return _version()
    if words[0] not in COMMANDS:
        return _unknown(words[0])
    import argparse

    command = _module(words[0])
    parser = argparse.ArgumentParser(prog=f"longlink {words[0]}", description=f"{command.SUMMARY}.", allow_abbrev=False)
    command.arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    code: int = command.run(parser.parse_args(words[1:]))
    sys.stdout.flush()
    return code


def _module(name: str) -> ModuleType:
    from importlib import import_module

    return import_module(f"longlink.cli.{name}")


def _summary(name: str) -> str:
    try:
        return f"  {name:<9} {_module(name).SUMMARY}"
    except ModuleNotFoundError as missing:
        if missing.name not in SERVER_MODULES:
            raise
        return f"  {name:<9} (pip install 'longlink[server]')"


def _version() -> int:
    from importlib.metadata import version

    sys.stdout.write(f"longlink {version('longlink')}\n")
    return 0


def _unknown(word: str) -> int:
    import difflib

    near = difflib.get_close_matches(word, COMMANDS, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(COMMANDS)}"
    complain(f"longlink: no command {word!r}; {hint}")
    return 2
