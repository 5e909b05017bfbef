"""Settings that are read again: what is in force, what waits for a restart, and what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from longlink import errors
from longlink.config import Settings, load
from longlink.config.reload import Changes
from longlink.config.settings import Reload, all_settings
from longlink.errors import LonglinkError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "longlink.toml"
    made.write_text("[connection]\nmessage_rate = 5\n")
    return made


def of(file: Path) -> Settings:
    return Settings(lambda: load(file, {}, {}))


def test_what_has_not_changed_is_no_change(file: Path) -> None:
    assert of(file).read_again() == Changes([], [])


def test_a_setting_that_can_change_is_in_force_and_the_others_wait_by_name(file: Path) -> None:
    settings = of(file)
    file.write_text('[connection]\nmessage_rate = 500\n[log]\nlevel = "debug"\n[auth]\nkeys = ["a.pem"]\n')
    taken, waiting = settings.read_again()
    assert taken == ['log.level ("info" → "debug")']
    assert waiting == ["auth.keys", "connection.message_rate (5 → 500)"]
    assert (settings.config.log.level, settings.config.connection.message_rate) == ("debug", 5)


def test_a_secret_that_was_written_in_place_of_its_path_is_not_reported(file: Path) -> None:
    settings = of(file)
    file.write_text('[auth]\nkeys = ["0123456789abcdef0123456789abcdef"]\n')
    assert "0123456789abcdef" not in str(settings.read_again())


def test_what_waits_is_reported_by_each_reload_and_what_was_taken_by_one(file: Path) -> None:
    settings = of(file)
    file.write_text('[connection]\nmessage_rate = 500\n[log]\nlevel = "debug"\n')
    settings.read_again()
    assert settings.read_again() == Changes([], ["connection.message_rate (5 → 500)"])
    file.write_text('[connection]\nmessage_rate = 5\n[log]\nlevel = "debug"\n')
    assert settings.read_again() == Changes([], [])


@pytest.mark.parametrize("text", ["[connection\n", "[connection]\nmessage_rate = -1\n", '[log]\nlevel = "loud"\n'])
def test_settings_that_are_wrong_change_nothing(file: Path, text: str) -> None:
    settings = of(file)
    before = settings.config
    file.write_text(text)
    with pytest.raises(LonglinkError) as caught:
        settings.read_again()
    assert caught.value.row is errors.CONFIG_INVALID
    assert settings.config is before


def test_only_these_settings_change_in_a_running_server() -> None:
    found = {name: each.reload for name, each in all_settings().items() if each.reload is not Reload.NONE}
    assert found == {
        "listen.tls_certificate": Reload.FILE,
        "listen.tls_key": Reload.FILE,
        "auth.keys": Reload.FILE,
        "log.level": Reload.VALUE,
    }
