"""Settings for people: the effective ones, the example file and the reference page, all from the structs.

Writes no file; docs/generate_config.py does. Read next: settings.py.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

from longlink.config.load import Loaded
from longlink.config.settings import LARGEST, Setting, all_settings, section_docs, to_toml

_EXAMPLE_HEAD = """\
# Settings of Longlink. Every line is a default: uncomment what you want to change.
# `longlink serve` reads longlink.toml of the working directory, or the file of --config.
# Each key is also an environment variable, LONGLINK_SECTION_KEY; flags of the command line win over both.
# `longlink config` shows what is in force and where it comes from.
"""

_REFERENCE_HEAD = f"""\
# Settings

Generated from `src/longlink/config/sections.py`; do not edit.

One TOML file, `longlink.toml` of the working directory or the one that `--config` names. Each key is also a variable
of the environment, which wins over the file; the flags `--data`, `--listen`, `--http` and `--workers` win over both. An
unknown key, a value of the wrong type and settings that contradict one another stop the start with `config_invalid`,
which names the place. `longlink config` shows what is in force and where each value comes from.

In the environment a list is written with commas and a truth value as `true` or `false`. Whole numbers go up to
{LARGEST:,}. Paths are relative to the working directory.

Variables that Kubernetes and Docker set for a service named `longlink` or `longlink-...`, such as
`LONGLINK_SERVICE_HOST` or `LONGLINK_PORT=tcp://...`, are skipped.

SIGHUP reads file and environment again. The last column says which settings it changes in a running server. The log
names in `restart_needed` those that have changed and need a restart. Settings that are wrong change nothing
(`reload_failed`).
"""


def effective(loaded: Loaded) -> str:
    """All settings as TOML, each with its origin behind it. Secrets are files, so none can be shown."""

    def line(setting: Setting) -> str:
        value = getattr(getattr(loaded.config, setting.section), setting.key)
        return f"{setting.key} = {to_toml(value)}  # {loaded.origins[setting.name]}"

    return _by_section(lambda setting: [line(setting)], with_docs=False)


def example() -> str:
    """longlink.toml.example: every setting with its default, commented out."""
    return _EXAMPLE_HEAD + "\n" + _by_section(_example_lines, with_docs=True)


def reference() -> str:
    """docs/reference/config.md."""
    parts = [_REFERENCE_HEAD]
    for section, settings in _sections():
        parts.append(f"\n## [{section}]\n\n{section_docs()[section]}\n\n")
        parts.append("| key | value | default | meaning | changes by |\n| --- | --- | --- | --- | --- |\n")
        parts.extend(_reference_row(setting) for setting in settings)
    return "".join(parts)


def _reference_row(setting: Setting) -> str:
    names = f"`{setting.key}`<br>`{setting.variable}`"
    return f"| {names} | {setting.kind} | `{to_toml(setting.default)}` | {setting.doc} | {setting.reload.value} |\n"


def _example_lines(setting: Setting) -> list[str]:
    return [f"# {setting.doc}", f"# {setting.key} = {to_toml(setting.default)}"]


def _sections() -> list[tuple[str, list[Setting]]]:
    return [(name, list(group)) for name, group in groupby(all_settings().values(), lambda each: each.section)]


def _by_section(lines: Callable[[Setting], list[str]], *, with_docs: bool) -> str:
    parts = []
    for section, settings in _sections():
        head = [f"# {section_docs()[section]}"] if with_docs else []
        body = [line for setting in settings for line in lines(setting)]
        parts.append("\n".join([*head, f"[{section}]", *body]))
    return "\n\n".join(parts) + "\n"
