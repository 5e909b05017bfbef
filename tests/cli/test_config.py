"""`longlink config`."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from longlink.cli import main


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_it_prints_what_is_in_force_and_from_where(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("longlink.toml").write_text('[log]\nlevel = "debug"\n')
    monkeypatch.setenv("LONGLINK_DRAIN_DURATION_MS", "7")
    assert main(["config", "--http", "127.0.0.1:1"]) == 0
    out = capsys.readouterr().out
    assert 'level = "debug"  # longlink.toml:2\n' in out
    assert "duration_ms = 7  # LONGLINK_DRAIN_DURATION_MS\n" in out
    assert 'http = "127.0.0.1:1"  # --http\n' in out
    assert tomllib.loads(out)["drain"] == {"duration_ms": 7, "reconnect_after_ms": 1000}


def test_check_says_that_all_is_valid(capsys: pytest.CaptureFixture[str]) -> None:
    Path("my.toml").write_text('[data]\ndir = "x"\n')
    assert main(["config", "--check", "--config", "my.toml"]) == 0
    assert capsys.readouterr().out.endswith("settings, 1 of them not at their default\n")


def test_check_fails_with_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--check", "--listen", "0.0.0.0:7700"]) == 2
    assert capsys.readouterr().err.startswith("longlink: insecure: listen.address (--listen) is '0.0.0.0:7700'")


def test_a_file_that_was_named_must_be_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--config", "none.toml"]) == 2
    assert "cannot read none.toml: No such file or directory" in capsys.readouterr().err
