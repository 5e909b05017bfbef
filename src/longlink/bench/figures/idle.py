"""An idle authenticated connection, heartbeats on: memory of the core, of the process and of the kernel, and CPU.

The growth between two moments of one server: with a first crowd connected, which pays for everything that is made once,
and with the real crowd on top, after it was held for a while. Each connection is a user of its own with a token of its
own. Works up to what the machine holds: a load process takes 18,000, its users' tokens are signed there.
Read next: ../census.py.
"""

from __future__ import annotations

import contextlib
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from longlink.bench import machine
from longlink.bench.census import census
from longlink.bench.run import Flag, Numbers, Run
from longlink.bench.server import Product, product
from longlink.bench.swarm import Answer, Swarm, swarm, total
from longlink.bench.trust import certificate
from longlink.protocol.codec import Encoding

NAME: Final = "idle"
SUMMARY: Final = "memory and CPU of idle connections with heartbeats"
ROUNDS: Final = 2
FLAGS: Final = (
    Flag("connections", 10_000, 1_000, "connections on top of the first crowd"),
    Flag("first", 2_000, 300, "connections of the first crowd, which is not counted"),
    Flag("heartbeat_ms", 25_000, 1_500, "how often each connection sends a heartbeat, in ms"),
    Flag("hold", 25.0, 3.0, "seconds to hold them; CPU is measured meanwhile, memory at the end"),
    Flag("workers", 0, 0, "gateway processes of the server; 0: one process does all", least=0),
    Flag("tls", False, False, "also over TLS, with a fifth of the connections"),
    Flag("broadcast", False, False, "at the end, send one notice to all with `longlink broadcast`"),
)
LEAST_MEMBERS: Final = 2
MOST: Final = 18_000
"""Connections of one load process, which may have 20,000 files."""
IDLE_TIMEOUT: Final = 2.5
"""The server's patience, in heartbeats."""
TLS_SHARE: Final = 5
CONNECT_S: Final = 90.0
CONNECTS_PER_S: Final = 800
"""Slower than that is not waited for."""
LOOK_S: Final = 5.0
"""Between two looks at how the crowd is while it is held."""
BROADCAST_S: Final = 300.0
NOTICE: Final = "hello to all of you " * 5
"""100 bytes."""
COUNTED: Final = 100_000
"""Connections whose Python objects are built to count them, at most."""
SPARE_FILES: Final = 500
"""Files that a server process needs beside those of its connections."""


