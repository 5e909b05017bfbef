"""The settings in force, which can be read again while the server runs.

Most settings take effect at a start only. A reload takes the few that can change in a running server, and reports the
others by name, so that nobody believes them to be in force. Settings that are wrong change nothing.
Read next: load.py; sections.py says which settings can be reloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from msgspec import structs

from longlink.config.load import MAY_HOLD_SECRETS, Loaded
from longlink.config.sections import Config
from longlink.config.settings import Reload, Setting, Value, all_settings, to_toml


class Changes(NamedTuple):
    """What a reload has found, each as "log.level (info → debug)"; only by name where people may write a secret.

    taken: in force now.
    waiting: in force after a restart; counted against what is in force, so each reload reports them again.
    """

    taken: list[str]
    waiting: list[str]


class Settings:
    """read: gives the settings as they are now, and is called again for each reload. Raises what it raises."""

    def __init__(self, read: Callable[[], Loaded]) -> None:
        self._read = read
        loaded = read()
        self.config = loaded.config
        self.skipped = loaded.skipped

    def read_again(self) -> Changes:
        """Raises CONFIG_INVALID, INSECURE; then everything stays as it is."""
        now = self._read().config
        changed = [each for each in all_settings().values() if _value(self.config, each) != _value(now, each)]
        taken = [each for each in changed if each.reload is Reload.VALUE]
        changes = Changes(
            [self._shown(each, now) for each in taken],
            [self._shown(each, now) for each in changed if each not in taken],
        )
        for each in taken:
            section = structs.replace(getattr(self.config, each.section), **{each.key: _value(now, each)})
            self.config = structs.replace(self.config, **{each.section: section})
        return changes

    def _shown(self, setting: Setting, now: Config) -> str:
        if setting.name in MAY_HOLD_SECRETS:
            return setting.name
        before, after = to_toml(_value(self.config, setting)), to_toml(_value(now, setting))
        return f"{setting.name} ({before} → {after})"


def _value(config: Config, setting: Setting) -> Value:
    found: Value = getattr(getattr(config, setting.section), setting.key)
    return found
