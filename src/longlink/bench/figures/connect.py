"""What a connection costs the server until it is authenticated: plain, and over TLS with and without a ticket.

The same crowd connects twice to one server: as users that the server has never seen, and, cut in between, as users
that it knows, which is what most connections are. Read next: idle.py, which keeps them.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from longlink.bench.run import Flag, Numbers, Run
from longlink.bench.server import Product, product
from longlink.bench.swarm import Swarm, swarm, total
from longlink.bench.trust import certificate
from longlink.protocol.codec import Encoding

NAME: Final = "connect"
SUMMARY: Final = "CPU and rate of connections until they are authenticated, plain and over TLS"
ROUNDS: Final = 3
FLAGS: Final = (
    Flag("connections", 4_000, 400, "connections that are made at a time", least=2),
    Flag("at_once", 64, 64, "of them under way at once, for each of two load processes"),
    Flag("workers", 0, 0, "gateway processes of the server; 0: one process does all", least=0),
    Flag("tls", False, True, "also over TLS: full handshakes, and handshakes with the ticket of one before"),
)
MEMBERS: Final = 2
RESUMED: Final = 0.95
"""A smaller share of resumed handshakes measures something else."""


def measure(run: Run) -> Numbers:
    """us of server CPU per connection, connections a second, and how many handshakes were resumed."""
    with product(run.home, workers=run.sizes.workers) as serving:
        numbers = _plain(run, serving)
    if run.sizes.tls:
        with certificate(run.home) as files, product(run.home, workers=run.sizes.workers, tls=files) as serving:
            numbers |= _secure(run, serving, files[0])
    return numbers


def _plain(run: Run, serving: Product) -> Numbers:
    with swarm(MEMBERS, run.progress.counts) as crowd:
        _be(run, serving, crowd)
        new, _ = _enter(run, serving, crowd, "new users")
        known, rate = _enter(run, serving, crowd, "known users")
        lost = total(crowd.all("count"), "lost")
    return {"cpu_us": known, "per_second": rate, "new_user_cpu_us": new, "lost": lost}


def _secure(run: Run, serving: Product, chain: Path) -> Numbers:
    numbers: Numbers = {}
    for resume in (False, True):
        with swarm(MEMBERS, run.progress.counts) as crowd:
            _be(run, serving, crowd, tls=str(chain), resume=resume)
            _enter(run, serving, crowd, "over TLS, the first time")
            before = crowd.all("count")
            us, rate = _enter(run, serving, crowd, f"over TLS, {'resumed' if resume else 'full'}")
            after = crowd.all("count")
        share = (total(after, "resumed_tls") - total(before, "resumed_tls")) / run.sizes.connections
        if resume and share < RESUMED:
            run.note(f"connect: only {share:.0%} of the handshakes were resumed, so their figure is null")
        elif resume:
            numbers |= {"tls_resumed_cpu_us": us, "tls_resumed_per_second": rate}
        else:
            numbers |= {"tls_full_cpu_us": us, "tls_full_per_second": rate}
    return numbers | {"tls_lost": total(after, "lost")}


def _be(run: Run, serving: Product, crowd: Swarm, **more: object) -> None:
    outline = {"plan": "hold", "host": "127.0.0.1", "port": serving.port, "at_once": run.sizes.at_once, **more}
    outline |= {"subprotocol": Encoding.BINARY.subprotocol}
    crowd.each("be", [outline | {"source": run.source()} for _ in range(MEMBERS)])


def _enter(run: Run, serving: Product, crowd: Swarm, what: str) -> tuple[float, float]:
    """Connect the crowd, then cut it; us per connection and connections a second."""
    run.progress.phase(f"connect: {what}")
    share = run.sizes.connections // MEMBERS
    orders = [
        {"prefix": "connect", "first": member * share, "count": share, "data": str(serving.data)}
        for member in range(MEMBERS)
    ]
    begun, spent = time.perf_counter(), serving.cpu()
    crowd.each("enter_many", orders)
    lasted_s, used = time.perf_counter() - begun, serving.cpu().since(spent)
    crowd.all("close")
    return used.total_s / (share * MEMBERS) * 1e6, share * MEMBERS / lasted_s
