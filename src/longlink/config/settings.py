"""One setting as a value: its name, its type in words, its default, and how its value is read and written.

Made from the structs of sections.py by introspection, so that nothing is said twice. Reads no file and no environment.
Read next: load.py, describe.py.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import inspect

from longlink.config.sections import Config

PREFIX: Final = "LONGLINK_"
LARGEST: Final = 2**31 - 1
"""Of any whole number: 24 days in ms, 2 GiB in bytes. Every layer and the core can hold it."""
TRUE: Final = ("true", "yes", "on", "1")
FALSE: Final = ("false", "no", "off", "0")

Value = str | int | bool | list[str]


class Reload(enum.Enum):
    """What SIGHUP does for a setting that has changed."""

    NONE = "restart"
    """Nothing: it takes effect at the next start."""
    VALUE = "SIGHUP"
    """The new value is in force."""
    FILE = "SIGHUP for the file, restart for its name"
    """The files that it names are read again. Other names take effect at the next start."""


@dataclass(frozen=True, slots=True)
class Setting:
    """section.key of the TOML file; kind is the type in words, doc one sentence."""

    section: str
    key: str
    kind: str
    default: Value
    doc: str
    parse: Callable[[str], Value]
    accepts: Callable[[object], bool]
    reload: Reload

    @property
    def name(self) -> str:
        return f"{self.section}.{self.key}"

    @property
    def variable(self) -> str:
        """The name in the environment."""
        return f"{PREFIX}{self.section}_{self.key}".upper()


def all_settings() -> dict[str, Setting]:
    """Every setting by its name, in the order of sections.py."""
    config = inspect.type_info(Config)
    found: dict[str, Setting] = {}
    for section in config.fields if isinstance(config, inspect.StructType) else ():
        fields = section.type.fields if isinstance(section.type, inspect.StructType) else ()
        for field in fields:
            setting = _setting(section.name, field)
            found[setting.name] = setting
    return found


def section_docs() -> dict[str, str]:
    """What each section is for."""
    docs = {}
    for section in msgspec.structs.fields(Config):
        docs[section.name] = (section.type.__doc__ or "").partition("] ")[2]
    return docs


def to_toml(value: Value) -> str:
    """A value as TOML; a JSON string is a TOML basic string, apart from DEL, which JSON leaves bare."""
    if isinstance(value, list):
        return "[" + ", ".join(map(to_toml, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else json.dumps(value).replace("\x7f", "\\u007f")


def _setting(section: str, field: inspect.Field) -> Setting:
    declared = field.type
    doc, reload = "", Reload.NONE
    if isinstance(declared, inspect.Metadata):
        doc = str((declared.extra_json_schema or {}).get("description", ""))
        reload = Reload[(declared.extra or {}).get("reload", "NONE")]
        declared = declared.type
    default: Any = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    kind, parse, accepts = _kind(declared)
    return Setting(section, field.encode_name, kind, default, doc, parse, accepts, reload)


def _kind(declared: inspect.Type) -> tuple[str, Callable[[str], Value], Callable[[object], bool]]:
    """The type in words, how it is read from text, and whether a value from TOML is of it."""
    if isinstance(declared, inspect.IntType):
        least = declared.ge or 0
        return f"a whole number from {least}", int, lambda value: type(value) is int and least <= value <= LARGEST
    if isinstance(declared, inspect.BoolType):
        return "true or false", _parse_bool, lambda value: isinstance(value, bool)
    if isinstance(declared, inspect.ListType):
        return "a list of texts", _parse_list, _is_list
    pattern = declared.pattern if isinstance(declared, inspect.StrType) else None
    if pattern is None:
        return "text", str, lambda value: isinstance(value, str)
    words = pattern.strip("^$()").split("|")
    return (
        "one of " + ", ".join(words),
        str,
        lambda value: isinstance(value, str) and bool(re.fullmatch(pattern, value)),
    )


def _parse_bool(text: str) -> bool:
    if text.lower() not in TRUE + FALSE:
        raise ValueError(text)
    return text.lower() in TRUE


def _parse_list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _is_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
