"""Memory of an idle authenticated connection, heartbeats on: of the core, of the whole process, and where it goes.

The growth between two moments of one server: with a first crowd connected, which pays for everything that is made once,
and with the real crowd on top, after heartbeats have gone round at least twice. Read next: ../census.py.
"""

from __future__ import annotations

import time
from typing import Final

from bench import machine
from bench.census import census
from bench.plan import Plan
from bench.server import metrics, server
from bench.swarm import Swarm, swarm, total
from bench.trust import certificate
from longlink.testing.server import RunningServer

MEMBERS: Final = 2
CROWD: Final = 2_000
"""Connected before the first measurement: enough that Python's collector has thrown away what the start left behind."""
HEARTBEAT_S: Final = 3.0
SETTINGS: Final = {
    "LONGLINK_CONNECTION_HEARTBEAT_MS": "3000",
    "LONGLINK_CONNECTION_IDLE_TIMEOUT_MS": "15000",
}
CONNECT_S: Final = 90.0


def measure(plan: Plan, turn: int) -> dict[str, float]:
    """Bytes per connection by owner; CPU per connect and per heartbeat; connections lost, which should be 0."""
    with server(SETTINGS) as running, swarm(MEMBERS) as crowd:
        return _grow(running, crowd, plan.idle, plan.idle_settle_s, turn) | _shares(plan.idle)


def measure_tls(plan: Plan, turn: int) -> dict[str, float]:
    """The same over TLS."""
    with (
        certificate() as (chain, key),
        server(
            SETTINGS | {"LONGLINK_LISTEN_TLS_CERTIFICATE": str(chain), "LONGLINK_LISTEN_TLS_KEY": str(key)}
        ) as running,
        swarm(MEMBERS) as crowd,
    ):
        return _grow(running, crowd, plan.tls, plan.idle_settle_s / 2, turn)


def _grow(running: RunningServer, crowd: Swarm, connections: int, settle_s: float, turn: int) -> dict[str, float]:
    _be(running, crowd, turn)
    crowd.all("connect", count=CROWD // MEMBERS, within_s=CONNECT_S)
    time.sleep(HEARTBEAT_S)
    pss, kinds, core = _memory(running)
    before = machine.cpu(running.pid)
    crowd.all("connect", count=connections // MEMBERS, within_s=CONNECT_S)
    joined = machine.cpu(running.pid)
    beats = total(crowd.all("count"), "answered")
    time.sleep(settle_s)
    counted = crowd.all("count")
    settled = machine.cpu(running.pid)
    pss_now, kinds_now, core_now = _memory(running)
    return {
        "process": (pss_now - pss) / connections,
        "core": (core_now - core) / connections,
        **{kind: (size - kinds.get(kind, 0)) / connections for kind, size in kinds_now.items()},
        "connect_us": joined.since(before).total_s / connections * 1e6,
        "heartbeat_us": settled.since(joined).total_s / max(1.0, total(counted, "answered") - beats) * 1e6,
        "heartbeats": total(counted, "answered") - beats,
        "lost": total(counted, "lost"),
        "base_mib": pss / 2**20,
    }


def _be(running: RunningServer, crowd: Swarm, turn: int) -> None:
    crowd.each(
        "be",
        [
            {
                "role": "idle",
                "url": running.url,
                "data": str(running.data),
                "prefix": f"swarm{member}",
                "source": f"127.{turn + 1}.1.{member + 1}",
                "heartbeat_s": HEARTBEAT_S,
            }
            for member in range(MEMBERS)
        ],
    )


def _memory(running: RunningServer) -> tuple[int, dict[str, int], float]:
    core = metrics(running)["longlink_core_core_bytes"]
    return machine.pss_bytes(running.pid), machine.pss_by_kind(running.pid), core


def _shares(connections: int) -> dict[str, float]:
    return {f"python: {name}": size for name, size in census(connections).items()}
