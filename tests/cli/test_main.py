"""The command line as a whole: the table, help, and how errors come out."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from longlink import cli, errors
from longlink.errors import LonglinkError


def stand_in(monkeypatch: pytest.MonkeyPatch, failure: BaseException | None) -> None:
    """Lets the first command of the table fail so."""

    def run(_: object) -> int:
        if failure is not None:
            raise failure
        return 0

    module = SimpleNamespace(SUMMARY="stand in", arguments=lambda _: None, run=run)
    monkeypatch.setattr(cli, "_module", lambda _: module)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_of_the_table_offers_summary_arguments_and_run(name: str) -> None:
    command = importlib.import_module(f"longlink.cli.{name}")
    assert isinstance(command.SUMMARY, str)
    assert command.SUMMARY
    assert not command.SUMMARY.endswith(".")
    assert callable(command.arguments)
    assert callable(command.run)


def test_the_table_has_every_module_that_is_a_command() -> None:
    names = [module.name for module in pkgutil.iter_modules(cli.__path__)]
    commands = {name for name in names if hasattr(importlib.import_module(f"longlink.cli.{name}"), "SUMMARY")}
    assert set(cli.COMMANDS) == commands


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_help_lists_every_command_with_its_summary(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines() if line.startswith("  ")] == list(cli.COMMANDS)


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("longlink 0.")


def test_an_unknown_command_is_told_with_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serv"]) == 2
    assert capsys.readouterr().err == "longlink: no command 'serv'; did you mean 'serve'?\n"


@pytest.mark.parametrize(("row", "code"), [(errors.PORT_TAKEN, 1), (errors.CONFIG_INVALID, 2), (errors.INSECURE, 2)])
def test_an_error_of_the_table_is_one_line_and_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], row: errors.Row, code: int
) -> None:
    stand_in(monkeypatch, LonglinkError(row, "this and that"))
    assert cli.main(["serve"]) == code
    assert capsys.readouterr().err == f"longlink: {row.name}: this and that\n          {row.remedy}\n"


def test_debug_shows_where_an_error_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, LonglinkError(errors.PORT_TAKEN, "this"))
    with pytest.raises(LonglinkError):
        cli.main(["serve", "--debug"])


def test_ctrl_c_ends_without_a_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    stand_in(monkeypatch, KeyboardInterrupt())
    assert cli.main(["serve"]) == 130
    assert capsys.readouterr().err == ""


def test_a_reader_that_has_gone_is_no_error() -> None:
    """Python itself complains at its end when stdout is broken; only a process of its own shows that it does not."""
    program = "import sys; from longlink.cli import main; sys.stdin.readline(); sys.exit(main(['config']))"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, said = process.communicate(b"\n", timeout=30)
    assert (process.returncode, said) == (0, b"")


def test_starting_imports_no_command_that_was_not_asked_for() -> None:
    program = (
        "import sys; from longlink.cli import main; main(['--version']);"
        "print(sorted(name for name in sys.modules if name.startswith(('longlink.', 'starlette', 'uvicorn'))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['longlink.cli', 'longlink.errors']"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("decode <&-", "longlink: standard input is closed, and this command needs it\n"),
        ("decode 0a00 >&-", "longlink: standard output is closed, and this command needs it\n"),
        ("--version >&-", "longlink: standard output is closed, and this command needs it\n"),
    ],
)
def test_a_closed_stream_that_a_command_needs_is_one_line_and_exit_code_1(command: str, said: str) -> None:
    script = f'exec "$0" -m longlink {command}'
    result = subprocess.run(["sh", "-c", script, sys.executable], capture_output=True, text=True, timeout=15)
    assert (result.returncode, result.stderr) == (1, said)


def test_a_closed_stream_that_a_command_does_not_need_is_no_matter() -> None:
    script = 'exec "$0" -m longlink --version <&-'
    result = subprocess.run(["sh", "-c", script, sys.executable], capture_output=True, text=True, timeout=15)
    assert (result.returncode, result.stderr) == (0, "")
