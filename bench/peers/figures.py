"""The figures of one server in one round: memory and CPU of idle connections, CPU of connecting, echo and fan-out.

Two fresh starts: one for the large crowd, one for the small, so that no figure is of a heap that another has filled.
CPU time of all processes of the server, not wall time. Read next: load.py; README.md, "Method".
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from bench.peers import install, probe
from bench.peers.load import Crowd
from bench.peers.probe import Sizes
from bench.peers.running import Server, running
from bench.peers.table import Peer

PAYLOAD: Final = b"p" * 100


class Plan(NamedTuple):
    """Sizes in connections, times in seconds, messages to the room as counts."""

    name: str
    rounds: int
    first: int
    many: int
    few: int
    settle_s: float
    ping_s: float
    ping_every_s: float
    echo_warm_s: float
    echo_s: float
    many_messages: int
    few_messages: int


FULL: Final = Plan("full", 3, 500, 9_500, 1_000, 1.0, 6.0, 3.0, 0.5, 3.0, 20, 200)
QUICK: Final = Plan("quick", 1, 200, 1_800, 1_000, 1.0, 3.0, 3.0, 0.3, 1.0, 20, 40)

Numbers = dict[str, float]


def measure(peer: Peer, plan: Plan, sizes: Sizes) -> Numbers:
    """Raises RuntimeError or OSError with what went wrong."""
    return _large(peer, plan, sizes) | _small(peer, plan, sizes)


def ask(peer: Peer) -> Sizes:
    """How much the server answers: asked once, it does not change."""
    with _started(peer) as server:
        return probe.ask(peer.dialect, server.port, PAYLOAD)


@contextlib.contextmanager
def _started(peer: Peer) -> Iterator[Server]:
    home = install.HOME / "running" / peer.name
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    with running(peer.command(home), home / "log") as server:
        yield server


@contextlib.contextmanager
def _crowd(peer: Peer, server: Server) -> Iterator[Crowd]:
    made = Crowd(server.port, peer.dialect)
    try:
        yield made
    finally:
        made.close()


def _large(peer: Peer, plan: Plan, sizes: Sizes) -> Numbers:
    with _started(peer) as server, _crowd(peer, server) as members:
        numbers = _idle(peer, plan, sizes, server, members)
        return numbers | {"fanout_many_us": _fanout(peer, server, members, sizes, plan.many_messages)}


def _idle(peer: Peer, plan: Plan, sizes: Sizes, server: Server, members: Crowd) -> Numbers:
    """Between a first crowd, which pays for what is made once, and many more."""
    members.connect([peer.dialect.member(number) for number in range(plan.first)], sizes.joined)
    members.rest(plan.settle_s)
    memory, cpu_s = server.pss_bytes(), server.cpu_s()
    more = range(plan.first, plan.first + plan.many)
    members.connect([peer.dialect.member(number) for number in more], sizes.joined)
    joining_s = server.cpu_s() - cpu_s
    members.rest(plan.settle_s)
    grown, cpu_s = server.pss_bytes() - memory, server.cpu_s()
    sent = members.ping(plan.ping_s, plan.ping_every_s)
    members.rest(plan.settle_s)
    pinging_s = server.cpu_s() - cpu_s
    _see_pongs(peer, members, sent)
    return {
        "idle_bytes": grown / plan.many,
        "idle_us_per_s": pinging_s * 1e6 / len(members) / (plan.ping_s + plan.settle_s),
        "connect_us": joining_s * 1e6 / plan.many,
    }


def _see_pongs(peer: Peer, members: Crowd, sent: int) -> None:
    answered = members.pongs if not peer.dialect.ping else members.received // len(peer.dialect.ping)
    if answered != sent:
        raise RuntimeError(f"{answered} of {sent} pings were answered")


def _small(peer: Peer, plan: Plan, sizes: Sizes) -> Numbers:
    with _started(peer) as server:
        with _crowd(peer, server) as loners:
            loners.connect([peer.dialect.alone(number, PAYLOAD) for number in range(plan.few)], sizes.alone)
            echo_us = _echo(plan, sizes, server, loners)
        with _crowd(peer, server) as members:
            members.connect([peer.dialect.member(number) for number in range(plan.few)], sizes.joined)
            members.rest(plan.settle_s)
            return {"echo_us": echo_us, "fanout_few_us": _fanout(peer, server, members, sizes, plan.few_messages)}


def _echo(plan: Plan, sizes: Sizes, server: Server, loners: Crowd) -> float:
    loners.begin_echoes(sizes.echo)
    loners.rest(plan.echo_warm_s)
    echoes, cpu_s = loners.echoes, server.cpu_s()
    loners.rest(plan.echo_s)
    echoes, cpu_s = loners.echoes - echoes, server.cpu_s() - cpu_s
    loners.end_echoes()
    if not echoes:
        raise RuntimeError("no echo came back")
    return cpu_s * 1e6 / echoes


def _fanout(peer: Peer, server: Server, members: Crowd, sizes: Sizes, messages: int) -> float:
    with _crowd(peer, server) as publisher:
        publisher.connect([peer.dialect.publisher()], sizes.publisher)
        message = peer.dialect.publish(PAYLOAD)
        members.publish(message, publisher, sizes.delivery, max(2, messages // 10))
        cpu_s = server.cpu_s()
        members.publish(message, publisher, sizes.delivery, messages)
        return (server.cpu_s() - cpu_s) * 1e6 / (messages * len(members))


FIGURES: Final[Mapping[str, str]] = {
    "idle_bytes": "idle: memory",
    "idle_us_per_s": "idle: a second with pings",
    "connect_us": "connect",
    "echo_us": "echo",
    "fanout_few_us": "delivery to {few}",
    "fanout_many_us": "delivery to {many}",
}
"""What `measure` returns, in the order of the page, with the heads of the columns."""
