"""`longlink token`."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from longlink.access.keys import make_data_key
from longlink.access.tokens import Verifier
from longlink.cli import main
from longlink.config import Auth


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_token_is_believed_by_a_server_with_the_same_folder_and_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "d").mkdir()
    make_data_key(tmp_path / "d")
    Path("longlink.toml").write_text('[auth]\naudience = "here"\nissuer = "me"\n')
    assert main(["token", "alice", "--data", "d", "--days", "0.5"]) == 0
    verifier = Verifier.from_config(Auth(audience="here", issuer="me"), tmp_path / "d")
    identity = verifier.verify(capsys.readouterr().out.strip(), time.time())
    assert identity.user == "alice"
    assert abs(identity.expires_at_s - time.time() - 43_200) < 60


def test_without_a_key_it_says_how_to_get_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "alice", "--data", "d"]) == 1
    said = capsys.readouterr().err
    assert "there is no signing key d/signing-key.json" in said
    assert "longlink serve --data d" in said


def test_a_name_that_no_user_can_have_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "d").mkdir()
    make_data_key(tmp_path / "d")
    assert main(["token", "", "--data", "d"]) == 1
    assert capsys.readouterr().err.startswith("longlink: field_invalid: ")


@pytest.mark.parametrize("days", ["0", "-1", "nan", "40000", "x"])
def test_days_are_bounded(days: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["token", "alice", f"--days={days}"])
    assert "--days" in capsys.readouterr().err
