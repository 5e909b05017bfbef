"""The gateway under load: passes that end by time, turns by user, bounds of what is under way, accounts of work.

Read next: gateway_bench.py.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from longlink import _core, errors
from longlink.access.gateway import (
    COMMAND_BYTES,
    CROWDED_MS,
    PASS_S,
    PAUSE_MS,
    Bounds,
)
from longlink.errors import LonglinkError
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import (
    Frame,
)

from .gateway_bench import Bench, message, play, send, turns, until


def served(bench: Bench) -> list[tuple[str, int]]:
    """Whose requests the handler has been given, in order."""
    return [(call.session.user, call.frame.id) for batch in bench.batches for call in batch]


def test_a_pass_ends_by_time_and_the_rest_is_served_in_turns_by_user(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.enter(1)
        await bench.enter(2, "bob")
        await bench.enter(3, "carol")
        bench.tick_s = PASS_S
        bench.core.happen(*(send(1, number) for number in range(1, 41)), send(2, 1), send(3, 1), send(2, 2))
        await turns(100)
        order = served(bench)
        assert sorted(order) == sorted([("alice", n) for n in range(1, 41)] + [("bob", 1), ("bob", 2), ("carol", 1)])
        assert [number for user, number in order if user == "alice"] == list(range(1, 41))
        assert order.index(("bob", 2)) < order.index(("alice", 25)), "forty frames of another user are not waited for"
        assert len(bench.batches) > 3, "in several passes"
        assert bench.counts.passes_cut > 3

    play(tmp_path, story)


def test_nothing_overtakes_what_the_same_user_said_before_least_of_all_an_end(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.enter(1)
        await bench.enter(2, "bob")
        bench.tick_s = PASS_S
        bench.core.happen(*(send(1, number) for number in range(1, 31)))
        bench.core.happen((_core.MISSED, 1, 3), (_core.CLOSED, 1, 1000), send(2, 1))
        await turns(100)
        assert [number for user, number in served(bench) if user == "alice"] == list(range(1, 31))
        assert ("bob", 1) in served(bench)
        assert bench.present("alice") == []

    play(tmp_path, story)


def test_a_user_whose_events_fill_their_queue_is_read_more_slowly(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.enter(1)
        await bench.enter(2, "bob")
        bench.tick_s = PASS_S
        bench.core.happen(*(send(1, number) for number in range(1, 600)), send(2, 1))
        await turns(5)
        assert set(bench.core.paused) == {(1, CROWDED_MS)}

    play(tmp_path, story)


def test_strangers_are_served_by_time_too(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.enter(1)
        bench.tick_s = 0.001
        bench.core.happen(*(bench.connect(n, f"user-{n}") for n in range(10, 30)), send(1, 1))
        await turns(4)
        assert served(bench).index(("alice", 1)) < 4
        await turns(200)
        assert len(bench.core.admitted) == 21

    play(tmp_path, story)


@pytest.mark.parametrize("bounds", [Bounds(3, 2**30), Bounds(1_000_000, 50)], ids=["calls", "bytes"])
def test_no_events_are_taken_while_too_much_is_under_way(tmp_path: Path, bounds: Bounds) -> None:
    async def story(bench: Bench) -> None:
        await bench.enter(1)
        bench.open_gate.clear()
        bench.core.happen(send(1, 1), send(1, 2), send(1, 3))
        await turns()
        bench.core.happen(send(1, 4))
        polls = bench.core.polls
        await asyncio.sleep(0.02)
        assert (bench.core.polls, bench.counts.polls_held) == (polls, 1)
        bench.open_gate.set()
        await until(lambda: ("alice", 4) in served(bench))
        bench.core.happen(send(1, 5))
        await turns()
        assert ("alice", 5) in served(bench), "the core wakes the loop again"

    play(tmp_path, story, bounds)


def test_no_events_are_taken_while_the_core_has_too_many_commands_to_obey(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.enter(1)
        bench.core.waiting_bytes = COMMAND_BYTES
        bench.core.happen(send(1, 1))
        await asyncio.sleep(0.02)
        assert served(bench) == []
        bench.core.waiting_bytes = 0
        await until(lambda: served(bench) != [])

    play(tmp_path, story)


def test_pages_are_asked_for_one_by_one(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.enter(1)
        bench.core.happen(*(message(1, Frame(id=n, sync={})) for n in (1, 2, 3)))  # type: ignore[arg-type]
        await turns()
        assert [len(batch) for batch in bench.batches] == [1, 1, 1]

    play(tmp_path, story)


def test_a_user_whose_account_is_overdrawn_is_refused_and_read_more_slowly_on_every_device(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.enter(1)
        await bench.enter(2, device="tablet")
        await bench.enter(3, "bob")
        bench.accounts.charge("alice", 150)
        hello = message(2, Frame(id=22, adjust={}), Encoding.TEXT)  # type: ignore[arg-type]
        bench.core.happen(send(1, 11), hello, send(3, 31), (_core.BINARY, 1, b"\xff"))
        await turns()
        answers = {(to, frame.id): frame.error for to, frame in bench.core.sent}
        assert served(bench) == [("bob", 31)]
        for key in ((1, 11), (1, 0)):
            assert answers[key].code == errors.RATE_LIMITED.code
            assert 0 < answers[key].retry_after_ms <= 1_000
        assert {to for to, ms in bench.core.paused if PAUSE_MS[0] <= ms <= PAUSE_MS[1]} == {1, 2}
        assert (bench.counts.account_refused, bench.counts.errors["rate_limited"]) == (3, 3)
        assert bench.core.closed == []
        bench.now_s += 2.0
        bench.core.happen(send(1, 12))
        await turns()
        assert ("alice", 12) in served(bench)

    play(tmp_path, story, units=100)


def test_a_refusal_by_logic_slows_its_connection_down_too(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.enter(1)
        bench.refusal = LonglinkError(errors.RATE_LIMITED, "too much", retry_after_ms=70)
        bench.core.happen(send(1, 1))
        await turns()
        assert [connection for connection, _ in bench.core.paused] == [1]

    play(tmp_path, story)


def test_strangers_have_no_account(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.enter(1)
        bench.core.happen(send(7, 1), send(8, 1))
        await turns()
        assert len(bench.accounts) == 0

    play(tmp_path, story, units=100)
