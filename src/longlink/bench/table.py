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
    "idle": "Idle: authenticated connections that are only there",
    "connect": "Connect: until a connection is authenticated",
    "resume": "Resume: all lose their connection at once and come back",
    "echo": "Echo: one message under way on each connection",
    "fanout": "Fan-out: one message to all in a room",
    "chat": "Chat: durable direct messages",
    "slow": "Slow: receivers that stop reading",
    "sync": "Sync: a device that was away comes back",
    "hostile": "Hostile: a pair while others ask for as much as they can",
    "start": "Start: from exec to ready",
}
"""The figures in the order of the page."""

ROWS: Final = (
    # idle
    Row(
        "idle.core_bytes_per_connection", "B", "what the connection core holds, by its own gauge", at_most=500, digits=0
    ),
    Row(
        "idle.process_bytes_per_connection",
        "B",
        "growth of the server's own memory (Pss without files)",
        at_most=900,
        digits=0,
    ),
    Row("idle.python_bytes_per_connection", "B", "... of it Python objects, counted one by one", digits=0),
    Row(
        "idle.kernel_bytes_per_connection",
        "B",
        "growth of the kernel's memory (slabs, buffers of TCP), for one end",
        digits=0,
    ),
    Row(
        "idle.cpu_us_per_connection_second",
        "us",
        "server CPU for a second of one connection, at the heartbeat of the run (goal: 0.1 at 4.5 minutes)",
        at_most=0.5,
        digits=3,
    ),
    Row("idle.base_mib", "MiB", "the server with its first crowd", digits=0),
    Row("idle.total_mib", "MiB", "server, kernel and load at the end", digits=0),
    Row("idle.heartbeats", "", "heartbeats answered", at_least=1, digits=0, wrong=True),
    Row("idle.lost", "", "connections lost", at_most=0, digits=0, wrong=True),
    Row("idle.broadcast_ms", "ms", "a notice of 100 bytes to all (--broadcast), until the last one has it", digits=0),
    Row("idle.broadcast_cpu_us_per_connection", "us", "... server CPU per connection", digits=2),
    Row("idle.broadcast_left_bytes_per_connection", "B", "... growth of the server's own memory after it", digits=0),
    Row("idle.broadcast_missing", "", "... connections that did not get it", at_most=0, digits=0, wrong=True),
    Row("idle.tls_core_bytes_per_connection", "B", "over TLS: the connection core", digits=0),
    Row(
        "idle.tls_process_bytes_per_connection",
        "B",
        "over TLS: growth of the server's own memory (Pss without files)",
        at_most=8_192,
        digits=0,
    ),
    Row("idle.tls_cpu_us_per_connection_second", "us", "over TLS: server CPU for a second of one connection", digits=3),
    Row("idle.tls_lost", "", "over TLS: connections lost", at_most=0, digits=0, wrong=True),
    # connect
    Row("connect.cpu_us", "us", "server CPU until a known user is authenticated", at_most=60),
    Row("connect.new_user_cpu_us", "us", "the same for users that the server has never seen"),
    Row("connect.per_second", "/s", "known users authenticated a second", digits=0),
    Row("connect.lost", "", "connections lost", at_most=0, digits=0, wrong=True),
    Row("connect.tls_resumed_cpu_us", "us", "over TLS, with the ticket of a connection before", at_most=250),
    Row("connect.tls_resumed_per_second", "/s", "... connections a second", digits=0),
    Row("connect.tls_full_cpu_us", "us", "over TLS, full handshakes"),
    Row("connect.tls_full_per_second", "/s", "... connections a second", digits=0),
    Row("connect.tls_lost", "", "over TLS: connections lost", at_most=0, digits=0, wrong=True),
    # resume
    Row("resume.cpu_us", "us", "server CPU per session that loses its connection and comes back", at_most=80),
    Row("resume.per_second", "/s", "sessions that come back a second", digits=0),
    Row(
        "resume.missed",
        "",
        "sessions told that they missed something, although nothing was sent",
        at_most=0,
        digits=0,
        wrong=True,
    ),
    Row("resume.lost", "", "sessions that were not resumed, and connections lost", at_most=0, digits=0, wrong=True),
    Row("resume.p50_ms", "ms", "direct messages of others meanwhile: from due to delivered, median", digits=2),
    Row("resume.p90_ms", "ms", "... 90 %", digits=2),
    Row("resume.p99_ms", "ms", "... 99 %", at_most=100, digits=2),
    Row("resume.p999_ms", "ms", "... 99.9 %", digits=2),
    Row("resume.max_ms", "ms", "... the slowest", digits=2),
    Row("resume.late_p50_ms", "ms", "lateness of the load itself, which the delays contain, median", digits=2),
    Row("resume.late_p99_ms", "ms", "... 99 %", digits=2),
    Row(
        "resume.checked",
        "",
        "messages of others checked one by one, and by the log in the end",
        at_least=1,
        digits=0,
        wrong=True,
    ),
    Row(
        "resume.faults",
        "",
        "messages of others lost, doubled, altered or out of order",
        at_most=0,
        digits=0,
        wrong=True,
    ),
    # echo
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
    # chat
    Row(
        "chat.messages_per_second",
        "/s",
        "closed loop: messages acknowledged and delivered a second",
        at_least=8_000,
        digits=0,
    ),
    Row("chat.server_cpu_us_per_message", "us", "closed loop: server CPU per message", at_most=100),
    Row("chat.kernel_cpu_us_per_message", "us", "... of it in the kernel"),
    Row("chat.messages_in_per_message", "", "closed loop: frames that came in per message", digits=2),
    Row("chat.messages_out_per_message", "", "closed loop: frames that went out per message", digits=2),
    Row("chat.writes_per_message", "", "closed loop: write calls of the core per message", digits=2),
    Row("chat.server_cpus", "", "closed loop: CPUs used by the server", digits=2),
    Row("chat.load_cpus", "", "closed loop: CPUs used by the load", digits=2),
    Row("chat.other_cpus", "", "closed loop: CPUs used by other work on this machine", digits=2),
    Row("chat.p50_ms", "ms", "open loop: from due to delivered, median", at_most=4, digits=2),
    Row("chat.p90_ms", "ms", "... 90 %", digits=2),
    Row("chat.p99_ms", "ms", "... 99 %", at_most=20, digits=2),
    Row("chat.p999_ms", "ms", "... 99.9 %", digits=2),
    Row("chat.max_ms", "ms", "... the slowest", digits=2),
    Row("chat.acked_p50_ms", "ms", "open loop: from due to acknowledged (on disk), median", digits=2),
    Row("chat.acked_p90_ms", "ms", "... 90 %", digits=2),
    Row("chat.acked_p99_ms", "ms", "... 99 %", digits=2),
    Row("chat.acked_p999_ms", "ms", "... 99.9 %", digits=2),
    Row("chat.acked_max_ms", "ms", "... the slowest", digits=2),
    Row("chat.late_p50_ms", "ms", "open loop: lateness of the load itself, which the delays contain, median", digits=2),
    Row("chat.late_p99_ms", "ms", "... 99 %", digits=2),
    Row("chat.open_cpu_us_per_message", "us", "open loop: server CPU per message", digits=0),
    Row("chat.checked", "", "messages checked one by one, and by the log in the end", at_least=1, digits=0, wrong=True),
    Row("chat.faults", "", "messages lost, doubled, altered or out of order", at_most=0, digits=0, wrong=True),
    # slow
    Row(
        "slow.waiting_bytes_per_stalled",
        "B",
        "what waits in the server for one that stopped reading",
        at_most=34_000,
        digits=0,
        wrong=True,
    ),
    Row(
        "slow.process_bytes_per_stalled",
        "B",
        "growth of the server's own memory (Pss without files) meanwhile",
        digits=0,
    ),
    Row("slow.dropped_per_stalled", "", "events dropped for one that stopped reading", digits=0),
    Row("slow.stalled", "", "receivers that stopped reading", at_least=1, digits=0, wrong=True),
    Row(
        "slow.untold",
        "",
        "dropped events that they were not told of when they read again",
        at_most=0,
        digits=0,
        wrong=True,
    ),
    Row(
        "slow.left_waiting_bytes",
        "B",
        "what still waits after they have read everything",
        at_most=0,
        digits=0,
        wrong=True,
    ),
    Row("slow.not_ended", "", "receivers that never read again and were not ended", at_most=0, digits=0, wrong=True),
    Row("slow.ended_waiting_bytes", "B", "what still waits after those were ended", at_most=0, digits=0, wrong=True),
    Row("slow.checked", "", "deliveries to the others, checked one by one", at_least=1, digits=0, wrong=True),
    Row(
        "slow.faults",
        "",
        "deliveries to the others lost, doubled, altered or out of order",
        at_most=0,
        digits=0,
        wrong=True,
    ),
    Row("slow.faults_beside", "", "the same beside those that never read again", at_most=0, digits=0, wrong=True),
    # sync
    Row("sync.ms", "ms", "coming back to 1,000 conversations of which ten changed, median", at_most=100, digits=2),
    Row("sync.slowest_ms", "ms", "... the slowest", digits=2),
    Row("sync.bytes", "B", "... the answer", at_most=50_000, digits=0),
    Row("sync.exchanges", "", "... exchanges", at_most=1, digits=0),
    Row("sync.cpu_us", "us", "... server CPU", digits=0),
    Row("sync.first_ms", "ms", "the first pass of a new device over all conversations", digits=0),
    Row("sync.first_exchanges", "", "... exchanges", digits=0),
    Row("sync.missing", "", "conversations that did not come, or not as they are", at_most=0, digits=0, wrong=True),
    # hostile
    Row("hostile.alone_p50_ms", "ms", "the pair alone: from due to acknowledged (on disk), median", digits=2),
    Row("hostile.alone_p99_ms", "ms", "... 99 %", digits=2),
    Row("hostile.alone_missing", "", "... messages not acknowledged or not delivered", at_most=0, digits=0, wrong=True),
    Row("hostile.strangers_p50_ms", "ms", "strangers who send the dearest frame: median", digits=2),
    Row("hostile.strangers_p99_ms", "ms", "... 99 %", at_most=100, digits=2),
    Row("hostile.strangers_missing", "", "... messages missing", at_most=0, digits=0, wrong=True),
    Row("hostile.strangers_cpus", "", "... CPUs used by the server", digits=2),
    Row("hostile.user_p50_ms", "ms", "one user who makes the dearest requests: median", digits=2),
    Row("hostile.user_p99_ms", "ms", "... 99 %", at_most=150, digits=2),
    Row("hostile.user_missing", "", "... messages missing", at_most=0, digits=0, wrong=True),
    Row("hostile.user_cpus", "", "... CPUs used by the server", digits=2),
    Row("hostile.user_told", "", "... requests answered `rate_limited`", at_least=1, digits=0, wrong=True),
    Row("hostile.long_p50_ms", "ms", "one user who sends the longest messages to themselves: median", digits=2),
    Row("hostile.long_p99_ms", "ms", "... 99 %", digits=2),
    Row("hostile.long_missing", "", "... messages missing", at_most=0, digits=0, wrong=True),
    Row("hostile.long_cpus", "", "... CPUs used by the server", digits=2),
    Row("hostile.long_told", "", "... requests answered `rate_limited`", digits=0),
    Row(
        "hostile.peak_mib",
        "MiB",
        "the most memory of all processes of the server, shared pages counted in each",
        digits=0,
    ),
    # start
    Row("start.fresh_wall_ms", "ms", "fresh data folder", at_most=1_000, digits=0),
    Row("start.fresh_cpu_ms", "ms", "... CPU", digits=0),
    Row("start.fresh_slowest_ms", "ms", "... the slowest", digits=0),
    Row("start.existing_wall_ms", "ms", "existing data folder", at_most=1_000, digits=0),
    Row("start.existing_cpu_ms", "ms", "... CPU", digits=0),
    Row("start.existing_slowest_ms", "ms", "... the slowest", digits=0),
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


def place_of(key: str) -> tuple[int, int]:
    """For sorting: plain keys in the order of the table, then one size after the other in that order."""
    sized = None if key in _BY_KEY else _SIZED.fullmatch(key)
    places = list(_BY_KEY)
    return (int(sized[2]), places.index(sized[1])) if sized else (0, places.index(key))


def rows_of(figure: str) -> Iterator[Row]:
    return (row for row in ROWS if row.figure == figure)
