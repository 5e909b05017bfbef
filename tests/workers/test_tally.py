"""The numbers of all gateways as one: never a part of the truth, never going backwards. Read next: test_ports.py."""

from __future__ import annotations

from longlink.ops import numbers
from longlink.ops.numbers import Number, Numbers
from longlink.routing.trunk.frames import Hello
from longlink.workers.tally import Past, Tally

EAST, WEST = 1, 2
OWN: Numbers = {"store": {"commits": 7}, "errors": {"idle": 1}}


def core(accepted: int, connections: int) -> Numbers:
    return {"core": {"accepted": accepted, "connections": connections}}


def hello(gateway: int, before: Numbers | None = None, restarts: int = 0) -> Hello:
    said = numbers.encode(before or core(0, 0))
    return Hello(b"", gateway, again=before is not None, restarts=restarts, numbers=said)


def of(tally: Tally, section: str, name: str) -> Number | None:
    return tally.sum(OWN).get(section, {}).get(name)


def test_the_sum_is_over_logic_and_all_gateways() -> None:
    tally = Tally(2, Past())
    for gateway, said in ((EAST, core(10, 3)), (WEST, core(5, 2))):
        tally.attached(hello(gateway))
        tally.heard(gateway, numbers.encode(said))
    assert tally.sum(OWN) == {
        **OWN,
        "core": {"accepted": 15, "connections": 5},
        "worker_up": {"logic": 1, "gateway-1": 1, "gateway-2": 1},
        "worker_restarts": {"logic": 0, "gateway-1": 0, "gateway-2": 0},
        "worker_hangs": {"logic": 0, "gateway-1": 0, "gateway-2": 0},
        "worker_connections": {"gateway-1": 3, "gateway-2": 2},
    }


def test_what_a_gateway_counted_stays_when_it_ends_and_what_it_held_does_not() -> None:
    tally = Tally(2, Past())
    tally.attached(hello(EAST))
    tally.heard(EAST, numbers.encode(core(10, 3)))
    tally.gone(EAST)
    assert (of(tally, "core", "accepted"), of(tally, "core", "connections")) == (10, None)
    assert (of(tally, "worker_up", "gateway-1"), of(tally, "worker_connections", "gateway-1")) == (0, None)
    tally.heard(EAST, numbers.encode(core(11, 9)))
    assert of(tally, "core", "accepted") == 10, "a late answer of one that has ended is left out"
    tally.attached(hello(EAST, restarts=1))
    tally.heard(EAST, numbers.encode(core(2, 1)))
    assert (of(tally, "core", "accepted"), of(tally, "core", "connections")) == (12, 1)
    assert of(tally, "worker_restarts", "gateway-1") == 1


def test_what_gateways_counted_before_this_logic_is_left_out_so_that_all_counters_begin_at_zero() -> None:
    tally = Tally(1, Past(4, 1))
    tally.attached(hello(EAST, core(1_000, 50)))
    assert (of(tally, "core", "accepted"), of(tally, "core", "connections")) == (0, 50)
    tally.heard(EAST, numbers.encode(core(1_003, 51)))
    assert (of(tally, "core", "accepted"), of(tally, "core", "connections")) == (3, 51)
    assert (of(tally, "worker_restarts", "logic"), of(tally, "worker_hangs", "logic")) == (4, 1)


def test_a_trunk_that_breaks_while_both_ends_live_counts_nothing_twice() -> None:
    tally = Tally(1, Past())
    tally.attached(hello(EAST))
    tally.heard(EAST, numbers.encode(core(10, 3)))
    tally.gone(EAST)
    tally.attached(hello(EAST, core(12, 3)))
    tally.heard(EAST, numbers.encode(core(15, 3)))
    assert of(tally, "core", "accepted") == 13
