"""The numbers of all gateways as those of one server: sums that never go backwards while this logic lives.

What a gateway counted stays when it ends, as far as it was heard of; what gateways had counted before this logic began
is left out, so that all counters of a server begin at 0 together. Pure: others ask and tell. Read next: logic.py.
"""

from __future__ import annotations

from typing import NamedTuple

from longlink.ops import numbers
from longlink.ops.numbers import Numbers, counted, gauges, total
from longlink.routing.ids import worker_of
from longlink.routing.trunk.frames import Hello

LOGIC = "logic"


class Past(NamedTuple):
    """What happened to a process before this life of it.

    restarts: how often it was started again.
    hangs: how often it was killed because it hung.
    """

    restarts: int = 0
    hangs: int = 0


class Tally:
    """workers: how many gateways there should be; past: of logic."""

    def __init__(self, workers: int, past: Past) -> None:
        self._past: Numbers = {}
        self._before: dict[int, Numbers] = {}
        self._last: dict[int, Numbers] = {}
        self._pasts = {LOGIC: past} | {gateway_name(worker): Past() for worker in range(1, workers + 1)}

    def attached(self, hello: Hello) -> None:
        """As routing.trunk.logic.Watcher."""
        self._before[hello.gateway] = numbers.decode(hello.numbers) if hello.again else {}
        self._last[hello.gateway] = self._before[hello.gateway]
        self._pasts[gateway_name(worker_of(hello.gateway))] = Past(hello.restarts, hello.hangs)

    def gone(self, gateway: int) -> None:
        """As routing.trunk.logic.Watcher."""
        ended = counted(self._last.pop(gateway), self._before.pop(gateway))
        self._past = total([self._past, ended])

    def heard(self, gateway: int, said: bytes) -> None:
        """A gateway's numbers of now."""
        if gateway in self._last:
            self._last[gateway] = numbers.decode(said)

    def sum(self, own: Numbers) -> Numbers:
        """Everything, with logic's own numbers."""
        living = [total([counted(last, self._before[each]), gauges(last)]) for each, last in self._last.items()]
        return total([own, self._past, *living, self._by_worker()])

    def _by_worker(self) -> Numbers:
        here = {gateway_name(worker_of(gateway)): last for gateway, last in self._last.items()}
        up = {name: float(name == LOGIC or name in here) for name in self._pasts}
        connections = {name: last.get("core", {}).get("connections", 0) for name, last in here.items()}
        return {
            "worker_up": {**up},
            "worker_restarts": {name: past.restarts for name, past in self._pasts.items()},
            "worker_hangs": {name: past.hangs for name, past in self._pasts.items()},
            "worker_connections": connections,
        }


def gateway_name(worker: int) -> str:
    """What a gateway process is called in logs and metrics."""
    return f"gateway-{worker}"
