"""Session ids: what the bits say, what a restart does, and that a JavaScript number holds them."""

from __future__ import annotations

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from longlink.config.check import LARGEST_SERVER
from longlink.protocol.codec import Encoding
from longlink.routing.ids import (
    COUNTER_BITS,
    COUNTERS,
    LARGEST_WORKER,
    STEPS_PER_S,
    SessionIds,
    age,
    gateway_number,
    worker_of,
)
from longlink.routing.sessions import Session

NOW_S = 1_790_000_000.0
SAFE_INTEGER = 2**53 - 1
"""The largest whole number up to which JavaScript loses none (ECMA-262, Number.MAX_SAFE_INTEGER)."""


@given(st.integers(0, LARGEST_SERVER), st.integers(0, LARGEST_WORKER), st.floats(0, 4e9))
def test_an_id_says_which_server_and_worker_made_it_and_a_javascript_number_holds_it(
    server: int, worker: int, now_s: float
) -> None:
    made = SessionIds(server, worker, lambda: now_s).next()
    assert made >> COUNTER_BITS == gateway_number(server, worker) == server << 8 | worker
    assert worker_of(gateway_number(server, worker)) == worker
    assert 0 < made < 2**52 < SAFE_INTEGER
    assert int(json.loads(str(made))) == made == int(float(made))


def test_a_session_knows_its_gateway_by_its_id() -> None:
    ids = SessionIds(7, 3, lambda: NOW_S)
    assert ids.gateway == 7 << 8 | 3
    assert Session("alice", "phone", "", 7, ids.next(), 1, Encoding.BINARY).gateway == ids.gateway


def test_no_two_sessions_of_a_process_have_the_same_id() -> None:
    ids = SessionIds(0, 1, lambda: NOW_S)
    assert len({ids.next() for _ in range(10_000)}) == 10_000


def test_a_process_that_is_started_again_begins_beyond_what_the_one_before_gave_out() -> None:
    before = SessionIds(0, 1, lambda: NOW_S)
    last = max(before.next() for _ in range(STEPS_PER_S))
    assert SessionIds(0, 1, lambda: NOW_S + 1.0).next() > last


def test_the_ids_of_two_workers_say_which_session_is_newer() -> None:
    clock = [NOW_S]
    east, west = SessionIds(0, 1, lambda: clock[0]), SessionIds(0, 2, lambda: clock[0])
    made = [west.next(), west.next()]
    clock[0] += 0.01
    made.append(east.next())
    clock[0] -= 5.0
    made.append(east.next())
    clock[0] += 6 * 86_400
    made.append(west.next())
    assert [age(later, earlier) > 0 for earlier, later in itertools.pairwise(made)] == [True] * 4
    assert [age(earlier, later) < 0 for earlier, later in itertools.pairwise(made)] == [True] * 4
    assert age(made[0], made[0]) == 0


def test_the_counter_begins_anew_at_its_end_and_is_never_nothing() -> None:
    end_s = COUNTERS / STEPS_PER_S
    ids = SessionIds(0, 0, lambda: end_s - 2 / STEPS_PER_S)
    made = [ids.next() for _ in range(4)]
    assert made == [COUNTERS - 1, COUNTERS, 1, 2]
    assert age(made[2], made[1]) > 0
