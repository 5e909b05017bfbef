"""Reads settings: defaults, then one TOML file, then the environment, then the command line; the last one wins.

Remembers where each value came from. Whatever it does not know is CONFIG_INVALID with the nearest name that it knows;
nothing is guessed and nothing passes silently. Opens no file but the TOML file. Read next: settings.py, check.py.
"""

from __future__ import annotations

import codecs
import difflib
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from longlink import errors
from longlink.config.check import check
from longlink.config.foreign import is_foreign
from longlink.config.sections import Config
from longlink.config.settings import LARGEST, PREFIX, Setting, Value, all_settings, section_docs
from longlink.errors import LonglinkError

DEFAULT_FILE: Final = Path("longlink.toml")
FLAGS: Final = {
    "--data": "data.dir",
    "--listen": "listen.address",
    "--http": "listen.http",
    "--operations": "listen.operations",
    "--workers": "server.workers",
}
"""Flags of the command line that are settings."""
MAY_HOLD_SECRETS: Final = frozenset({"auth.keys"})
"""Settings in whose place people may write a secret by mistake: an error does not show what came."""
LARGEST_FILE: Final = 1_048_576
"""Bytes of a settings file; anything above is some other file."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """origins: by setting name, where its value came from: "default", "FILE:LINE", a variable or a flag.

    skipped: variables that begin as ours do and that others have set, see foreign.py.
    """

    config: Config
    origins: dict[str, str]
    skipped: tuple[str, ...] = ()


def find(given: Path | None) -> Path | None:
    """The file to read: the one given, or longlink.toml of the working directory if there is one."""
    return given or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)


def load(file: Path | None, environ: Mapping[str, str], overrides: Mapping[str, str]) -> Loaded:
    """Read and check all settings. overrides: by flag (see FLAGS), as text.

    Raises CONFIG_INVALID naming the setting, what was expected and what came; INSECURE for an open door without TLS.
    """
    settings = all_settings()
    values: dict[str, Value] = {name: setting.default for name, setting in settings.items()}
    origins = dict.fromkeys(settings, "default")
    if file is not None:
        _take_file(file, settings, values, origins)
    skipped = _take_environment(environ, settings, values, origins)
    for flag, text in overrides.items():
        _take_text(settings[FLAGS[flag]], text, flag, values, origins)
    config = _build(values)
    check(config, origins)
    return Loaded(config, origins, skipped)


def _build(values: Mapping[str, Value]) -> Config:
    tree: dict[str, dict[str, Value]] = {}
    for name, value in values.items():
        section, _, key = name.partition(".")
        tree.setdefault(section, {})[key] = value
    return msgspec.convert(tree, Config)


# The file -------------------------------------------------------------------------------------------------------------


def _take_file(file: Path, settings: Mapping[str, Setting], values: dict[str, Value], origins: dict[str, str]) -> None:
    text = _read(file)
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = f"{file} is not TOML: {error}{_strange_character(text, str(error))}"
        raise LonglinkError(errors.CONFIG_INVALID, message) from None
    except RecursionError:
        raise LonglinkError(errors.CONFIG_INVALID, f"{file} is nested too deeply for a settings file") from None
    lines = _lines(text)
    for section, table in tree.items():
        where = _where(file, lines, section)
        if section not in section_docs():
            raise _unknown("section", section, where, section_docs())
        if not isinstance(table, dict):
            raise _wrong(section, where, f"a table, [{section}]", table)
        for key, value in table.items():
            _take_value(f"{section}.{key}", value, _where(file, lines, f"{section}.{key}"), settings, values, origins)


def _take_value(
    name: str,
    value: Any,
    where: str,
    settings: Mapping[str, Setting],
    values: dict[str, Value],
    origins: dict[str, str],
) -> None:
    setting = settings.get(name)
    if setting is None:
        raise _unknown("setting", name, where, settings)
    if not setting.accepts(value):
        raise _wrong(name, where, setting.kind, value)
    values[name] = value
    origins[name] = where


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            data = opened.read(LARGEST_FILE + 1)
    except OSError as error:
        raise LonglinkError(errors.CONFIG_INVALID, f"cannot read {file}: {error.strerror}") from None
    if len(data) > LARGEST_FILE:
        raise LonglinkError(errors.CONFIG_INVALID, f"{file} is larger than {LARGEST_FILE} bytes: not a settings file")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data:
        message = f"{file} is not UTF-8, it looks like UTF-16, as PowerShell's '>' writes it; save it as UTF-8"
        raise LonglinkError(errors.CONFIG_INVALID, message)
    try:
        # An editor on Windows may have put a byte order mark before the text; it is no part of it.
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"{file} is not UTF-8: {error.reason} at byte {error.start}; save it as UTF-8"
        raise LonglinkError(errors.CONFIG_INVALID, message) from None


def _strange_character(text: str, error: str) -> str:
    """A hint if the line of the error has a character that word processors put in place of a plain one."""
    line = re.search(r"at line (\d+)", error)
    written = text.split("\n")[int(line[1]) - 1] if line else ""
    found = _STRANGE.search(written)
    if found is None:
        return ""
    name = unicodedata.name(found[0], "a character without a name")
    return f"; the line has {found[0]!r} ({name}), where TOML wants a plain quotation mark, space or hyphen"


_STRANGE = re.compile("[\u2018-\u201f\u00ab\u00bb\u2032\u2033\uff02\u00a0\u200b\u2060\ufeff\u2010-\u2015\u2212]")

_HEADER = re.compile(r"\s*\[\s*([\w-]+)\s*\]")
_KEY = re.compile(r"\s*([\w.-]+)\s*=")


def _lines(text: str) -> dict[str, int]:
    """Where each section and key is written. tomllib does not say; an exotic spelling is merely not found."""
    found: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            section = header[1]
            found.setdefault(section, number)
        elif key := _KEY.match(line):
            found.setdefault(f"{section}.{key[1]}".lstrip("."), number)
    return found


def _where(file: Path, lines: Mapping[str, int], name: str) -> str:
    line = lines.get(name) or lines.get(name.partition(".")[0])
    return f"{file}:{line}" if line else str(file)


# Environment and command line -----------------------------------------------------------------------------------------


def _take_environment(
    environ: Mapping[str, str], settings: Mapping[str, Setting], values: dict[str, Value], origins: dict[str, str]
) -> tuple[str, ...]:
    """Returns the variables that are not ours."""
    variables = {setting.variable: setting for setting in settings.values()}
    skipped = []
    for variable, text in environ.items():
        if not variable.startswith(PREFIX):
            continue
        setting = variables.get(variable)
        if is_foreign(variable, text, known=setting is not None):
            skipped.append(variable)
        elif setting is None:
            raise _unknown("variable", variable, "the environment", variables)
        else:
            _take_text(setting, text, variable, values, origins)
    return tuple(sorted(skipped))


def _take_text(setting: Setting, text: str, origin: str, values: dict[str, Value], origins: dict[str, str]) -> None:
    try:
        value = setting.parse(text)
    except ValueError:
        raise _wrong(setting.name, origin, setting.kind, text) from None
    if not setting.accepts(value):
        raise _wrong(setting.name, origin, setting.kind, value)
    values[setting.name] = value
    origins[setting.name] = origin


# What is said when it is wrong ----------------------------------------------------------------------------------------


def _unknown(what: str, name: str, where: str, known: Iterable[str]) -> LonglinkError:
    plain = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower().replace("-", "_"), plain, 1, 0.5)
    hint = f"; did you mean {plain[near[0]]!r}?" if near else ""
    return LonglinkError(errors.CONFIG_INVALID, f"unknown {what} {name!r} in {where}{hint}")


def _wrong(name: str, where: str, expected: str, came: object) -> LonglinkError:
    if type(came) is int and came > LARGEST:
        expected += f" to {LARGEST}"
    shown = repr(came) if len(repr(came)) <= 60 else repr(came)[:57] + "..."
    if name in MAY_HOLD_SECRETS:
        shown = "that is not shown"
    message = f"{name} ({where}): expected {expected}, got {_type(came)} {shown}"
    return LonglinkError(errors.CONFIG_INVALID, message)


_TYPES: Final = {bool: "the truth value", int: "the number", float: "the fraction", str: "the text", list: "the list"}


def _type(value: object) -> str:
    return _TYPES.get(type(value), f"a {type(value).__name__}")
