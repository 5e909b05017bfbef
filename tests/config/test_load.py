"""Settings: where values come from, which one wins, and what is said when one is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from longlink import errors
from longlink.config import Config, find, load
from longlink.errors import LonglinkError


def refusal(file: Path | None = None, environ: Mapping[str, str] | None = None, **flags: str) -> LonglinkError:
    with pytest.raises(LonglinkError) as caught:
        load(file, environ or {}, {f"--{flag}": value for flag, value in flags.items()})
    return caught.value


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "longlink.toml"


def test_without_anything_every_setting_has_its_default() -> None:
    loaded = load(None, {"HOME": "/", "PATH": "/bin"}, {})
    assert loaded.config == Config()
    assert set(loaded.origins.values()) == {"default"}


def test_the_file_wins_over_defaults_and_the_origin_names_its_line(file: Path) -> None:
    file.write_text('# mine\n[log]\nlevel = "debug"\n\n[connection]\nthreads = 3\n')
    loaded = load(file, {}, {})
    assert (loaded.config.log.level, loaded.config.connection.threads) == ("debug", 3)
    assert loaded.origins["log.level"] == f"{file}:3"
    assert loaded.origins["connection.threads"] == f"{file}:6"
    assert loaded.origins["log.format"] == "default"


def test_the_environment_wins_over_the_file_and_a_flag_over_both(file: Path) -> None:
    file.write_text('[data]\ndir = "one"\n[listen]\naddress = "127.0.0.1:1"\n')
    loaded = load(
        file, {"LONGLINK_DATA_DIR": "two", "LONGLINK_LISTEN_ADDRESS": "127.0.0.1:2"}, {"--listen": "127.0.0.1:3"}
    )
    assert (loaded.config.data.dir, loaded.config.listen.address) == ("two", "127.0.0.1:3")
    assert loaded.origins["data.dir"] == "LONGLINK_DATA_DIR"
    assert loaded.origins["listen.address"] == "--listen"


@pytest.mark.parametrize(
    ("variable", "text", "section", "key", "value"),
    [
        ("LONGLINK_LISTEN_BEHIND_PROXY", "Yes", "listen", "behind_proxy", True),
        ("LONGLINK_LISTEN_BEHIND_PROXY", "0", "listen", "behind_proxy", False),
        ("LONGLINK_AUTH_KEYS", "a.pem, b.json", "auth", "keys", ["a.pem", "b.json"]),
        ("LONGLINK_CONNECTION_QUEUE_BYTES", "1000000", "connection", "queue_bytes", 1_000_000),
    ],
)
def test_text_of_the_environment_becomes_a_value_of_the_type(
    variable: str, text: str, section: str, key: str, value: object
) -> None:
    config = load(None, {variable: text}, {}).config
    assert getattr(getattr(config, section), key) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[lisen]\n", "unknown section 'lisen' in {file}:1; did you mean 'listen'?"),
        (
            '[listen]\nadress = "x"\n',
            "unknown setting 'listen.adress' in {file}:2; did you mean 'listen.address'?",
        ),
        ("listen = 3\n", "listen ({file}:1): expected a table, [listen], got the number 3"),
        (
            '[connection]\nthreads = "2"\n',
            "connection.threads ({file}:2): expected a whole number from 0, got the text '2'",
        ),
        ("[connection]\nthreads = true\n", "expected a whole number from 0, got the truth value True"),
        ("[connection]\nthreads = 2.0\n", "expected a whole number from 0, got the fraction 2.0"),
        ("[connection]\nmax_connections = 0\n", "expected a whole number from 1, got the number 0"),
        ("[storage]\nqueue = 2147483648\n", "expected a whole number from 1 to 2147483647, got the number 2147483648"),
        ("[listen]\nbehind_proxy = 1\n", "expected true or false, got the number 1"),
        ("[auth]\nkeys = [1]\n", "expected a list of texts, got the list [1]"),
        ('[auth]\nkeys = "a"\n', "expected a list of texts, got the text 'a'"),
        ('[log]\nlevel = "loud"\n', "expected one of debug, info, warning, error, got the text 'loud'"),
        ("[log\n", "{file} is not TOML: Expected"),
    ],
)
def test_what_is_wrong_in_the_file_is_named_with_its_place(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    error = refusal(file)
    assert error.row is errors.CONFIG_INVALID
    assert said.format(file=file) in error.message


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        (
            "LONGLINK_LISTEN_HTTPS",
            "x",
            "unknown variable 'LONGLINK_LISTEN_HTTPS' in the environment; did you mean 'LONGLINK_LISTEN_HTTP'?",
        ),
        ("LONGLINK_STORAGE_QUEUE", "many", "storage.queue (LONGLINK_STORAGE_QUEUE): expected a whole number from 1"),
        ("LONGLINK_STORAGE_QUEUE", "", "expected a whole number from 1, got the text ''"),
        ("LONGLINK_LISTEN_BEHIND_PROXY", "perhaps", "expected true or false, got the text 'perhaps'"),
    ],
)
def test_what_is_wrong_in_the_environment_is_named(variable: str, text: str, said: str) -> None:
    error = refusal(environ={variable: text})
    assert error.row is errors.CONFIG_INVALID
    assert said in error.message


def test_a_file_that_is_not_there_is_said(file: Path) -> None:
    assert "No such file" in refusal(file).message


def test_a_file_that_is_not_text_is_said(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    assert "is not UTF-8" in refusal(file).message


def test_a_file_that_is_far_too_large_is_not_read(file: Path) -> None:
    file.write_bytes(b"#" * 2_000_000)
    assert "larger than 1048576 bytes" in refusal(file).message


def test_longlink_toml_of_the_working_directory_is_found_and_a_given_file_wins(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    assert find(None) is None
    file.write_text("")
    assert find(None) == Path("longlink.toml")
    assert find(Path("other.toml")) == Path("other.toml")
