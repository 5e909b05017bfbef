"""Durable direct messages: how many a second, what one costs, how long one takes, and that none is lost or doubled.

200 users in a ring on one server process, on the same machine as the load. Two measurements: closed loop, each user
waiting for its Sent (what the server can do), and open loop by a schedule (how long a message takes at a load that
leaves room). Read next: ../load/chat.py.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any, Final

from bench import machine
from bench.plan import Plan
from bench.server import metrics, server
from bench.swarm import Answer, Swarm, swarm, total
from longlink.testing.server import RunningServer

MEMBERS: Final = 2
USERS: Final = 200
RATE: Final = 500
"""Messages a second of the open loop."""
DRAIN_S: Final = 10.0
AHEAD_NS: Final = 300_000_000
"""The schedule begins so much later than the order, so that every load process is ready."""
CORE: Final = ("writes", "messages_in", "messages_out", "throttled", "ring_full", "dropped_events")


def measure_load(plan: Plan, turn: int) -> dict[str, float]:
    """Closed loop: rates a second, CPU us per message, and faults, which must be 0."""
    with server() as running, swarm(MEMBERS) as crowd:
        _ready(running, crowd, turn)
        crowd.all("loop")
        time.sleep(plan.load_warm_s)
        begun = _Moment(running, crowd)
        time.sleep(plan.load_s)
        window = begun.until(_Moment(running, crowd))
        crowd.all("halt")
        return window | _verify(crowd)


def measure_latency(plan: Plan, turn: int) -> dict[str, float]:
    """Open loop: ms from due to delivered and to acknowledged, how late the load itself was, and faults."""
    with server() as running, swarm(MEMBERS) as crowd:
        _ready(running, crowd, turn)
        _follow(crowd, 1.0)
        _drain(crowd)
        crowd.all("delays")
        begun = _Moment(running, crowd)
        late_ns = _follow(crowd, plan.latency_s)
        _drain(crowd)
        window = begun.until(_Moment(running, crowd))
        taken = crowd.all("delays")
        return {
            **_quantiles("delivered", [delay for answer in taken for delay in answer["delivered_ns"]]),
            **_quantiles("acked", [delay for answer in taken for delay in answer["acked_ns"]]),
            **_quantiles("late", late_ns),
            "cpu_us": window["cpu_us"],
            "other_cores": window["other_cores"],
            **_verify(crowd),
        }


class _Moment:
    """The totals of load and server at one time."""

    def __init__(self, running: RunningServer, crowd: Swarm) -> None:
        self.core = metrics(running)
        self.counts = crowd.all("count")
        self.at_s = time.perf_counter()
        self.cpu = machine.cpu(running.pid)
        self.busy_s = machine.busy_s()
        self.threads = machine.cpu_by_thread(running.pid)

    def until(self, end: _Moment) -> dict[str, float]:
        """What happened from this moment to `end`."""
        lasted_s = end.at_s - self.at_s
        counted = {name: _growth(self.counts, end.counts, name) for name in ("acked", "received", "acks", "cpu_s")}
        used = end.cpu.since(self.cpu)
        messages = max(1.0, counted["acked"])
        sampled = max(1e-9, used.user_s + used.kernel_s)
        return {
            "acked_per_s": counted["acked"] / lasted_s,
            "delivered_per_s": counted["received"] / lasted_s,
            "both_per_s": min(counted["acked"], counted["received"]) / lasted_s,
            "acks_per_s": counted["acks"] / lasted_s,
            "cpu_us": used.total_s / messages * 1e6,
            "cpu_kernel_us": used.total_s * used.kernel_s / sampled / messages * 1e6,
            "server_cores": used.total_s / lasted_s,
            "load_cores": counted["cpu_s"] / lasted_s,
            "other_cores": (end.busy_s - self.busy_s - used.total_s - counted["cpu_s"]) / lasted_s,
            **{f"thread {name}": self._thread(end, name) / messages * 1e6 for name in end.threads},
            **{f"core {name}": self._core(end, name) / messages for name in CORE},
        }

    def _thread(self, end: _Moment, name: str) -> float:
        return end.threads[name] - self.threads.get(name, 0.0)

    def _core(self, end: _Moment, name: str) -> float:
        full = f"longlink_core_{name}_total"
        return end.core[full] - self.core[full]


def _ready(running: RunningServer, crowd: Swarm, turn: int) -> None:
    each = USERS // MEMBERS
    crowd.each(
        "be",
        [
            {
                "role": "chat",
                "url": running.url,
                "data": str(running.data),
                "source": f"127.{turn + 1}.2.{member + 1}",
                "first": member * each,
                "count": each,
                "total": USERS,
            }
            for member in range(MEMBERS)
        ],
    )
    crowd.all("connect")
    crowd.all("open")


def _follow(crowd: Swarm, lasts_s: float) -> list[int]:
    """Send by the schedule, the members in turn; returns how late each send was, in ns."""
    begin_ns, every_ns = time.perf_counter_ns() + AHEAD_NS, 10**9 // RATE
    share = {"every_ns": every_ns * MEMBERS, "count": int(RATE * lasts_s) // MEMBERS}
    orders = [{"begin_ns": begin_ns + member * every_ns, **share} for member in range(MEMBERS)]
    return [late for answer in crowd.each("follow", orders, within_s=lasts_s + 30) for late in answer["late_ns"]]


def _drain(crowd: Swarm) -> list[Answer]:
    """Wait until everything written is acknowledged, received and acknowledged by its reader; at most DRAIN_S."""
    give_up = time.monotonic() + DRAIN_S
    while True:
        counts = crowd.all("count")
        written = total(counts, "written")
        done = written == total(counts, "acked") == total(counts, "received")
        if (done and total(counts, "acks") == total(counts, "acks_answered")) or time.monotonic() > give_up:
            return counts
        time.sleep(0.1)


def _verify(crowd: Swarm) -> dict[str, float]:
    """Every conversation once more, by what the writer sent, what the reader got and what the server's log says."""
    _drain(crowd)
    answers = crowd.all("check")
    written = _joined(answers, "written")
    received = _joined(answers, "received")
    stored = _joined(answers, "stored")
    faults = [word for answer in answers for word in answer["wrong"]]
    for user, count in written.items():
        reader = str((int(user) + 1) % USERS)
        if [count, count] != stored[user] or received[reader] != count:
            faults.append(f"user {user} wrote {count}, reader got {received[reader]}, log and mark say {stored[user]}")
    for fault in faults[:10]:
        print(f"  FAULT {fault}", flush=True)
    return {"checked": float(sum(written.values())), "faults": float(max(len(faults), total(answers, "wrongs")))}


def _joined(answers: Sequence[Answer], name: str) -> dict[str, Any]:
    return {user: value for answer in answers for user, value in answer[name].items()}


def _growth(before: Sequence[Answer], after: Sequence[Answer], name: str) -> float:
    return total(after, name) - total(before, name)


def _quantiles(name: str, values_ns: Sequence[int]) -> dict[str, float]:
    cuts = statistics.quantiles(values_ns, n=1000, method="inclusive")
    marks = {"p50": 499, "p90": 899, "p99": 989, "p999": 998}
    shown = {f"{name}_{mark}_ms": cuts[index] / 1e6 for mark, index in marks.items()}
    return shown | {f"{name}_max_ms": max(values_ns) / 1e6}
