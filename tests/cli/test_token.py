"""`longlink token`."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from joserfc.jwk import OKPKey

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


# Settings that name keys ----------------------------------------------------------------------------------------------


def public_key() -> str:
    return OKPKey.generate_key("Ed25519").as_pem(private=False).decode()


def test_where_only_the_host_can_sign_it_says_so_and_which_setting_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "d").mkdir()
    make_data_key(tmp_path / "d")
    Path("host.pem").write_text(public_key())
    Path("longlink.toml").write_text('[auth]\nkeys = ["host.pem"]\n')
    said = "this server trusts auth.keys (longlink.toml:2), so only your back end can sign. Pass --token @FILE"
    for command in (
        ["token", "alice", "--data", "d"],
        ["send", "--as", "alice", "--data", "d", "--to", "bob", "hello"],
        ["tail", "--as", "alice", "--data", "d"],
        ["chat", "--as", "alice", "--data", "d", "bob"],
    ):
        assert main(command) == 1
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["a file", "a JWK"])
def test_with_a_secret_among_the_keys_it_signs_as_a_host_would(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("host.pem").write_text(public_key())
    Path("secret").write_bytes(b"0123456789abcdef0123456789abcdef\n")
    Path("jwk").write_text('{"kty":"oct","k":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY","kid":"s"}')
    entry = "secret:secret" if kind == "a file" else "jwk"
    Path("longlink.toml").write_text(f'[auth]\nkeys = ["host.pem", "{entry}"]\naudience = "here"\n')
    assert main(["token", "alice"]) == 0
    verifier = Verifier.from_config(Auth(keys=["host.pem", entry], audience="here"), tmp_path)
    assert verifier.verify(capsys.readouterr().out.strip(), time.time()).user == "alice"