def measure(run: Run) -> Numbers:
    """Bytes per connection by owner, CPU per connection and second, and connections lost.

    Raises RuntimeError when the server's processes may not have so many files.
    """
    _check_files(run.sizes.first + run.sizes.connections, max(1, run.sizes.workers))
    numbers = _measure(run, run.sizes.connections, run.sizes.first, None)
    numbers |= _split(run.sizes.connections)
    if run.sizes.tls:
        with certificate(run.home) as files:
            found = _measure(run, run.sizes.connections // TLS_SHARE, run.sizes.first // TLS_SHARE, files)
        numbers |= {f"tls_{name}": value for name, value in found.items()}
    return numbers


def _check_files(connections: int, processes: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = processes * (most - SPARE_FILES)
    if connections > room:
        words = f"expected at most {room:,} connections, because a process may have {most:,} files"
        raise RuntimeError(f"{words}, got {connections:,}; --workers spreads them over more processes")


def _measure(run: Run, connections: int, first: int, tls: tuple[Path, Path] | None) -> Numbers:
    size = max(LEAST_MEMBERS, -(-(first + connections) // MOST))
    settings = {
        "LONGLINK_CONNECTION_HEARTBEAT_MS": str(run.sizes.heartbeat_ms),
        "LONGLINK_CONNECTION_IDLE_TIMEOUT_MS": str(int(run.sizes.heartbeat_ms * IDLE_TIMEOUT)),
    }
    with (
        product(run.home, settings, run.sizes.workers, tls) as serving,
        swarm(size, run.progress.counts) as crowd,
    ):
        outline = {"plan": "hold", "host": "127.0.0.1", "port": serving.port, "heartbeat_ms": run.sizes.heartbeat_ms}
        outline |= {"subprotocol": Encoding.BINARY.subprotocol, "tls": str(tls[0]) if tls else None}
        crowd.each("be", [outline | {"source": run.source()} for _ in range(size)])
        run.progress.phase(f"idle: a first crowd of {first:,}")
        _enter(crowd, serving, 0, first)
        before = _Memory(serving, crowd)
        run.progress.phase(f"idle: connecting {connections:,}{' over TLS' if tls else ''}")
        _enter(crowd, serving, first, connections)
        connected, spent = time.perf_counter(), serving.cpu()
        run.progress.phase(f"idle: holding {first + connections:,}")
        _hold(run, crowd)
        counted, lasted_s = crowd.all("count"), time.perf_counter() - connected
        used = serving.cpu().since(spent)
        numbers = _Memory(serving, crowd).since(before, run, connections)
        numbers["cpu_us_per_connection_second"] = used.total_s / (first + connections) / lasted_s * 1e6
        numbers |= _right(run, counted)
        if run.sizes.broadcast and not tls:
            numbers |= _broadcast(run, serving, crowd, first + connections)
        return numbers


def _enter(crowd: Swarm, serving: Product, first: int, count: int) -> None:
    """count more users, spread over the load processes, from number `first` on."""
    size = len(crowd.members)
    shares = [count // size + (member < count % size) for member in range(size)]
    begins = [first + sum(shares[:member]) for member in range(size)]
    orders = [
        {"prefix": "idle", "first": begin, "count": share, "data": str(serving.data)}
        for begin, share in zip(begins, shares, strict=True)
    ]
    crowd.each("enter_many", orders, within_s=CONNECT_S + count / CONNECTS_PER_S)


def _hold(run: Run, crowd: Swarm) -> None:
    until = time.perf_counter() + run.sizes.hold
    while (left := until - time.perf_counter()) > 0:
        run.progress.wait(min(left, LOOK_S))
        counts = crowd.all("count")
        run.progress.counts({name: total(counts, name) for name in ("joined", "lost", "heartbeats_answered")})


class _Memory:
    """What is held at one moment, by whom."""

    def __init__(self, serving: Product, crowd: Swarm) -> None:
        self.core = serving.metrics().get("longlink_core_memory_bytes")
        self.process = serving.pss_bytes()
        self.own = serving.own_bytes()
        self.kernel = machine.kernel_bytes()
        self.load = sum(machine.pss_bytes(member.pid) for member in crowd.members)

    def since(self, before: _Memory, run: Run, connections: int) -> Numbers:
        """Growth per connection. What the kernel holds has two ends here, because both are on this machine."""
        numbers = run.grown("process_bytes_per_connection", self.own - before.own, connections)
        numbers |= run.grown("kernel_bytes_per_connection", self.kernel - before.kernel, 2 * connections)
        numbers |= {
            "base_mib": before.process / 2**20,
            "total_mib": (self.process + self.kernel + self.load) / 2**20,
        }
        if self.core is None or before.core is None:
            run.note("idle: the server does not tell what its core holds, so that figure is null")
        else:
            numbers["core_bytes_per_connection"] = (self.core - before.core) / connections
        return numbers


def _right(run: Run, counted: list[Answer]) -> Numbers:
    for word in [word for answer in counted if answer["lost"] for word in answer["words"]][:5]:
        run.note(word)
    return {"heartbeats": total(counted, "heartbeats_answered"), "lost": total(counted, "lost")}


def _split(connections: int) -> Numbers:
    """What the Python layers hold, counted object by object; the table has their sum."""
    objects = census(min(connections, COUNTED))
    return {"python_bytes_per_connection": sum(objects.values())} | {
        f"python: {name}": size for name, size in objects.items()
    }


def _broadcast(run: Run, serving: Product, crowd: Swarm, connections: int) -> Numbers:
    """One notice to all; until the last of them has it."""
    run.progress.phase(f"idle: a notice to {connections:,}")
    held, before = serving.own_bytes(), total(crowd.all("count"), "received")
    begun, spent = time.perf_counter(), serving.cpu()
    command = [sys.executable, "-m", "longlink", "broadcast", "--data", str(serving.data), NOTICE]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)  # noqa: S603
    got = 0.0
    with contextlib.suppress(TimeoutError):
        while got < connections:
            if time.perf_counter() - begun > BROADCAST_S:
                raise TimeoutError
            time.sleep(0.05)
            got = total(crowd.all("count"), "received") - before
            run.progress.counts({"received": got})
    took_s = time.perf_counter() - begun
    return {
        "broadcast_ms": took_s * 1e3,
        "broadcast_cpu_us_per_connection": serving.cpu().since(spent).total_s / connections * 1e6,
        "broadcast_left_bytes_per_connection": (serving.own_bytes() - held) / connections,
        "broadcast_missing": connections - got,
    }
