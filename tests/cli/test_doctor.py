"""`longlink doctor`: the checks together, on this machine."""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path

import pytest

from longlink.cli import main

FREE = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--operations", "127.0.0.1:0"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_each_check_is_a_line_with_its_state(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *FREE]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert {line[:4].strip() for line in lines} <= {"ok", "warn"}
    names = [line[6:23].strip() for line in lines]
    first = ["versions", "file limit", "memory", "listen.address", "listen.http", "listen.operations", "data folder"]
    first += ["disk flush", "clock", "tls"]
    assert names == [*first, "signing key", "database", "accept queue", "port range"]
    assert "SQLite 3." in lines[0]


def test_something_bad_is_exit_code_1_with_how_to_fix_it(capsys: pytest.CaptureFixture[str]) -> None:
    Path("d").mkdir()
    Path("d/signing-key.json").touch(mode=0o644)
    assert main(["doctor", "--json", "--data", "d", *FREE]) == 1
    findings = {finding["name"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert findings["signing key"]["state"] == "bad"
    assert findings["signing key"]["remedy"] == "chmod 600 d/signing-key.json"


def test_a_database_that_others_can_read_is_a_warning_with_how_to_fix_it(capsys: pytest.CaptureFixture[str]) -> None:
    Path("d").mkdir()
    Path("d/longlink.db").touch(mode=0o644)
    assert main(["doctor", "--json", "--data", "d", *FREE]) == 0
    findings = {finding["name"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert findings["database"]["state"] == "warn"
    assert findings["database"]["remedy"] == "chmod 600 d/longlink.db"


def test_a_port_of_another_program_is_bad(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        assert main(["doctor", "--listen", address, "--http", "127.0.0.1:0"]) == 1
    assert f"{address}: Address already in use" in capsys.readouterr().out


def test_the_default_port_of_operators_is_a_warning_when_it_is_taken_because_the_server_takes_another_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", 7702)):
        assert main(["doctor", "--json", *FREE[:4]]) == 0
        findings = {finding["name"]: finding for finding in json.loads(capsys.readouterr().out)}
        assert findings["listen.operations"]["state"] == "warn"


def test_a_key_file_that_the_server_would_reject_is_bad_and_one_that_it_takes_is_ok(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("good.secret").write_bytes(b"0123456789abcdef" * 3)
    Path("longlink.toml").write_text(
        '[auth]\nkeys = ["secret:good.secret", "missing.pem", "https://idp.example.com/k"]\n'
    )
    assert main(["doctor", "--json", *FREE]) == 1
    findings = [finding for finding in json.loads(capsys.readouterr().out) if finding["name"] == "auth.keys"]
    assert [finding["state"] for finding in findings] == ["ok", "bad", "ok"]
    assert findings[0]["found"] == "secret:good.secret: HS256"
    assert "missing.pem" in findings[1]["found"]
