"""One soak from its first to its last line. Read next: crowd.py, storm.py."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from longlink.testing.network import HostileNetwork
from longlink.testing.server import RunningServer, run_server
from longlink.testing.soak.crowd import Crowd, Plan
from longlink.testing.soak.storm import Storm

SETTINGS: Final = {
    "LONGLINK_CONNECTION_ACCEPT_RATE": "0",
    "LONGLINK_CONNECTION_HALF_OPEN_PER_ADDRESS": "100000",
    "LONGLINK_CONNECTION_MAX_MESSAGE_BYTES": "16384",
    "LONGLINK_CONNECTION_QUEUE_BYTES": "65536",
    "LONGLINK_CONNECTION_RING_EVENTS": "256",
    "LONGLINK_STORAGE_QUEUE": "200",
    "LONGLINK_STORAGE_BATCH": "64",
}
"""Small queues, so that they fill: what is dropped, refused or closed then must not be lost either."""
EVERY_S: Final = 2.0
STEP_S: Final = 0.05
SETTLE_S: Final = 60.0
SHOWN: Final = 5


@dataclass
class Outcome:
    """What a soak has found. messages: how many were said; trouble: one line for each thing that is wrong."""

    messages: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    trouble: list[str] = field(default_factory=list)
    links: int = 0
    resumed: int = 0
    blows: Counter[str] = field(default_factory=Counter)

    @property
    def good(self) -> bool:
        """Whether nothing at all was wrong."""
        return not self.trouble and not self.kinds

    @property
    def line(self) -> str:
        """The last line of a soak."""
        lost, doubled, reordered = (self.kinds[kind] for kind in ("lost", "doubled", "reordered"))
        return f"lost={lost} doubled={doubled} reordered={reordered} messages={self.messages}"


@dataclass(frozen=True)
class Course:
    """How long, how much and how hard. seconds: of talking; messages: it ends earlier when so many are said, 0: it does
    not. rate: messages a second. kill_every_s: 0 for no kills. workers: gateways of the server, 0 for one process."""

    plan: Plan
    seconds: float
    messages: int = 0
    rate: float = 600.0
    kill_every_s: float = 10.0
    workers: int = 0


async def soak(course: Course, say: Callable[[str], None]) -> Outcome:
    """Run it; say: gets the lines of progress."""
    settings = SETTINGS | ({"LONGLINK_SERVER_WORKERS": str(course.workers)} if course.workers else {})
    with run_server(settings=settings) as server:
        async with (
            HostileNetwork(server.port, seed=course.plan.seed) as network,
            HostileNetwork(server.port, seed=course.plan.seed + 1, frames=True) as lossy,
        ):
            crowd = Crowd(server, (network, lossy), course.plan)
            storm = Storm(server, (network, lossy), course.kill_every_s, course.plan.seed)
            outcome = Outcome(blows=storm.blows)
            asyncio.get_running_loop().set_exception_handler(lambda _, context: _complain(outcome, context))
            await crowd.enter()
            try:
                await _talk(course, crowd, storm, say)
                await _finish(crowd, storm, outcome, say)
            finally:
                await crowd.leave()
            outcome.trouble += _defects(server)
            return outcome


async def _talk(course: Course, crowd: Crowd, storm: Storm, say: Callable[[str], None]) -> None:
    storm.begin()
    blowing = asyncio.create_task(storm.blow())
    begun = before = shown = time.monotonic()
    try:
        while (now := time.monotonic()) - begun < course.seconds and not 0 < course.messages <= crowd.asked:
            crowd.talk(course.rate * (now - before))
            before = now
            if now - shown >= EVERY_S:
                shown = now
                say(_progress(now - begun, crowd, storm))
            if blowing.done():
                blowing.result()
            await asyncio.sleep(STEP_S)
    finally:
        blowing.cancel()
        with suppress(asyncio.CancelledError):
            await blowing


async def _finish(crowd: Crowd, storm: Storm, outcome: Outcome, say: Callable[[str], None]) -> None:
    say(f"the storm is over; {crowd.waiting:,} of {crowd.asked:,} messages wait for an answer")
    storm.heal()
    begun = time.monotonic()
    missing = crowd.unsettled()
    while missing and time.monotonic() - begun < SETTLE_S:
        missing = await crowd.settle(EVERY_S)
        say(f"settling: {len(missing):,} places of devices lack something; {crowd.connected} are connected")
    say(f"quiet after {time.monotonic() - begun:.1f} s; reading the log")
    violations = await crowd.violations()
    outcome.messages = crowd.asked
    outcome.kinds.update(violation.kind for violation in violations)
    outcome.trouble += [str(violation) for violation in violations[:SHOWN]] + missing[:SHOWN] + crowd.complaints[:SHOWN]
    outcome.links = sum(device.links for device in crowd.devices)
    outcome.resumed = sum(device.resumed for device in crowd.devices)


def _progress(seconds: float, crowd: Crowd, storm: Storm) -> str:
    minutes, rest = divmod(int(seconds), 60)
    blows = ", ".join(f"{count} {name}" for name, count in sorted(storm.blows.items()))
    stored = crowd.asked - crowd.waiting
    return (
        f"{minutes}:{rest:02}  {crowd.asked:,} said, {stored:,} stored, {crowd.connected} of {len(crowd.devices)} "
        f"connected; {blows}"
    )


def _complain(outcome: Outcome, context: Mapping[str, Any]) -> None:
    outcome.trouble.append(f"{context['message']}: {context.get('exception')!r}")


def _defects(server: RunningServer) -> list[str]:
    """What the server's log says of its own defects."""
    expected = ("debug", "info", "warning")
    found = [entry for entry in server.log if entry.get("level") not in expected]
    return [f"the server's log: {entry}" for entry in found if entry.get("event") != "worker_ended"][:SHOWN]
