"""Chapter 17, shares: whatever strangers or one user ask for, a pair goes on talking, and memory keeps its ceiling.

Outcomes are counted; how long the pair waited is a figure of `longlink bench hostile`. Read next:
../../src/longlink/testing/attack.py.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from longlink import memory
from longlink.bench import machine
from longlink.bench.figures.hostile import peak_bytes, prepare
from longlink.bench.figures.sync import USER, fill
from longlink.config import Config, Server
from longlink.testing import RunningServer
from longlink.testing.attack import LINKS, Attack, Pair, attack

from .people import Door, failures, metric

SECONDS: Final = 4.0
RATE: Final = 20.0
CONVERSATIONS: Final = 1_000
UNLIMITED: Final = {"LONGLINK_LIMITS_WORK_RATE": "0", "LONGLINK_CONNECTION_MESSAGE_RATE": "0"}
ADDRESS_SPACE: Final = 3 * 2**29
"""1.5 GiB, stacks of threads and reserved arenas included: a server without bounds reaches it within seconds."""


@contextmanager
def running(folder: Path, settings: Mapping[str, str]) -> Iterator[RunningServer]:
    server = RunningServer(folder, settings)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a user who has many conversations; one test after the other writes to it."""
    folder = tmp_path_factory.mktemp("shares") / "data"
    asyncio.run(fill(folder, CONVERSATIONS, 10))
    return folder


def talk(server: RunningServer, name: str, against: Attack) -> Pair:
    """A pair that talks while an attack runs; returns once both have ended."""

    async def scene() -> Pair:
        names = [f"{name}-alice", f"{name}-bob"]
        pair = await Pair.meet(server.port, [server.token(user) for user in names], names)
        await pair.talk(SECONDS, RATE)
        pair.close()
        return pair

    pair = asyncio.run(scene())
    against.end()
    return pair


def whole(pair: Pair) -> None:
    """Everything that was sent is acknowledged, and delivered once and in order."""
    assert pair.refused == {}
    assert len(pair.acked_s) == pair.sent == SECONDS * RATE
    assert pair.delivered == [f"{number}" for number in range(pair.sent)]


def test_strangers_who_send_the_dearest_frames_disturb_no_pair(filled: Path, processes: dict[str, str]) -> None:
    with running(filled, processes) as server:
        with attack("strangers", port=server.port, seconds=SECONDS, rate=50) as strangers:
            pair = talk(server, f"strangers-{len(processes)}", strangers)
        whole(pair)
        assert strangers.counts["sent"] == SECONDS * 50
        assert strangers.counts["field_invalid"] + strangers.counts["cut"] > 0
        assert failures(server) == []


def test_a_user_who_makes_the_dearest_requests_is_told_to_slow_down_and_disturbs_no_pair(
    filled: Path, processes: dict[str, str]
) -> None:
    with running(filled, processes) as server:
        asks = {"port": server.port, "seconds": SECONDS, "token": server.token(USER)}
        with attack("heavy", **asks, conversations=asyncio.run(prepare(server))) as heavy:
            pair = talk(server, f"heavy-{len(processes)}", heavy)
        whole(pair)
        assert heavy.counts["rate_limited"] > 0
        assert heavy.counts["answered"] > 0, "the user is served as well"
        assert not [outcome for outcome in heavy.counts if outcome.startswith("ended")], "no connection is closed"
        assert metric(server, "longlink_account_refused_total") >= heavy.counts["rate_limited"]
        assert metric(server, "longlink_core_paused_total") > 0
        assert failures(server) == []


@pytest.mark.parametrize("limits", [{}, UNLIMITED], ids=["limits of a first start", "no limits of work"])
def test_a_user_who_sends_the_longest_messages_to_themselves_leaves_memory_under_its_ceiling(
    tmp_path: Path, processes: dict[str, str], limits: dict[str, str]
) -> None:
    with running(tmp_path / "data", processes | limits) as server:
        pids = machine.family(server.pid)
        for pid in pids:
            resource.prlimit(pid, resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
        parameters = {"port": server.port, "seconds": SECONDS, "token": server.token("hoarder"), "peer": "friend"}
        with attack("hoarder", **parameters) as hoarder:
            talk(server, "hoarder", hoarder)
        assert hoarder.counts["sent"] > LINKS
        peak = sum(peak_bytes(pid) for pid in pids)
        workers = int(processes.get("LONGLINK_SERVER_WORKERS", "0"))
        assert peak <= memory.ceiling(Config(server=Server(workers=workers)))
        with Door(server) as door:
            link = door.enter("afterwards")
            assert link.say(link.direct(link.user), "still there").seq == 1
        assert failures(server) == []
