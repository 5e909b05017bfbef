"""Durable direct messages: how many a second, what one costs, how long one takes, and that none is lost or doubled.

Users in a ring on one server, each writing to the next. Closed loop: the next message when `Sent` (on disk) has come,
so this is what server and load can do together. Open loop: by a schedule, and the clock starts when a message is due,
so a stalled server cannot hide its delay (no coordinated omission). Readers acknowledge once per read. Every message
is checked, and at the end the server's log and marks. Read next: core/engine/src/load/chat.rs.
"""

from __future__ import annotations

import time
from typing import Final

from longlink.bench import delays, machine
from longlink.bench.run import Flag, Numbers, Run
from longlink.bench.server import Product, product
from longlink.bench.swarm import Answer, Swarm, swarm, total
from longlink.protocol.codec import Encoding

NAME: Final = "chat"
SUMMARY: Final = "durable direct messages: rate and CPU in a closed loop, delays in an open one, each message checked"
ROUNDS: Final = 3
FLAGS: Final = (
    Flag("users", 200, 50, "users in the ring, at least 3", least=3),
    Flag("seconds", 6.0, 1.0, "of the closed loop, each round"),
    Flag("rate", 500, 500, "messages a second of the open loop"),
    Flag("open_seconds", 15.0, 1.5, "of the open loop, each round"),
    Flag("size", 100, 100, "bytes of a text"),
    Flag("workers", 0, 0, "gateway processes of the server; 0: one process does all", least=0),
)
MEMBERS: Final = 2
WARM_S: Final = 1.0
DRAIN_S: Final = 20.0
AHEAD_NS: Final = 200_000_000
"""The schedule begins so much later than the order, so that every load process is ready."""
FAULTS: Final = ("skipped", "repeated", "altered", "unexpected", "lost")
CORE: Final = ("writes", "messages_in", "messages_out")


def measure(run: Run) -> Numbers:
    """First the closed loop, then the open one, then the comparison with the server's log."""
    with product(run.home, workers=run.sizes.workers) as serving, swarm(MEMBERS, run.progress.counts) as crowd:
        _ready(run, serving, crowd)
        numbers = _closed(run, serving, crowd) | _open(run, serving, crowd)
        run.progress.phase("chat: comparing with the log")
        answers = crowd.all("verify")
        for word in [word for answer in answers for word in answer["words"]][:5]:
            run.note(word)
        unverified = run.sizes.users - total(answers, "verified")
        faults = sum(total(answers, fault) for fault in FAULTS)
        return numbers | {"checked": total(answers, "received"), "faults": faults + unverified}


def _ready(run: Run, serving: Product, crowd: Swarm) -> None:
    run.progress.phase("chat: connecting")
    names = [f"chat{number:05}" for number in range(run.sizes.users)]
    shares = [range(member, len(names), MEMBERS) for member in range(MEMBERS)]
    outline = {"plan": "chat", "host": "127.0.0.1", "port": serving.port, "size": run.sizes.size}
    outline |= {"subprotocol": Encoding.BINARY.subprotocol}
    crowd.each("be", [outline | {"source": run.source()} for _ in shares])
    crowd.each("enter", [{"users": [names[n] for n in share], "data": str(serving.data)} for share in shares])
    ring = [[(names[(n + 1) % len(names)], names[n - 1]) for n in share] for share in shares]
    crowd.each("open", [{"names": pairs} for pairs in ring])


# The closed loop ------------------------------------------------------------------------------------------------------


