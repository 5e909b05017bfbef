"""The supervisor with children that will not live. Those that do are in scenarios/test_10_workers.py."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from longlink.testing.server import await_end
from longlink.workers.supervisor import MOST_DEATHS, PAUSES_S, Worker

CHILD: Final = Path(__file__).with_name("mortal_child.py")


def end(folder: Path, kind: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and log of a supervisor that has ended by itself."""
    done = subprocess.run(
        [sys.executable, CHILD, str(folder / "data"), kind], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]


@pytest.mark.parametrize("kind", ["dies", "mute"])
def test_a_child_that_dies_again_and_again_ends_the_server_with_a_failure_and_the_others_in_order(
    tmp_path: Path, kind: str
) -> None:
    code, log = end(tmp_path, kind)
    events = [entry["event"] for entry in log if entry["logger"] == "supervisor"]
    assert code == 1
    assert events.count("worker_ended") == 5
    assert events.count("worker_started") == 6, "logic once, the gateway five times"
    assert [event for event in events if not event.startswith("worker_")] == ["ready", "draining", "stopped"]
    assert events.index("worker_given_up") < events.index("draining")
    ended = [entry for entry in log if entry["event"] == "worker_ended"]
    assert [entry["again_s"] for entry in ended] == [0.0, 0.01, 0.01, 0.01, 0.01]
    assert {(entry["worker"], entry["reason"]) for entry in ended} == {("gateway-1", "exit code 1")}


def test_a_child_that_cannot_start_again_is_tried_again_with_its_reason_in_the_log(tmp_path: Path) -> None:
    code, log = end(tmp_path, "fails")
    assert code == 1
    said = [entry["error"] for entry in log if entry["event"] == "worker_cannot_start"]
    assert said == ["config_invalid (4900): the certificate has gone"] * 4


def test_a_child_that_fails_after_it_was_ready_is_started_again_with_its_reason_in_the_log(tmp_path: Path) -> None:
    code, log = end(tmp_path, "regrets")
    assert code == 1
    said = [entry["error"] for entry in log if entry["logger"] == "supervisor" and "error" in entry]
    assert len(said) == 4
    assert "the disk has gone" in said[0]


def test_a_child_that_the_system_has_no_room_for_is_not_tried_without_end(tmp_path: Path) -> None:
    code, log = end(tmp_path, "crowded")
    assert code == 1
    reasons = [entry["reason"] for entry in log if entry["event"] == "worker_ended"]
    assert reasons[2:] == ["Too many open files"] * (len(reasons) - 2)
    assert "worker_given_up" in [entry["event"] for entry in log]


def test_a_child_that_ends_before_the_signal_to_end_is_heard_is_no_defect(tmp_path: Path) -> None:
    command = [sys.executable, str(CHILD), str(tmp_path / "data"), "slow"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stderr is not None
        lines = (json.loads(line) for line in supervisor.stderr)
        logic = next(entry["pid"] for entry in lines if entry["event"] == "worker_started")
        supervisor.send_signal(signal.SIGSTOP)
        os.kill(logic, signal.SIGTERM)
        await_end(logic)
        supervisor.send_signal(signal.SIGTERM)
        supervisor.send_signal(signal.SIGCONT)
        assert [entry["event"] for entry in lines] == ["draining", "stopped"]
        assert supervisor.wait(10) == 0


def test_pauses_grow_to_a_bound() -> None:
    pauses = [Worker("gateway-1", lambda _: _never, deaths=deaths).pause_s for deaths in range(1, MOST_DEATHS + 1)]
    assert pauses[: len(PAUSES_S)] == list(PAUSES_S)
    assert all(one <= other for one, other in itertools.pairwise(pauses))
    assert 30 < sum(pauses) < 120, "time enough for somebody to fix it, and an end"


async def _never(*_: object) -> None:
    raise AssertionError("it is not started here")
