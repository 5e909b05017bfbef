"""CPU per echo: our core with Python behind it, and the least that C needs on this kernel, side by side.

A closed loop, one message under way on each connection, every echo checked. Both servers are up all the time and take
turns in slices, so that a change of the machine's mood hits both. Nothing is pinned: our core has two threads, and on
one CPU they would take turns for every few messages, as they never do in service. Read next: ../floor.c.
"""

from __future__ import annotations

import contextlib
import time
from typing import Final

from longlink.bench.floor import MISSING, floor
from longlink.bench.run import Flag, Numbers, Run
from longlink.bench.server import Serving, core, program
from longlink.bench.swarm import Answer, Swarm, swarm, total
from longlink.protocol.codec import Encoding

NAME: Final = "echo"
SUMMARY: Final = "CPU per echo, against a minimal C server"
ROUNDS: Final = 3
FLAGS: Final = (
    Flag("connections", 1_000, 200, "connections, each with one message under way", least=2),
    Flag("seconds", 3.0, 0.5, "of measuring, for each server and round"),
    Flag("size", 100, 100, "bytes of a message"),
)
SLICES: Final = 3
WARM_S: Final = 0.3
FAULTS: Final = ("altered", "unexpected", "lost")


class _Side:
    """One server with its load; used: what it took for how many echoes."""

    def __init__(self, name: str, serving: Serving, crowd: Swarm) -> None:
        self.name = name
        self.serving = serving
        self.crowd = crowd
        self.echoes = self.cpu_s = self.kernel_s = self.sampled_s = self.load_s = self.lasted_s = 0.0

    def slice(self, run: Run, seconds: float) -> None:
        """Let the loop run, and count what happens in the middle of it."""
        run.progress.phase(f"echo: {self.name}")
        self.crowd.all("talk")
        run.progress.wait(WARM_S)
        before, begun, spent = self.crowd.all("count"), time.perf_counter(), self.serving.cpu()
        run.progress.wait(seconds)
        after, ended, used = self.crowd.all("count"), time.perf_counter(), self.serving.cpu().since(spent)
        self.crowd.all("halt")
        self.echoes += total(after, "echoes") - total(before, "echoes")
        self.load_s += total(after, "cpu_s") - total(before, "cpu_s")
        self.cpu_s += used.total_s
        self.kernel_s += used.kernel_s
        self.sampled_s += used.kernel_s + used.user_s
        self.lasted_s += ended - begun

    def us(self) -> float:
        return self.cpu_s / max(1.0, self.echoes) * 1e6


def measure(run: Run) -> Numbers:
    """us of server CPU per echo of both, their ratio, and how many echoes were wrong."""
    with contextlib.ExitStack() as stack:
        sides = _sides(run, stack)
        for step in range(SLICES * len(sides)):
            sides[(run.turn + step) % len(sides)].slice(run, run.sizes.seconds / SLICES)
        ours, *others = sides
        answers = [answer for side in sides for answer in drained(side.crowd)]
        numbers = {
            "cpu_us": ours.us(),
            "kernel_cpu_us": ours.us() * ours.kernel_s / max(1e-9, ours.sampled_s),
            "echoes_per_second": ours.echoes / ours.lasted_s,
            "server_cpus": ours.cpu_s / ours.lasted_s,
            "load_cpu_us": ours.load_s / max(1.0, ours.echoes) * 1e6,
            "checked": sum(total([answer], "echoes") for answer in answers),
            "faults": sum(total(answers, fault) for fault in FAULTS),
        }
        for other in others:
            numbers |= {"floor_cpu_us": other.us(), "cpu_ratio_to_floor": ours.us() / other.us()}
        complain(run, answers)
        return numbers


def _sides(run: Run, stack: contextlib.ExitStack) -> list[_Side]:
    """Ours first; the other one only where there is a compiler."""
    servers = {"core": (core(), Encoding.BINARY.subprotocol)}
    built = floor()
    if built:
        servers["floor"] = (program([built.program]), "")
    else:
        run.note(MISSING)
    sides = []
    for name, (starting, subprotocol) in servers.items():
        serving = stack.enter_context(starting)
        crowd = stack.enter_context(swarm(1, run.progress.counts))
        source = run.source()
        crowd.all(
            "be",
            plan="echo",
            host="127.0.0.1",
            port=serving.port,
            source=source,
            subprotocol=subprotocol,
            size=run.sizes.size,
        )
        run.progress.phase(f"echo: connecting to {name}")
        crowd.all("connect", count=run.sizes.connections)
        sides.append(_Side(name, serving, crowd))
    return sides


def drained(crowd: Swarm) -> list[Answer]:
    """Wait until every echo is back; one that does not come shows as a fault of the server: its link says nothing."""
    for _ in range(100):
        answers = crowd.all("count")
        if total(answers, "messages_sent") == total(answers, "messages_received"):
            break
        time.sleep(0.05)
    return answers


def complain(run: Run, answers: list[Answer]) -> None:
    for word in [word for answer in answers for word in answer["words"]][:5]:
        run.note(word)
