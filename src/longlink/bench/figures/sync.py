"""What coming back costs: one Sync when a few of a user's many conversations have changed, and the first pass over all.

The conversations are written before the server starts; the client is a plain socket, so its own work hardly counts.
Read next: ../../logic/sync.py.
"""

from __future__ import annotations

import asyncio
import socket
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from longlink.bench import machine
from longlink.bench.run import Flag, Numbers, Run
from longlink.config import Storage, split_address
from longlink.protocol.frames import Connect, Content, Frame, Sync, Synced
from longlink.storage.base import Append
from longlink.storage.sqlite import SqliteStore, open_store
from longlink.testing.server import RunningServer

NAME: Final = "sync"
SUMMARY: Final = "cost of a sync by a device that was offline"
ROUNDS: Final = 1
FLAGS: Final = (
    Flag("conversations", 1_000, 1_000, "conversations of the user"),
    Flag("changed", 10, 10, "how many of them have changed, by 15 messages each"),
    Flag("asks", 200, 50, "exchanges that are measured"),
)

USER: Final = "back-again"
MESSAGES: Final = 15
TEXT: Final = Content(text="about as long as what people write to each other on a phone, or a little longer")
LONG_AGO_MS: Final = 1_790_000_000_000
PATIENCE_S: Final = 30.0
_TOGETHER: Final = 500


def measure(run: Run) -> Numbers:
    """Medians over the asks; the first pass once."""
    with tempfile.TemporaryDirectory(dir=run.home, prefix="sync-") as folder:
        run.progress.phase("sync: writing conversations")
        since = asyncio.run(fill(Path(folder) / "data", run.sizes.conversations, run.sizes.changed))
        settings = {"LONGLINK_DRAIN_DURATION_MS": "0", "LONGLINK_CONNECTION_MESSAGE_RATE": "0"}
        settings |= {"LONGLINK_LIMITS_WORK_RATE": "1000000000"}
        server = RunningServer(Path(folder) / "data", settings)
        server.start()
        try:
            with socket.create_connection(split_address(server.url.partition("://")[2]), PATIENCE_S) as link:
                return _ask(run, server, link, since)
        finally:
            server.stop()


def _ask(run: Run, server: RunningServer, link: socket.socket, since: int) -> Numbers:
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.sendall(b"\x00LLP")
    _exchange(link, Frame(id=1, connect=Connect(version=1, token=server.token(USER), device="bench")))
    run.progress.phase("sync: first pass")
    begun = time.perf_counter()
    pages = _pass(link, 0)
    first_ms = (time.perf_counter() - begun) * 1000
    run.progress.phase("sync: coming back")
    cpu, took_ms = machine.cpu(server.pid).total_s, []
    for _ in range(run.sizes.asks):
        begun = time.perf_counter()
        back = _pass(link, since)
        took_ms.append((time.perf_counter() - begun) * 1000)
    cpu = machine.cpu(server.pid).total_s - cpu
    heads = [change.conversation.head for page in back for change in page.changes]
    listed = {change.conversation.id for page in pages for change in page.changes}
    missing = run.sizes.changed - heads.count(1 + MESSAGES)
    return {
        "ms": statistics.median(took_ms),
        "slowest_ms": max(took_ms),
        "bytes": sum(page.ByteSize() for page in back),
        "exchanges": len(back),
        "cpu_us": cpu / len(took_ms) * 1e6,
        "first_ms": first_ms,
        "first_exchanges": len(pages),
        "missing": missing + run.sizes.conversations - len(listed),
    }


def _pass(link: socket.socket, since: int) -> list[Synced]:
    pages: list[Synced] = []
    while not pages or pages[-1].next:
        cursor = pages[-1].next if pages else ""
        pages.append(_exchange(link, Frame(id=1, sync=Sync(since=since, cursor=cursor))).synced)
    return pages


def _exchange(link: socket.socket, request: Frame) -> Frame:
    """One record each way; nothing else is on its way."""
    payload = request.SerializeToString()
    link.sendall(len(payload).to_bytes(4, "big") + payload)
    size = int.from_bytes(_read(link, 4), "big")
    answer = Frame.FromString(_read(link, size))
    if answer.HasField("error"):
        raise RuntimeError(answer.error.message)
    return answer


def _read(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = link.recv(size - len(data))
        if not part:
            raise RuntimeError("the server has closed the connection")
        data += part
    return data


async def fill(folder: Path, conversations: int, changed: int) -> int:
    """All of them long ago, then some again a second later; returns `since` of a client that saw the first."""
    now_ms = LONG_AGO_MS
    store = await open_store(folder, Storage(), now_ms=lambda: now_ms)
    peers = [f"peer-{number}" for number in range(conversations)]
    await store.users.remember([USER, *peers])
    chats: list[str] = []
    for begin in range(0, conversations, _TOGETHER):
        opened = [store.conversations.open_direct(USER, peer) for peer in peers[begin : begin + _TOGETHER]]
        chats += [each.conversation.id for each in await asyncio.gather(*opened)]
    await _say(store, chats, peers, "before")
    seen = await store.conversations.sync(USER, since=0, cursor="", limit=1, messages=1, page_bytes=1_000)
    now_ms += 1_000
    for number in range(MESSAGES):
        await _say(store, chats[:changed], peers, f"message-{number}-of-the-time-away")
    await store.close()
    return seen.synced_at + 1


async def _say(store: SqliteStore, chats: list[str], peers: list[str], client_id: str) -> None:
    content = TEXT.SerializeToString()
    said = [Append(chat, peer, client_id, content) for chat, peer in zip(chats, peers, strict=False)]
    for begin in range(0, len(said), _TOGETHER):
        await store.messages.append(said[begin : begin + _TOGETHER])
