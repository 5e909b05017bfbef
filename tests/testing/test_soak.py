"""The soak as a command: its last line and its exit code, good and bad."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections import Counter

import pytest

from longlink.testing.soak import __main__ as command
from longlink.testing.soak.crowd import Plan
from longlink.testing.soak.peer import Peer
from longlink.testing.soak.run import Course, Outcome, soak

SMALL = ["--seconds", "2", "--users", "6", "--public", "2", "--rate", "100", "--kill-every", "1"]


def test_a_small_soak_ends_with_the_line_that_says_that_all_is_well() -> None:
    words = [sys.executable, "-m", "longlink.testing.soak", *SMALL]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.fullmatch(r"lost=0 doubled=0 reordered=0 messages=[1-9]\d*", ended.stdout.splitlines()[-1])


def test_what_was_wrong_is_counted_in_the_last_line_and_makes_the_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def bad(*_: object) -> Outcome:
        return Outcome(7, Counter({"lost": 2, "reordered": 1}), ["lost: bob/phone in d_1"])

    monkeypatch.setattr(command, "soak", bad)
    assert command.main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "lost=2 doubled=0 reordered=1 messages=7"
    assert "lost: bob/phone in d_1" in lines


def test_a_client_that_forgets_what_it_must_show_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Peer._offer

    def forgetful(peer: Peer, place: object, seq: int, message: object) -> None:
        # As if a message had been taken for its own.
        shown(peer, place, seq, None if seq == 3 else message)  # type: ignore[arg-type]

    monkeypatch.setattr(Peer, "_offer", forgetful)
    plan = Plan(users=4, friends=1, public=0, lossy=0)
    outcome = asyncio.run(soak(Course(plan, seconds=2.0, rate=50.0, kill_every_s=0), lambda _: None))
    assert not outcome.good
    assert outcome.kinds["lost"] > 0
    assert any("expected seq 3, got 4" in line for line in outcome.trouble)
