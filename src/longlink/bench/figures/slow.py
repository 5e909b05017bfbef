"""Receivers that stop reading in a fan-out: what waits for them is bounded, and the others get everything.

Two rooms. In the first the slow ones read again later: each gap that they find must have been told to them, because
what is dropped in silence is lost. In the second they never do: the server must end them, with what waited for them.
The kernel takes about 2.6 MB for a loopback socket before anything waits in the server, so messages are long and many.
Read next: core/engine/src/load/slow.rs.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Final

from longlink.bench.run import Flag, Numbers, Run
from longlink.bench.server import Serving, core
from longlink.bench.swarm import Answer, Swarm, swarm, total
from longlink.protocol.codec import Encoding

NAME: Final = "slow"
SUMMARY: Final = "receivers that stop reading during a fan-out: queues, closes, and the effect on the others"
ROUNDS: Final = 1
FLAGS: Final = (
    Flag("receivers", 500, 24, "receivers in the room"),
    Flag("share", 10, 6, "one receiver in so many stops reading"),
    Flag("after", 20, 5, "messages that it reads before; 0: it stops at once", least=0),
    Flag("messages", 600, 500, "messages to all"),
    Flag("size", 8_000, 8_000, "bytes of a message, at most 16,000"),
)
MESSAGE_BYTES: Final = 16_384
"""Longest message that the room takes; four of them may wait for one connection, and events may take half of that."""
STALL_MS: Final = 2_000
PATIENT_MS: Final = 60_000
RECEIVE_BUFFER: Final = 4_096
MORE: Final = 5
"""Messages after the slow ones read again: a gap shows at the next message."""
PATIENCE_S: Final = 30.0
FAULTS: Final = ("skipped", "repeated", "altered", "unexpected")


def measure(run: Run) -> Numbers:
    """Both rooms."""
    return _read_again(run) | _never_again(run)


def _read_again(run: Run) -> Numbers:
    with _room(run, PATIENT_MS) as (serving, crowd):
        before = serving.own_bytes()
        run.progress.phase(
            f"slow: {run.sizes.messages} messages to {run.sizes.receivers:,}, one in {run.sizes.share} stalls"
        )
        counts = _publish(crowd, run.sizes.messages, 0)
        stalled = max(1.0, total(counts, "stalled"))
        waiting, grown = serving.counters()["queued_bytes"], serving.own_bytes() - before
        dropped = serving.counters()["dropped_events"]
        run.progress.phase("slow: they read again")
        crowd.all("resume")
        _until(crowd, lambda counts: total(counts, "told") >= dropped)
        _publish(crowd, MORE, run.sizes.messages)
        counts = _until(crowd, lambda counts: total(counts, "missed") >= total(counts, "told"))
        return {
            "stalled": stalled,
            "waiting_bytes_per_stalled": waiting / stalled,
            "process_bytes_per_stalled": grown / stalled,
            "dropped_per_stalled": dropped / stalled,
            "untold": abs(total(counts, "missed") - total(counts, "told")),
            "left_waiting_bytes": float(serving.counters()["queued_bytes"]),
            "checked": total(counts, "deliveries"),
            "faults": sum(total(counts, fault) for fault in (*FAULTS, "lost")),
        }


def _never_again(run: Run) -> Numbers:
    with _room(run, STALL_MS) as (serving, crowd):
        run.progress.phase("slow: they never read again")
        counts = _publish(crowd, run.sizes.messages, 0)
        stalled = total(counts, "stalled")
        give_up = time.monotonic() + PATIENCE_S
        while serving.counters()["stalled"] < stalled and time.monotonic() < give_up:
            time.sleep(0.1)
        ended = serving.counters()
        return {
            "not_ended": stalled - ended["stalled"],
            "ended_waiting_bytes": float(ended["queued_bytes"]),
            "faults_beside": sum(total(counts, fault) for fault in FAULTS),
        }


@contextlib.contextmanager
def _room(run: Run, stall_ms: int) -> Iterator[tuple[Serving, Swarm]]:
    flags = ("--room", "--max-message-bytes", str(MESSAGE_BYTES), "--stall-timeout-ms", str(stall_ms))
    with core(*flags) as serving, swarm(1, run.progress.counts) as crowd:
        crowd.all(
            "be",
            plan="slow",
            host="127.0.0.1",
            port=serving.port,
            source=run.source(),
            subprotocol=Encoding.BINARY.subprotocol,
            size=run.sizes.size,
            stall_one_in=run.sizes.share,
            stall_after=run.sizes.after,
            receive_buffer=RECEIVE_BUFFER,
        )
        run.progress.phase("slow: connecting")
        crowd.all("connect", count=run.sizes.receivers + 1)
        yield serving, crowd


def _publish(crowd: Swarm, messages: int, before: int) -> list[Answer]:
    """Until all that read have them."""
    crowd.all("publish", bursts=messages)
    return _until(crowd, lambda counts: total(counts, "bursts") >= before + messages)


def _until(crowd: Swarm, done: Callable[[list[Answer]], bool]) -> list[Answer]:
    """The counts once they are so, or as they are when patience ends; what is missing then shows in the numbers."""
    give_up = time.monotonic() + PATIENCE_S
    while not done(counts := crowd.all("count")) and time.monotonic() < give_up:
        time.sleep(0.05)
    return counts
