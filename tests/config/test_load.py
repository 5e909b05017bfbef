"""Settings: where values come from, which one wins, and what is said when one is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from longlink import errors
from longlink.config import Config, find, load
from longlink.config.foreign import is_foreign
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
        ("[auth]\nkeys = [1]\n", "expected a list of texts, got the list that is not shown"),
        ('[auth]\nkeys = "a"\n', "expected a list of texts, got the text that is not shown"),
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


KUBERNETES = {
    "SERVICE_HOST": "10.96.0.17",
    "SERVICE_PORT": "7700",
    "SERVICE_PORT_LINK": "7700",
    "PORT": "tcp://10.96.0.17:7700",
    "PORT_7700_TCP": "tcp://10.96.0.17:7700",
    "PORT_7700_TCP_PROTO": "tcp",
    "PORT_7700_TCP_PORT": "7700",
    "PORT_7700_TCP_ADDR": "10.96.0.17",
    "PORT_9000_UDP_ADDR": "10.96.0.17",
    "PORT_9001_SCTP": "sctp://[fd00::1]:9001",
}
DOCKER = {
    "NAME": "/web/longlink",
    "ENV_PATH": "/usr/bin",
    "ENV_gpg_key": "x",
    "PORT_7700_TCP_START": "tcp://172.17.0.2:7700",
    "PORT_7700_TCP_PORT_END": "7701",
}


@pytest.mark.parametrize(
    "service", ["LONGLINK", "LONGLINK_HTTP", "LONGLINK_DATA", "LONGLINK_WEB_2", "LONGLINK_SERVICE"]
)
def test_variables_that_kubernetes_and_docker_set_for_a_service_are_not_ours(service: str) -> None:
    environ = {f"{service}_{name}": value for name, value in (KUBERNETES | DOCKER).items()}
    loaded = load(None, environ | {"LONGLINK_LOG_LEVEL": "debug"}, {})
    assert loaded.config.log.level == "debug"
    assert loaded.skipped == tuple(sorted(environ))


@pytest.mark.parametrize(
    ("variable", "text", "near"),
    [
        ("LONGLINK_PORT", "7700", ""),
        ("LONGLINK_LISTEN_PORT", "7700", "LONGLINK_LISTEN_HTTP"),
        ("LONGLINK_SERVICE_PORT", "tcp", ""),
        ("LONGLINK_SERVER_HOST", "10.0.0.1", "LONGLINK_SERVER_WORKERS"),
        ("LONGLINK_LISTEN_NAME", "chat.example.com", "LONGLINK_LISTEN_ADDRESS"),
        ("LONGLINK_PORT_TCP", "tcp://10.0.0.1:1", ""),
        ("LONGLINK_ENV", "production", ""),
        ("LONGLINK_LOG_LEVLE", "debug", "LONGLINK_LOG_LEVEL"),
    ],
)
def test_a_mistyped_variable_of_ours_is_still_an_error(variable: str, text: str, near: str) -> None:
    message = refusal(environ={variable: text}).message
    assert f"unknown variable {variable!r} in the environment" in message
    assert near in message


def test_a_setting_with_the_name_of_a_service_port_is_told_from_it_by_the_value() -> None:
    assert is_foreign("LONGLINK_LISTEN_PORT", "tcp://10.96.0.17:7700", known=True)
    assert not is_foreign("LONGLINK_LISTEN_PORT", "7700", known=True)
    assert not is_foreign("LONGLINK_SERVICE_HOST", "10.96.0.17", known=True)


@pytest.mark.parametrize(
    "data",
    [
        b'\xef\xbb\xbf[log]\nlevel = "debug"\n',
        b'[log]\r\nlevel = "debug"\r\n',
        b'\xef\xbb\xbf[log]\r\nlevel = "debug"\r\n',
    ],
)
def test_a_file_as_editors_on_windows_write_it_is_read(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    loaded = load(file, {}, {})
    assert loaded.config.log.level == "debug"
    assert loaded.origins["log.level"] == f"{file}:2"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_file_in_utf_16_is_refused_with_what_to_do(file: Path, encoding: str) -> None:
    file.write_bytes('[log]\nlevel = "debug"\n'.encode(encoding))
    assert "looks like UTF-16, as PowerShell's '>' writes it; save it as UTF-8" in refusal(file).message


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("[log]\nlevel = \u201cdebug\u201d\n", "LEFT DOUBLE QUOTATION MARK"),
        ("[log]\nlevel = \u2018debug\u2019\n", "LEFT SINGLE QUOTATION MARK"),
        ('[log]\nlevel\u00a0= "debug"\n', "NO-BREAK SPACE"),
    ],
)
def test_typographic_characters_are_named_where_toml_does_not_take_them(file: Path, text: str, name: str) -> None:
    file.write_text(text)
    message = refusal(file).message
    assert "at line 2" in message
    assert name in message


def test_a_file_that_is_nested_without_end_is_refused_by_name(file: Path) -> None:
    file.write_text("a = " + "[" * 100_000)
    assert f"{file} is nested too deeply" in refusal(file).message


def test_names_in_capitals_or_with_hyphens_find_their_setting(file: Path) -> None:
    file.write_text('[LOG]\nlevel = "debug"\n')
    assert "did you mean 'log'?" in refusal(file).message
    file.write_text("[auth]\nleeway-ms = 1\n")
    assert "did you mean 'auth.leeway_ms'?" in refusal(file).message


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
