"""Each figure for real, as small as it goes: it ends well, has every documented key, and leaves nothing behind."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from longlink.bench import machine
from longlink.bench.table import rows_of
from longlink.cli import bench

PROGRAM = [sys.executable, "-m", "longlink", "bench"]
PATIENCE_S = 60.0
PERCENTILES = ("chat.", "chat.acked_", "chat.late_", "resume.", "resume.late_")
OPTIONAL = ("idle.broadcast", "idle.tls", "connect.tls")
"""Numbers that are asked for by a flag."""
TOO_SMALL = ("idle.process_bytes", "idle.kernel_bytes", *(f"{name}p99" for name in PERCENTILES))
"""Numbers that a run of this size cannot tell from noise."""


def measured(data: Path, *arguments: str) -> dict[str, Any]:
    """The JSON of a run that ended well."""
    command = [*PROGRAM, *arguments, "--rounds", "1", "--json", "--data", str(data)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assert list(data.iterdir()) == []
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize(
    "arguments",
    [
        ["idle", "--connections", "40", "--first", "10", "--heartbeat-ms", "200", "--hold", "0.5"],
        ["connect", "--connections", "40", "--tls"],
        ["fanout", "--receivers", "30", "20", "--seconds", "0.2"],
        ["chat", "--users", "6", "--seconds", "0.3", "--rate", "100", "--open-seconds", "0.3"],
        ["slow", "--receivers", "12", "--messages", "450"],
        ["resume", "--sessions", "200", "--users", "5"],
        ["sync", "--conversations", "60", "--changed", "3", "--asks", "3"],
        ["start", "--starts", "1"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_figure_runs_and_has_every_documented_key(tmp_path: Path, arguments: Sequence[str]) -> None:
    result = measured(tmp_path, *arguments)
    keys = [row.key for row in rows_of(arguments[0])]
    assert set(keys) <= set(result)
    missing = [key for key in keys if result[key] is None and not key.startswith(OPTIONAL + TOO_SMALL)]
    assert missing == []
    assert {"facts", "notes", "rows"} < set(result)


def test_a_figure_shows_a_table_a_page_and_its_progress(tmp_path: Path) -> None:
    page = tmp_path / "out" / "page.html"
    command = [*PROGRAM, "echo", "--rounds", "1", "--connections", "20", "--seconds", "0.1", "--html", str(page)]
    command += ["--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    assert all(row.key in done.stdout for row in rows_of("echo"))
    assert "echo: connecting to core" in done.stderr
    assert "Benchmark of Longlink" in page.read_text()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_leaves_no_process_and_no_file(tmp_path: Path, number: int, code: int) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "chat", "--users", "6", "--seconds", "60", "--data", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "closed loop" in line:
            break
    family = machine.family(process.pid)
    assert len(family) == 4, "the server and two load processes"
    process.send_signal(number)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code
    assert [pid for pid in family if _lives(pid)] == []
    assert list(tmp_path.iterdir()) == []


def _lives(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def test_a_wrong_option_is_told() -> None:
    done = subprocess.run([*PROGRAM, "echo", "--conections", "5"], capture_output=True, text=True, check=False)
    assert (done.returncode, "--conections" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["idle", "--rounds", "-1"], "argument --rounds: expected a whole number of at least 1, got -1"),
        (["idle", "--rounds", "0"], "argument --rounds: expected a whole number of at least 1, got 0"),
        (["connect", "--connections", "0"], "argument --connections: expected a whole number of at least 2, got 0"),
        (["chat", "--users", "2"], "argument --users: expected a whole number of at least 3, got 2"),
        (["chat", "--workers", "-1"], "argument --workers: expected a whole number of at least 0, got -1"),
        (["echo", "--seconds", "inf"], "argument --seconds: expected a number of at least 0.1, got inf"),
        (["fanout", "--receivers", "10", "0"], "argument --receivers: expected a whole number of at least 1, got 0"),
        (["fanout", "--size", "many"], "argument --size: expected a whole number of at least 1, got many"),
    ],
)
def test_a_size_that_makes_no_sense_is_refused_before_anything_runs(
    capsys: pytest.CaptureFixture[str], arguments: Sequence[str], words: str
) -> None:
    parser = argparse.ArgumentParser()
    bench.arguments(parser)
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(arguments)
    assert words in capsys.readouterr().err