class _Moment:
    """The totals of load and server at one time."""

    def __init__(self, serving: Product, crowd: Swarm) -> None:
        self.core = serving.metrics()
        self.counts = crowd.all("count")
        self.at_s = time.perf_counter()
        self.cpu = serving.cpu()
        self.busy_s = machine.busy_s()
        self.threads = machine.cpu_by_thread(serving.pids[0])

    def until(self, end: _Moment) -> Numbers:
        """What happened from this moment to `end`."""
        lasted_s = end.at_s - self.at_s
        grown = {name: total(end.counts, name) - total(self.counts, name) for name in ("acked", "received", "cpu_s")}
        used = end.cpu.since(self.cpu)
        messages = max(1.0, grown["acked"])
        sampled = max(1e-9, used.user_s + used.kernel_s)
        threads = {name: end.threads[name] - self.threads.get(name, 0.0) for name in end.threads}
        return {
            "messages_per_second": min(grown["acked"], grown["received"]) / lasted_s,
            "server_cpu_us_per_message": used.total_s / messages * 1e6,
            "kernel_cpu_us_per_message": used.total_s * used.kernel_s / sampled / messages * 1e6,
            "server_cpus": used.total_s / lasted_s,
            "load_cpus": grown["cpu_s"] / lasted_s,
            "other_cpus": max(0.0, end.busy_s - self.busy_s - used.total_s - grown["cpu_s"]) / lasted_s,
            **{f"thread {name}": spent / messages * 1e6 for name, spent in threads.items()},
            **{f"{name}_per_message": self._core(end, name) / messages for name in CORE},
        }

    def _core(self, end: _Moment, name: str) -> float:
        full = f"longlink_core_{name}_total"
        return end.core.get(full, 0.0) - self.core.get(full, 0.0)


def _closed(run: Run, serving: Product, crowd: Swarm) -> Numbers:
    run.progress.phase("chat: closed loop")
    crowd.all("talk")
    run.progress.wait(WARM_S)
    begun = _Moment(serving, crowd)
    run.progress.wait(run.sizes.seconds)
    window = begun.until(_Moment(serving, crowd))
    crowd.all("halt")
    _drain(run, crowd)
    return window


# The open loop --------------------------------------------------------------------------------------------------------


def _open(run: Run, serving: Product, crowd: Swarm) -> Numbers:
    run.progress.phase(f"chat: {run.sizes.rate} messages a second")
    _follow(run, crowd, WARM_S)
    before, begun = crowd.all("delays"), serving.cpu()
    _follow(run, crowd, run.sizes.open_seconds)
    used = serving.cpu().since(begun)
    after = crowd.all("delays")
    delivered = delays.between(before, after, "delivered")
    return {
        **delays.marks(delivered),
        **delays.marks(delays.between(before, after, "acked"), "acked_"),
        **delays.marks(delays.between(before, after, "late"), "late_"),
        **delays.curve(delivered, "delivered"),
        "open_cpu_us_per_message": used.total_s / max(1, delivered.total()) * 1e6,
    }


def _follow(run: Run, crowd: Swarm, lasts_s: float) -> None:
    """Send by the schedule, the members in turn, and wait until everything has arrived."""
    begin_ns, every_ns = time.monotonic_ns() + AHEAD_NS, 10**9 // run.sizes.rate
    share = {"every_ns": every_ns * MEMBERS, "count": int(run.sizes.rate * lasts_s) // MEMBERS}
    wanted = total(crowd.all("count"), "written") + share["count"] * MEMBERS
    crowd.each("follow", [{"begin_ns": begin_ns + member * every_ns, **share} for member in range(MEMBERS)])
    run.progress.wait(lasts_s)
    _drain(run, crowd, wanted)


def _drain(run: Run, crowd: Swarm, written: float = 0.0) -> None:
    """Wait until everything written is acknowledged to its writer and by its reader; at most DRAIN_S."""
    give_up = time.monotonic() + DRAIN_S
    while not _is_drained(counts := crowd.all("count"), written):
        if time.monotonic() > give_up:
            run.note(f"chat: messages were missing {DRAIN_S:.0f} s after the last was due")
            return
        run.progress.counts({name: total(counts, name) for name in ("acked", "received")})
        time.sleep(0.05)


def _is_drained(counts: list[Answer], least: float) -> bool:
    return least <= total(counts, "written") == total(counts, "acked") == total(counts, "marked")
