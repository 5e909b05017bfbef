"""Many sessions lose their connection at once and come back with their keys: what it costs, and who waits for it.

First alone, for the CPU. Then once more while others send each other direct messages by a schedule, whose delays say
what the storm does to people who have not lost anything. Nothing is sent to the sessions meanwhile, so none of them may
have missed something. Read next: core/engine/src/load/comeback.rs.
"""

from __future__ import annotations

import resource
import time
from typing import Final

from longlink.bench import delays
from longlink.bench.figures.chat import AHEAD_NS, DRAIN_S, FAULTS, WARM_S
from longlink.bench.run import Flag, Numbers, Run
from longlink.bench.server import Product, product
from longlink.bench.swarm import Swarm, swarm, total
from longlink.ops import files
from longlink.protocol.codec import Encoding

NAME: Final = "resume"
SUMMARY: Final = "sessions that all lose their connection at once and come back, and the messages of others meanwhile"
ROUNDS: Final = 3
FLAGS: Final = (
    Flag("sessions", 20_000, 1_000, "sessions that come back", least=2),
    Flag("at_once", 64, 64, "of them under way at once, for each of two load processes"),
    Flag("users", 100, 50, "users who send each other messages meanwhile, at least 3", least=3),
    Flag("rate", 500, 500, "messages a second between them"),
    Flag("workers", 0, 0, "gateway processes of the server; 0: one process does all", least=0),
)
MEMBERS: Final = 2
SHARE_OF_FILES: Final = 0.85
"""Of the links that the file limit allows: while all come back, some are there twice."""
LONGEST_S: Final = 60
"""The schedule of the others ends at the latest after so long; it is ended when all have come back."""


def measure(run: Run) -> Numbers:
    """us of server CPU for each session that comes back, and ms from due to delivered of the others."""
    sessions = _sessions(run)
    with product(run.home, workers=run.sizes.workers) as serving, swarm(MEMBERS, run.progress.counts) as crowd:
        _arrive(run, serving, crowd, sessions)
        run.progress.phase("resume: all come back")
        begun, spent = time.perf_counter(), serving.cpu()
        crowd.all("come_back")
        lasted_s, used = time.perf_counter() - begun, serving.cpu().since(spent)
        with swarm(1, run.progress.counts) as others:
            _ready(run, serving, others)
            numbers = _storm(run, crowd, others)
        counts = crowd.all("count")
        # A load process that is ended leaves its ports waiting for a minute, and the next run has the same addresses.
        crowd.all("close")
        for word in [word for answer in counts for word in answer["words"]][:5]:
            run.note(word)
    return numbers | {
        "cpu_us": used.total_s / sessions * 1e6,
        "per_second": sessions / lasted_s,
        "missed": total(counts, "missed"),
        "lost": 2 * sessions - total(counts, "resumed") + total(counts, "lost"),
    }


def _sessions(run: Run) -> int:
    """As many as were asked for, or as this machine allows one process to hold."""
    most = int(files.link_files(resource.getrlimit(resource.RLIMIT_NOFILE)[1]) * SHARE_OF_FILES)
    asked: int = run.sizes.sessions
    if asked > most:
        run.note(f"resume: {most:,} sessions instead of {asked:,}, because of the limit of open files")
    return min(asked, most) // MEMBERS * MEMBERS


def _arrive(run: Run, serving: Product, crowd: Swarm, sessions: int) -> None:
    run.progress.phase("resume: connecting")
    share = sessions // MEMBERS
    outline = {"plan": "comeback", "host": "127.0.0.1", "port": serving.port, "at_once": run.sizes.at_once}
    outline |= {"subprotocol": Encoding.BINARY.subprotocol}
    crowd.each("be", [outline | {"source": run.source()} for _ in range(MEMBERS)])
    orders = [
        {"prefix": "back", "first": member * share, "count": share, "data": str(serving.data)}
        for member in range(MEMBERS)
    ]
    crowd.each("enter_many", orders)


def _ready(run: Run, serving: Product, others: Swarm) -> None:
    names = [f"other{number:04}" for number in range(run.sizes.users)]
    outline = {"plan": "chat", "host": "127.0.0.1", "port": serving.port, "source": run.source()}
    others.each("be", [outline | {"subprotocol": Encoding.BINARY.subprotocol}] * len(others.members))
    others.all("enter", users=names, data=str(serving.data))
    others.all("open", names=[(names[(n + 1) % len(names)], names[n - 1]) for n in range(len(names))])


def _storm(run: Run, crowd: Swarm, others: Swarm) -> Numbers:
    run.progress.phase("resume: all come back, others talk")
    schedule = {"every_ns": 10**9 // run.sizes.rate, "count": run.sizes.rate * LONGEST_S}
    others.all("follow", begin_ns=time.monotonic_ns() + AHEAD_NS, **schedule)
    run.progress.wait(WARM_S)
    before = others.all("delays")
    crowd.all("come_back")
    others.all("halt")
    _drain(run, others)
    after = others.all("delays")
    run.progress.phase("resume: comparing with the log")
    counts = others.all("verify")
    faults = sum(total(counts, fault) for fault in FAULTS) + run.sizes.users - total(counts, "verified")
    delivered = delays.between(before, after, "delivered")
    return {
        **delays.marks(delivered),
        **delays.marks(delays.between(before, after, "late"), "late_"),
        "checked": delivered.total(),
        "faults": faults,
    }


def _drain(run: Run, others: Swarm) -> None:
    give_up = time.monotonic() + DRAIN_S
    while True:
        counts = others.all("count")
        if total(counts, "written") == total(counts, "acked") == total(counts, "marked"):
            return
        if time.monotonic() > give_up:
            run.note(f"resume: messages were missing {DRAIN_S:.0f} s after the last was sent")
            return
        time.sleep(0.05)
