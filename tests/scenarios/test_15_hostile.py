"""Chapter 15, a hostile network: links that end, by half or in silence, slow and lossy lines, a crowd in a storm.

Read next: talk.py; ../../src/longlink/testing/soak, of which the crowd is.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import pytest

import longlink
from longlink.client import supervisor
from longlink.testing import History, HostileNetwork, RunningServer
from longlink.testing.hosts import TwoHosts, UnavailableError, two_hosts
from longlink.testing.soak.audit import open_all, read_all
from longlink.testing.soak.crowd import Plan
from longlink.testing.soak.run import Course, soak

from .talk import Side, Talk, talking

# One pair -------------------------------------------------------------------------------------------------------------


def _through(server: RunningServer, name: str, blow: Callable[[HostileNetwork], object]) -> Talk:
    """A message before the blow, ten behind it, as fast as they go; all arrive once, in order."""

    async def scene() -> Talk:
        async with talking(server, name) as talk:
            await talk.alice.say("before")
            await talk.bob.until(lambda: talk.bob.texts == ["before"])
            blow(talk.network)
            for number in range(10):
                await talk.alice.say(f"{number}")
            await talk.bob.until(lambda: len(talk.bob.texts) == 11)
            await talk.delivered(11)
            await talk.check()
            return talk

    return asyncio.run(scene())


def test_a_link_that_is_half_open_for_the_server_is_replaced_and_nothing_is_lost(server: RunningServer) -> None:
    talk = _through(server, "half-server", lambda network: network.half_open("client"))
    assert (talk.alice.links, talk.bob.links) == (2, 2)


def test_a_link_that_is_half_open_for_the_client_is_given_up_in_time_and_nothing_is_lost(server: RunningServer) -> None:
    talk = _through(server, "half-client", lambda network: network.half_open("server"))
    assert talk.alice.links == 2, "it wrote, heard nothing, and gave the link up"


def test_a_link_that_swallows_everything_is_given_up_in_time_and_nothing_is_lost(server: RunningServer) -> None:
    def blow(network: HostileNetwork) -> None:
        network.black_hole()
        asyncio.get_running_loop().call_later(0.3, network.black_hole, False)

    talk = _through(server, "black", blow)
    assert talk.alice.links >= 2


def test_a_short_partition_costs_no_link_and_nothing_is_lost(server: RunningServer) -> None:
    def blow(network: HostileNetwork) -> None:
        network.hold()
        asyncio.get_running_loop().call_later(0.3, network.hold, False)

    talk = _through(server, "partition", blow)
    assert (talk.alice.links, talk.bob.links) == (1, 1)


def test_a_slow_line_with_jitter_costs_no_link_and_nothing_is_lost(server: RunningServer) -> None:
    def blow(network: HostileNetwork) -> None:
        network.delay(0.02, jitter_s=0.02)
        network.up.rate = network.down.rate = 3_000

    talk = _through(server, "slow", blow)
    assert (talk.alice.links, talk.bob.links) == (1, 1)


# A lossy line ---------------------------------------------------------------------------------------------------------

DELAY_S: Final = 0.3
LOSS: Final = 5
PAIRS: Final = 10
EACH: Final = 20


@contextmanager
def _lossy() -> Iterator[TwoHosts]:
    try:
        with two_hosts() as hosts:
            hosts.loss(LOSS)
            yield hosts
    except UnavailableError as reason:
        pytest.skip(str(reason))


@contextmanager
def _network_on(hosts: TwoHosts, server: RunningServer) -> Iterator[tuple[str, int]]:
    """A network with a delay, in a thread of its own, that listens on the far host; gives its address."""
    loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    sock = hosts.far.listen()
    host, port = sock.getsockname()

    async def serve() -> None:
        async with HostileNetwork(server.port, sock=sock) as network:
            network.delay(DELAY_S)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield host, port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


async def _pair(
    url: str, server: RunningServer, users: tuple[str, str], conversation: str, history: History
) -> list[float]:
    """One pair talks over this line; the seconds from each send to its arrival."""
    options = {"resend_after": 3.0, "connect_timeout": 60.0, "replay": True}
    alice = longlink.connect(url, token=server.token(users[0]), device="phone", **options)  # type: ignore[arg-type]
    bob = longlink.connect(url, token=server.token(users[1]), device="phone", **options)  # type: ignore[arg-type]
    async with alice, bob:
        sides = [Side(client, client.chat(conversation), history) for client in (alice, bob)]
        listening = [asyncio.create_task(side.listen()) for side in sides]
        begun: dict[str, float] = {}
        for number in range(EACH):
            begun[f"{number}"] = asyncio.get_running_loop().time()
            await sides[0].say(f"{number}")
        await sides[1].until(lambda: len(sides[1].texts) == EACH)
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
    return [sides[1].arrived[text] - at for text, at in begun.items()]


@pytest.mark.slow
def test_over_a_line_of_300_ms_that_loses_5_percent_everything_arrives_once_and_in_order(
    server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = [(f"lossy-alice-{number}", f"lossy-bob-{number}") for number in range(PAIRS)]
    history = History()

    async def scene(url: str, opened: dict[tuple[str, str], str]) -> list[float]:
        async with asyncio.timeout(90):
            talks = (_pair(url, server, pair, opened[pair], history) for pair in pairs)
            return sorted(delay for delays in await asyncio.gather(*talks) for delay in delays)

    with _lossy() as hosts:
        opened = asyncio.run(open_all(server, pairs))
        with _network_on(hosts, server) as (host, port):
            delays = hosts.near.run(lambda: asyncio.run(scene(f"ws://{host}:{port}", opened)))
        history.members = {name: pair for pair, name in opened.items()}
        log, marks = asyncio.run(read_all(server, opened))
        history.check(log, marks)
        assert sum(map(len, log.values())) == len(delays) == PAIRS * EACH
        with capsys.disabled():
            p50, p99 = delays[len(delays) // 2], delays[len(delays) * 99 // 100]
            print(f"\n300 ms and {LOSS} % loss: {len(delays)} messages, p50 {p50:.3f} s, p99 {p99:.3f} s")


# A crowd in a storm ---------------------------------------------------------------------------------------------------


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """The public clients take every link for a good one: by their usual waits they come back long after the storm."""
    monkeypatch.setattr(supervisor, "STEADY_S", 0.0)


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.usefixtures("steady")
def test_five_hundred_devices_in_a_storm_with_kills_lose_double_and_reorder_nothing() -> None:
    course = Course(Plan(seed=15), seconds=18.0, messages=20_000, rate=900.0, kill_every_s=6.0)
    outcome = asyncio.run(soak(course, lambda _: None))
    assert outcome.trouble == []
    assert outcome.line == f"lost=0 doubled=0 reordered=0 messages={outcome.messages}"
    assert outcome.messages > 2_000
    assert outcome.blows["kill server"] >= 1
    assert outcome.links > 500


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.usefixtures("steady")
def test_a_crowd_whose_gateways_and_logic_are_killed_loses_doubles_and_reorders_nothing() -> None:
    plan = Plan(users=50, lossy=10, seed=16)
    outcome = asyncio.run(soak(Course(plan, seconds=10.0, rate=300.0, kill_every_s=2.5, workers=2), lambda _: None))
    assert outcome.trouble == []
    assert outcome.line == f"lost=0 doubled=0 reordered=0 messages={outcome.messages}"
    assert sum(count for name, count in outcome.blows.items() if name.startswith("kill")) >= 2
