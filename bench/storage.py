"""What a durable message costs in the SQLite store: rate, CPU and latency, with an idle and with a busy event loop.

    python -m bench.storage [--seconds 1.5] [--rounds 5]

Each message is appended and then marked as delivered by the other member; 200 conversations, 150 bytes of content. The
variants take turns and each shows the median of its rounds, because single runs on shared machines vary by half.
`forms` compares one INSERT into `work` (schema/sqlite/commit.sql) with the same rows in five plain statements. Writes
only below a temporary folder. Read next: src/longlink/storage/sqlite/committer.py.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import apsw
import msgspec

from longlink.config import Storage
from longlink.storage.base import Append, Appended, Mark
from longlink.storage.sqlite import SqliteStore, open_store
from longlink.storage.sqlite.committer import COMMIT
from longlink.storage.sqlite.engine import connect_writer
from longlink.storage.sqlite.migrations import migrate, shipped

CONVERSATIONS = 200
CONTENT_BYTES = 150
IN_FLIGHT_CALLS = 4


@dataclass(frozen=True)
class Variant:
    """call: messages per call; busy: the event loop computes all the time; switch_s: the switch interval."""

    call: int
    busy: bool
    switch_s: float

    def __str__(self) -> str:
        return f"call {self.call:5d}  loop {'busy' if self.busy else 'idle'}  switch {self.switch_s * 1000:3.1f} ms"


@dataclass(frozen=True)
class Sample:
    """rate: messages/s; cpu_us: per message, whole process; writer_us: its writer thread; latency_ms: median."""

    rate: float
    cpu_us: float
    writer_us: float
    latency_ms: float
    batch: float


class Load:
    """Appends and marks on one open store, as fast as it answers."""

    def __init__(self, store: SqliteStore, chats: list[tuple[str, str]]) -> None:
        self._store = store
        self._chats = chats
        self._latencies: list[float] = []
        self._done = 0

    async def run(self, variant: Variant, seconds: float) -> Sample:
        sys.setswitchinterval(variant.switch_s)
        end = time.perf_counter() + seconds
        before = self._store.stats()
        writer = next(thread for thread in threading.enumerate() if thread.name == "longlink-writer")
        clock = time.pthread_getcpuclockid(writer.ident or 0)
        started, cpu, thread_cpu = time.perf_counter(), time.process_time(), time.clock_gettime(clock)
        clients = [self._client(variant.call, end) for _ in range(IN_FLIGHT_CALLS)]
        await asyncio.gather(*clients, *([_compute(end)] if variant.busy else []))
        elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
        thread_cpu = time.clock_gettime(clock) - thread_cpu
        after = self._store.stats()
        commits = _number(after["commits"]) - _number(before["commits"])
        batch = (_sum(after["batch_writes"]) - _sum(before["batch_writes"])) / max(commits, 1)
        latency = statistics.median(self._latencies) * 1000
        return Sample(self._done / elapsed, cpu / self._done * 1e6, thread_cpu / self._done * 1e6, latency, batch)

    async def _client(self, call: int, end: float) -> None:
        while time.perf_counter() < end:
            items = [self._message() for _ in range(call)]
            asked = time.perf_counter()
            results = await self._store.messages.append(items)
            self._latencies.append(time.perf_counter() - asked)
            stored = [result for result in results if isinstance(result, Appended)]
            marks = [Mark(item.conversation, "peer", one.seq) for item, one in zip(items, stored, strict=True)]
            await self._store.conversations.mark(marks)
            self._done += call

    def _message(self) -> Append:
        chat, user = random.choice(self._chats)
        return Append(chat, user, os.urandom(8).hex(), os.urandom(CONTENT_BYTES))


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return value


def _sum(value: object) -> float:
    """Of a histogram."""
    assert isinstance(value, tuple)
    return float(value[2])


async def _compute(end: float) -> None:
    while (now := time.perf_counter()) < end:
        while time.perf_counter() < now + 0.004:
            pass
        await asyncio.sleep(0)


async def _stores(rounds: int, seconds: float) -> None:
    variants = [Variant(call, busy, switch) for call in (1, 16, 128, 1024)
                for busy, switch in ((False, 0.005), (True, 0.005), (True, 0.0005))]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        store = await open_store(Path(folder) / "data", Storage())
        samples: dict[Variant, list[Sample]] = {variant: [] for variant in variants}
        chats = await _chats(store)
        for _ in range(rounds):
            for variant in variants:
                samples[variant].append(await Load(store, chats).run(variant, seconds))
        await store.close()
    for variant, taken in samples.items():
        print(f"store  {variant}  {_shown(taken, variant.busy)}")


async def _chats(store: SqliteStore) -> list[tuple[str, str]]:
    """Each conversation and who writes in it."""
    users = [f"user-{number}" for number in range(CONVERSATIONS)]
    await store.users.remember(["peer", *users])
    opened = await asyncio.gather(*[store.conversations.open_direct(user, "peer") for user in users])
    return [(each.conversation.id, user) for each, user in zip(opened, users, strict=True)]


def _shown(taken: Sequence[Sample], busy: bool) -> str:
    middle = {name: statistics.median(getattr(sample, name) for sample in taken) for name in Sample.__annotations__}
    process = "   -  " if busy else f"{middle['cpu_us']:6.1f}"
    return (
        f"{middle['rate']:7.0f} msg/s  CPU us/msg: process {process} writer {middle['writer_us']:6.1f}"
        f"  append {middle['latency_ms']:6.2f} ms  {middle['batch']:6.0f} writes/commit"
    )


# One INSERT against five statements --------------------------------------------------------------------------------

PLAIN = (
    "BEGIN IMMEDIATE",
    "INSERT INTO messages SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3, :stamp / 1000,"
    " substr(:contents, j.value ->> 4, j.value ->> 5) FROM json_each(:messages) AS j",
    "UPDATE conversations SET head = j.value, changed = :stamp FROM json_each(:heads) AS j"
    " WHERE conversations.id = CAST(j.key AS INTEGER)",
    "INSERT INTO members SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3 FROM json_each(:marks) AS j"
    " WHERE true ON CONFLICT DO UPDATE SET delivered = excluded.delivered, read = excluded.read",
    "COMMIT",
)


class Form:
    """One database that is written to in one form, always with the same kind of batch."""

    def __init__(self, folder: Path, write: Callable[[apsw.Connection, dict[str, object]], None], size: int) -> None:
        folder.mkdir()
        file = folder / "forms.db"
        connection = apsw.Connection(str(file))
        migrate(connection, file, shipped())
        connection.close()
        self._connection = connect_writer(file, wal_limit=1 << 25)
        sql = resources.files("longlink.storage") / "schema" / "sqlite" / "commit.sql"
        self._connection.execute(sql.read_text("utf-8")).fetchall()
        ids = list(range(CONVERSATIONS))
        self._connection.executemany(
            "INSERT INTO conversations VALUES (?, ?, 1, 0, 0)", [(id_, str(id_)) for id_ in ids]
        )
        self._connection.executemany("INSERT INTO members VALUES (?, ?, 0, 0)", [(id_, id_) for id_ in ids])
        self._write, self._size, self._heads = write, size, [0] * CONVERSATIONS

    def run(self, commits: int) -> tuple[float, float]:
        """Messages/s and CPU us per message of this thread."""
        batches = [self._batch() for _ in range(commits)]
        started, cpu = time.perf_counter(), time.thread_time()
        for batch in batches:
            self._write(self._connection, batch)
        elapsed, cpu = time.perf_counter() - started, time.thread_time() - cpu
        self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        return commits * self._size / elapsed, cpu / commits / self._size * 1e6

    def _batch(self) -> dict[str, object]:
        rows, offset = [], 1
        for _ in range(self._size):
            chat = random.randrange(CONVERSATIONS)
            self._heads[chat] += 1
            rows.append((chat, self._heads[chat], chat, os.urandom(8).hex(), offset, CONTENT_BYTES))
            offset += CONTENT_BYTES
        heads = {row[0]: row[1] for row in rows}
        return {
            "stamp": time.time_ns() // 1000,
            "messages": msgspec.json.encode(rows).decode(),
            "contents": os.urandom(offset),
            "heads": msgspec.json.encode(heads).decode(),
            "marks": msgspec.json.encode([(chat, chat, head, 0) for chat, head in heads.items()]).decode(),
        }


def _in_one_step(connection: apsw.Connection, batch: dict[str, object]) -> None:
    row = (
        batch["stamp"],
        None,
        None,
        None,
        None,
        batch["messages"],
        batch["contents"],
        None,
        batch["heads"],
        batch["marks"],
        0,
    )
    connection.execute(COMMIT, row)


def _in_five_steps(connection: apsw.Connection, batch: dict[str, object]) -> None:
    for sql in PLAIN:
        connection.execute(sql, batch)


def _forms(rounds: int, size: int = 128, commits: int = 20) -> None:
    forms = {"one step": _in_one_step, "five steps": _in_five_steps}
    cases = [(False, 0.005), (True, 0.005), (True, 0.0005)]
    with tempfile.TemporaryDirectory() as folder:
        opened = {
            name: Form(Path(folder) / str(number), write, size) for number, (name, write) in enumerate(forms.items())
        }
        taken: dict[tuple[str, bool, float], list[tuple[float, float]]] = {}
        for _ in range(rounds):
            for busy, switch_s in cases:
                sys.setswitchinterval(switch_s)
                for name, form in opened.items():
                    taken.setdefault((name, busy, switch_s), []).append(_beside(form, commits, busy))
    for (name, busy, switch_s), samples in taken.items():
        rate, cpu = (statistics.median(column) for column in zip(*samples, strict=True))
        state = f"main thread {'busy' if busy else 'idle'}  switch {switch_s * 1000:3.1f} ms"
        print(f"forms  {name:10s}  batch {size}  {state}  {rate:7.0f} msg/s  CPU us/msg {cpu:5.1f}")


def _beside(form: Form, commits: int, busy: bool) -> tuple[float, float]:
    results: list[tuple[float, float]] = []
    thread = threading.Thread(target=lambda: results.append(form.run(commits)))
    thread.start()
    while busy and thread.is_alive():
        pass
    thread.join()
    return results[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=1.5, help="of each round of the store")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"SQLite {apsw.sqlite_lib_version()}, apsw {apsw.apsw_version()}, Python {sys.version.split()[0]}")
    _forms(options.rounds)
    asyncio.run(_stores(options.rounds, options.seconds))


if __name__ == "__main__":
    main()
