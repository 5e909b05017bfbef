"""What is written about settings says the same as the settings."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

from longlink.config import Config, describe, load
from longlink.config.settings import all_settings, to_toml

ROOT = Path(__file__).parents[2]


def test_the_generated_pages_and_the_example_are_fresh() -> None:
    spec = importlib.util.spec_from_file_location("generate_config", ROOT / "docs/generate_config.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.stale() == [], "run make docs"


def test_the_example_with_every_line_uncommented_is_exactly_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "longlink.toml"
    file.write_text(re.sub(r"^# (\w+ = )", r"\1", describe.example(), flags=re.MULTILINE))
    loaded = load(file, {}, {})
    assert loaded.config == Config()
    assert "default" not in loaded.origins.values()


def test_the_effective_settings_can_be_read_back_and_say_where_they_come_from(tmp_path: Path) -> None:
    first = load(None, {"LONGLINK_AUTH_AUDIENCE": 'a "b" \\ \n é', "LONGLINK_AUTH_KEYS": "x,y"}, {"--data": "d"})
    text = describe.effective(first)
    assert 'dir = "d"  # --data' in text
    file = tmp_path / "again.toml"
    file.write_text(text)
    assert load(file, {}, {}).config == first.config


def test_every_setting_is_documented_with_one_sentence() -> None:
    for setting in all_settings().values():
        assert setting.doc.endswith("."), setting.name
        assert f"`{setting.variable}`" in describe.reference()


@pytest.mark.parametrize("value", ["\x7f", "\x00\n\"\\'", "é", True, 3, ["a", "\t"], []])
def test_any_value_survives_toml(value: str | bool | int | list[str]) -> None:
    assert tomllib.loads(f"x = {to_toml(value)}")["x"] == value
