"""CPU per delivery when one message goes to all in a room: one by one, and gathered; against the floor's single writes.

The next message leaves when all have the one before, so nothing is dropped, and every delivery is checked. Gathered:
bursts of several messages that the server may put into one write per receiver; a burst always waits where it is
gathered, so the price is that of full windows. More receivers than one process has files for are spread over several
servers, each with a load of its own. Read next: ../floor.c.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from longlink.bench import machine
from longlink.bench.figures.echo import complain
from longlink.bench.floor import MISSING, floor
from longlink.bench.machine import Cpu
from longlink.bench.run import Flag, Numbers, Run
from longlink.bench.server import Serving, core, program
from longlink.bench.swarm import Answer, Swarm, swarm, total
from longlink.protocol.codec import Encoding

NAME: Final = "fanout"
SUMMARY: Final = "CPU per delivery of a message to many receivers, one by one and coalesced, against a minimal C server"
ROUNDS: Final = 2
FLAGS: Final = (
    Flag(
        "receivers", [10_000, 1_000, 50_000], [500], "receivers; the first is the figure, others get its name with _N"
    ),
    Flag("seconds", 3.0, 0.4, "of measuring, for each server, way and round"),
    Flag("size", 100, 100, "bytes of a message"),
    Flag("burst", 8, 8, "messages that are gathered"),
)
MOST: Final = 18_000
"""Receivers of one server: a process may have 20,000 files."""
SLICES: Final = 2
WARM_S: Final = 0.2
CONNECT_S: Final = 120.0
DRAIN_S: Final = 20.0
FAULTS: Final = ("skipped", "repeated", "altered", "unexpected", "lost")
FOREVER: Final = 2**62
"""Bursts that no run gets through."""


class _Window(NamedTuple):
    """What happened in one slice, or in several of one kind together."""

    deliveries: float
    reads: float
    lasted_s: float
    used: Cpu

    def plus(self, other: _Window) -> _Window:
        used = Cpu(*(one + another for one, another in zip(self.used, other.used, strict=True)))
        lasted_s = self.lasted_s + other.lasted_s
        return _Window(self.deliveries + other.deliveries, self.reads + other.reads, lasted_s, used)

    def since(self, before: _Window) -> _Window:
        used, lasted_s = self.used.since(before.used), self.lasted_s - before.lasted_s
        return _Window(self.deliveries - before.deliveries, self.reads - before.reads, lasted_s, used)

    def us(self) -> float:
        return self.used.total_s / max(1.0, self.deliveries) * 1e6


class _Side:
    """Servers of one make, each with its load, and the receivers spread over them."""

    def __init__(self, name: str, servings: Sequence[Serving], crowd: Swarm) -> None:
        self.name = name
        self.servings = servings
        self.crowd = crowd

    def slice(self, run: Run, messages: int) -> _Window:
        """Publish all the time, and count what happens in the middle of it."""
        run.progress.phase(f"fanout: {self.name}, {messages} in a burst")
        self.crowd.all("publish", bursts=FOREVER, messages=messages, gather=messages > 1)
        run.progress.wait(WARM_S)
        begin = self._moment()
        run.progress.wait(run.sizes.seconds / SLICES)
        end = self._moment()
        self.crowd.all("halt")
        self._drain(run)
        return end.since(begin)

    def _moment(self) -> _Window:
        counts = self.crowd.all("count")
        used = machine.cpu_of(pid for serving in self.servings for pid in serving.pids)
        return _Window(total(counts, "deliveries"), total(counts, "reads"), time.perf_counter(), used)

    def _drain(self, run: Run) -> None:
        """Until every receiver has all that was published to it; what has not come by then has been lost."""
        give_up = time.monotonic() + DRAIN_S
        while time.monotonic() < give_up:
            if all(_lacking(answer) == 0 for answer in self.crowd.all("count")):
                return
            time.sleep(0.05)
        run.note(f"{self.name}: deliveries were missing {DRAIN_S:.0f} s after the last message")


def _lacking(answer: Answer) -> float:
    return float(answer["published"] * (answer["joined"] - 1) - answer["deliveries"])


def measure(run: Run) -> Numbers:
    """All sizes in turn; numbers of the first have plain names."""
    numbers: Numbers = {}
    for place, receivers in enumerate(run.sizes.receivers):
        found = _measure(run, receivers)
        numbers |= found if place == 0 else {f"{name}_{receivers}": value for name, value in found.items()}
    return numbers


def _measure(run: Run, receivers: int) -> Numbers:
    with contextlib.ExitStack() as stack:
        ours = _side(run, stack, "core", receivers, lambda: core("--room"), Encoding.BINARY.subprotocol)
        built = floor()
        theirs = _side(run, stack, "floor", receivers, lambda: program([built.program]), "") if built else None
        if theirs is None:
            run.note(MISSING)
        ways: list[tuple[str, _Side, int]] = [("single", ours, 1), ("gathered", ours, run.sizes.burst)]
        ways += [("floor", theirs, 1)] if theirs else []
        seen: dict[str, _Window] = {}
        for step in range(SLICES * len(ways)):
            name, side, messages = ways[(run.turn + step) % len(ways)]
            window = side.slice(run, messages)
            seen[name] = seen[name].plus(window) if name in seen else window
        answers = [answer for side in (ours, theirs) if side for answer in side.crowd.all("count")]
        complain(run, answers)
        return _numbers(seen) | {
            "checked": total(answers, "deliveries"),
            "faults": sum(total(answers, fault) for fault in FAULTS) + sum(map(_lacking, answers)),
        }


def _numbers(seen: dict[str, _Window]) -> Numbers:
    single, gathered = seen["single"], seen["gathered"]
    numbers = {
        "cpu_us_per_delivery": single.us(),
        "deliveries_per_second": single.deliveries / single.lasted_s,
        "coalesced_cpu_us_per_message": gathered.us(),
        "coalesced_deliveries_per_second": gathered.deliveries / gathered.lasted_s,
        "coalesced_messages_per_read": gathered.deliveries / max(1.0, gathered.reads),
    }
    if "floor" in seen:
        least = seen["floor"].us()
        numbers |= {
            "floor_cpu_us_per_delivery": least,
            "floor_deliveries_per_second": seen["floor"].deliveries / seen["floor"].lasted_s,
            "cpu_ratio_to_floor": single.us() / least,
            "coalesced_cpu_ratio_to_floor": gathered.us() / least,
        }
    return numbers


def _side(
    run: Run,
    stack: contextlib.ExitStack,
    name: str,
    receivers: int,
    start: Callable[[], contextlib.AbstractContextManager[Serving]],
    subprotocol: str,
) -> _Side:
    size = -(-receivers // MOST)
    servings = [stack.enter_context(start()) for _ in range(size)]
    crowd = stack.enter_context(swarm(size, run.progress.counts))
    outlines = [
        {"plan": "fanout", "host": "127.0.0.1", "port": serving.port, "source": run.source()}
        | {"subprotocol": subprotocol, "size": run.sizes.size}
        for serving in servings
    ]
    crowd.each("be", outlines)
    run.progress.phase(f"fanout: connecting {receivers:,} to {name}")
    shares = [receivers // size + (member < receivers % size) for member in range(size)]
    crowd.each("connect", [{"count": 1 + share} for share in shares], within_s=CONNECT_S)
    return _Side(name, servings, crowd)
