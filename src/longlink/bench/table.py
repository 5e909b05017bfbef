"""What each number of the result is called, what it means and what it should be: the one place where a goal stands.

docs/reference/bench.md is generated from ROWS. Never measures. Read next: result.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple


class Row(NamedTuple):
    """One number. at_most, at_least: the goal; wrong: missing it means that the server did something wrong."""

    key: str
    unit: str
    meaning: str
    at_most: float | None = None
    at_least: float | None = None
    digits: int = 1
    wrong: bool = False

    @property
    def figure(self) -> str:
        return self.key.partition(".")[0]

    @property
    def name(self) -> str:
        return self.key.partition(".")[2]

    def goal(self) -> str:
        """In words; empty where there is none."""
        if self.at_most is not None:
            return f"<= {self.at_most:,g} {self.unit}".rstrip()
        return f">= {self.at_least:,g} {self.unit}".rstrip() if self.at_least is not None else ""

    def meets(self, value: float) -> bool:
        return (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)

    def shown(self, value: float) -> str:
        return f"{value:,.{self.digits}f} {self.unit}".rstrip()


TITLES: Final = {
    "echo": "Echo: one message under way on each connection",
    "fanout": "Fan-out: one message to all in a room",
}
"""The figures in the order of the page."""

ROWS: Final = (
    Row(
        "echo.cpu_ratio_to_floor", "", "server CPU per echo, core and Python, against the floor", at_most=1.2, digits=2
    ),
    Row("echo.cpu_us", "us", "server CPU per echo", digits=2),
    Row("echo.kernel_cpu_us", "us", "... of it in the kernel", digits=2),
    Row("echo.floor_cpu_us", "us", "CPU per echo of the floor, in the same rounds", digits=2),
    Row("echo.echoes_per_second", "/s", "echoes a second", digits=0),
    Row("echo.server_cpus", "", "CPUs used by the server meanwhile", digits=2),
    Row("echo.load_cpu_us", "us", "CPU of the load per echo", digits=2),
    Row("echo.checked", "", "echoes checked one by one", at_least=1, digits=0, wrong=True),
    Row("echo.faults", "", "echoes altered or mixed up, connections lost", at_most=0, digits=0, wrong=True),
    Row("fanout.cpu_ratio_to_floor", "", "server CPU per delivery against the floor", at_most=1.15, digits=2),
    Row(
        "fanout.coalesced_cpu_ratio_to_floor",
        "",
        "gathered: server CPU per message delivered, against single writes of the floor",
        at_most=0.25,
        digits=2,
    ),
    Row("fanout.cpu_us_per_delivery", "us", "server CPU per delivery", digits=2),
    Row("fanout.coalesced_cpu_us_per_message", "us", "gathered: server CPU per message delivered", digits=2),
    Row("fanout.floor_cpu_us_per_delivery", "us", "CPU per delivery of the floor, in the same rounds", digits=2),
    Row("fanout.deliveries_per_second", "/s", "deliveries a second", digits=0),
    Row("fanout.coalesced_deliveries_per_second", "/s", "gathered: messages delivered a second", digits=0),
    Row("fanout.floor_deliveries_per_second", "/s", "deliveries a second of the floor", digits=0),
    Row("fanout.coalesced_messages_per_read", "", "gathered: messages that one read of a receiver brought", digits=2),
    Row("fanout.checked", "", "deliveries checked one by one", at_least=1, digits=0, wrong=True),
    Row("fanout.faults", "", "deliveries lost, doubled, altered or out of order", at_most=0, digits=0, wrong=True),
)

_BY_KEY: Final = {row.key: row for row in ROWS}
_SIZED: Final = re.compile(r"(.+)_(\d+)")


def row_of(key: str) -> Row | None:
    """The row of a key; a key that ends with _N (a size) has the row of the key without it, and says so."""
    if key in _BY_KEY:
        return _BY_KEY[key]
    sized = _SIZED.fullmatch(key)
    plain = _BY_KEY.get(sized[1]) if sized else None
    return plain._replace(key=key, meaning=f"{plain.meaning}, {int(sized[2]):,} of them") if sized and plain else None


def rows_of(figure: str) -> Iterator[Row]:
    return (row for row in ROWS if row.figure == figure)
