"""Load processes: what becomes of those that fail, die or are late; and what the kernel says of a family."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping

import pytest
from tests.bench.double import Link, double
from tests.bench.test_load import DEADLINE_S, echo

from longlink.bench import machine
from longlink.bench.swarm import swarm


def test_members_obey_at_the_same_time_and_answer_in_order() -> None:
    with double(echo) as port, swarm(2, lambda _: None) as crowd:
        crowd.all("be", plan="echo", host="127.0.0.1", port=port)
        crowd.each("connect", [{"count": 1}, {"count": 2}])
        assert [answer["joined"] for answer in crowd.all("count")] == [1, 2]


def test_an_order_that_fails_ends_the_run_with_its_words(capfd: pytest.CaptureFixture[str]) -> None:
    with swarm(1, lambda _: None) as crowd, pytest.raises(RuntimeError, match="ValueError: plan: expected"):
        crowd.all("be", plan="dance", host="127.0.0.1", port=1)
    assert "dance" in capfd.readouterr().err


def test_a_member_that_dies_ends_the_run() -> None:
    with swarm(1, lambda _: None) as crowd:
        os.kill(crowd.members[0].pid, signal.SIGKILL)
        with pytest.raises(RuntimeError, match="ended"):
            crowd.all("count")


def test_an_order_that_takes_too_long_ends_the_run() -> None:
    with double(lambda *_: None) as port, swarm(1, lambda _: None) as crowd:
        crowd.all("be", plan="fanout", host="127.0.0.1", port=port)
        with pytest.raises(RuntimeError, match="connect was not done within 1 s"):
            crowd.all("connect", count=3, within_s=1.0)


def test_how_far_an_order_is_is_told_meanwhile() -> None:
    told = threading.Event()

    def answer_when_it_was_told(link: Link, payload: bytes) -> None:
        if payload != b"+":
            told.wait(DEADLINE_S)
            link.say(payload)

    def watch(counts: Mapping[str, float]) -> None:
        if counts["joined"] == 1:  # the one that publishes, and therefore asks nothing
            told.set()

    with double(answer_when_it_was_told) as port, swarm(1, watch) as crowd:
        crowd.all("be", plan="fanout", host="127.0.0.1", port=port)
        (answer,) = crowd.all("connect", count=2)
    assert answer["joined"] == 2
    assert told.is_set()


def test_a_family_is_a_process_with_all_its_descendants() -> None:
    with swarm(2, lambda _: None) as crowd:
        family = machine.family(os.getpid())
        assert {os.getpid(), *(member.pid for member in crowd.members)} <= set(family)
        crowd.all("be", plan="hold", host="127.0.0.1", port=1)
        pids = [member.pid for member in crowd.members]
        assert machine.cpu_of(pids).total_s > machine.cpu(pids[0]).total_s > 0
