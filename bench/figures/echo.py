"""CPU per echo: our core, the least that C needs on this kernel, and two Python servers, in the same run.

1,000 connections in a closed loop, one message of 100 bytes under way on each. Nothing is pinned: our core has two
threads, and on one CPU they would take turns for every few messages, as they never do in service. Read next:
src/longlink/bench/floor.c, ../peers/.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from bench import machine
from bench.plan import OUT, Plan
from bench.swarm import swarm, total
from longlink.protocol.codec import Encoding

MEMBERS: Final = 1
STOP_S: Final = 5.0


class _Candidate(NamedTuple):
    name: str
    command: list[str]
    subprotocol: str


def measure(plan: Plan, turn: int) -> dict[str, float]:
    """us of server CPU per echo, the kernel's part of it, and echoes a second, by server; the order turns by round."""
    found = _candidates()
    numbers: dict[str, float] = {}
    for step in range(len(found)):
        candidate = found[(turn + step) % len(found)]
        numbers |= {f"{candidate.name} {name}": value for name, value in _echo(plan, candidate).items()}
    return numbers


def _candidates() -> list[_Candidate]:
    found = [
        _Candidate("core", [sys.executable, "-m", "longlink", "bench", "serve"], Encoding.BINARY.subprotocol),
        _Candidate("picows", [sys.executable, "-m", "bench.peers.picows_echo"], ""),
        _Candidate("websockets", [sys.executable, "-m", "bench.peers.websockets_echo"], ""),
    ]
    limit = _build_limit()
    return [*found, _Candidate("C epoll", [str(limit)], "")] if limit else found


def _build_limit() -> Path | None:
    """None, and one line that says so, where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        print("  no C compiler: the row of the limit is left out", flush=True)
        return None
    OUT.mkdir(parents=True, exist_ok=True)
    program = (OUT / "limit").resolve()
    subprocess.run([compiler, "-O2", "-D_GNU_SOURCE", "-o", program, "src/longlink/bench/floor.c"], check=True)
    return program


def _echo(plan: Plan, candidate: _Candidate) -> dict[str, float]:
    with _running(candidate) as (pid, port), swarm(MEMBERS) as crowd:
        crowd.all("be", role="echo", url=f"ws://127.0.0.1:{port}/", subprotocol=candidate.subprotocol)
        crowd.all("connect", count=plan.echo_clients // MEMBERS)
        crowd.all("loop")
        time.sleep(plan.echo_warm_s)
        before, begun, spent = crowd.all("count"), time.perf_counter(), machine.cpu(pid)
        time.sleep(plan.echo_s)
        after, lasted_s = crowd.all("count"), time.perf_counter() - begun
        used = machine.cpu(pid).since(spent)
    echoes = total(after, "echoes") - total(before, "echoes")
    if not echoes or total(after, "wrong"):
        raise RuntimeError(f"{candidate.name}: {echoes:.0f} echoes, {total(after, 'wrong'):.0f} wrong")
    kernel = used.kernel_s / max(1e-9, used.kernel_s + used.user_s)
    return {
        "us": used.total_s / echoes * 1e6,
        "kernel us": used.total_s * kernel / echoes * 1e6,
        "per s": echoes / lasted_s,
        "server cores": used.total_s / lasted_s,
    }


@contextlib.contextmanager
def _running(candidate: _Candidate) -> Iterator[tuple[int, int]]:
    """The server's pid and port; it is killed with the block."""
    process = subprocess.Popen(candidate.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline().strip().rpartition(":")[2])
    finally:
        process.kill()
        process.communicate(timeout=STOP_S)
