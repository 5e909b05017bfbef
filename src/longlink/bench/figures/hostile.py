"""What a pair notices while others ask for as much as they can: strangers, and one user on 32 connections.

The pair sends 20 messages a second, each on disk before it is acknowledged; its clock starts when a message is due.
Attacks run in a process of their own, from another address, with the limits of a first start. Read next:
../../testing/attack.py.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Final

from longlink.bench import machine
from longlink.bench.figures.sync import USER, fill
from longlink.bench.run import Flag, Numbers, Run
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Content, Frame, ListConversations, Send
from longlink.testing.attack import Line, Pair, attack
from longlink.testing.server import RunningServer

NAME: Final = "hostile"
SUMMARY: Final = "a pair that exchanges messages while strangers or one user ask for as much as they can"
ROUNDS: Final = 1
FLAGS: Final = (
    Flag("seconds", 10.0, 2.0, "of each attack"),
    Flag("rate", 20, 20, "messages a second of the pair"),
    Flag("strangers", 50, 50, "connections a second without a token"),
    Flag("links", 32, 8, "connections of the one user"),
    Flag("conversations", 1_000, 250, "conversations of the one user, at least 200", least=200),
    Flag("workers", 0, 0, "gateway processes of the server; 0: one process does all", least=0),
)
HEADSTART_S: Final = 0.5
"""How long an attack runs before the pair begins."""
ENTRIES: Final = 220
"""Of the conversation whose pages are read."""


def measure(run: Run) -> Numbers:
    """The pair alone, then against strangers, against the one user, and against one who sends the longest messages."""
    with tempfile.TemporaryDirectory(dir=run.home, prefix="hostile-") as folder:
        run.progress.phase("hostile: writing conversations")
        asyncio.run(fill(Path(folder) / "data", run.sizes.conversations, 10))
        settings = {"LONGLINK_DRAIN_DURATION_MS": "0"}
        if run.sizes.workers:
            settings["LONGLINK_SERVER_WORKERS"] = str(run.sizes.workers)
        server = RunningServer(Path(folder) / "data", settings)
        server.start()
        try:
            return _measure(run, server)
        finally:
            server.stop()


def _measure(run: Run, server: RunningServer) -> Numbers:
    token, seconds = server.token(USER), run.sizes.seconds + HEADSTART_S
    conversations = asyncio.run(prepare(server))
    common = {"port": server.port, "seconds": seconds}
    links = {"token": token, "links": run.sizes.links}
    numbers = _alone(run, server)
    numbers |= _against(run, server, "strangers", "strangers", {**common, "rate": run.sizes.strangers})
    numbers |= _against(run, server, "heavy", "user", {**common, **links, "conversations": conversations})
    numbers |= _against(run, server, "hoarder", "long", {**common, **links, "peer": "peer-1"})
    numbers["peak_mib"] = sum(peak_bytes(pid) for pid in machine.family(server.pid)) / 2**20
    return numbers


async def prepare(server: RunningServer) -> list[str]:
    """The conversations of the one user; the first of them has ENTRIES entries from now on."""
    line = await Line.open(server.port, Encoding.BINARY)
    await line.enter(server.token(USER), "first")
    found: list[str] = []
    cursor = ""
    while not found or cursor:
        request = ListConversations(limit=200, cursor=cursor)
        page = (await line.ask(Frame(id=2, list_conversations=request))).conversations
        found += [conversation.id for conversation in page.conversations]
        cursor = page.next
    for number in range(ENTRIES):
        content = Content(text="about as long as what people write to each other on a phone")
        await line.ask(Frame(id=3, send=Send(conversation=found[0], client_id=f"entry-{number}", content=content)))
    line.writer.close()
    return found


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had in RAM, shared pages included."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def _alone(run: Run, server: RunningServer) -> Numbers:
    run.progress.phase("hostile: the pair alone")
    return _shown("alone", asyncio.run(_talk(run, server, "alone")))


def _against(run: Run, server: RunningServer, name: str, key: str, parameters: dict[str, Any]) -> Numbers:
    run.progress.phase(f"hostile: {name}")
    pids = machine.family(server.pid)
    before = machine.cpu_of(pids).total_s
    with attack(name, **parameters) as running:
        pair = asyncio.run(_talk(run, server, name, HEADSTART_S))
    used = machine.cpu_of(pids).total_s - before
    counts: Counter[str] = running.counts
    run.note(f"{name}: {', '.join(f'{outcome} {count}' for outcome, count in sorted(counts.items()))}")
    told = {f"{key}_told": float(counts["rate_limited"])} if key != "strangers" else {}
    return _shown(key, pair) | {f"{key}_cpus": used / parameters["seconds"]} | told


async def _talk(run: Run, server: RunningServer, name: str, after_s: float = 0.0) -> Pair:
    names = [f"{name}-alice", f"{name}-bob"]
    pair = await Pair.meet(server.port, [server.token(user) for user in names], names)
    await asyncio.sleep(after_s)
    await pair.talk(run.sizes.seconds, run.sizes.rate)
    pair.close()
    return pair


def _shown(key: str, pair: Pair) -> Numbers:
    delays = sorted(pair.acked_s.values()) or [0.0]
    return {
        f"{key}_missing": float(pair.sent - min(len(pair.acked_s), len(pair.delivered))),
        f"{key}_p50_ms": delays[len(delays) // 2] * 1000,
        f"{key}_p99_ms": delays[int(len(delays) * 0.99)] * 1000,
    }
