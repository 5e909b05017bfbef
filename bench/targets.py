"""What each number means and what it should be: the one place where a target stands. Read next: report.py."""

from __future__ import annotations

from typing import Final, NamedTuple


class Row(NamedTuple):
    """One line of the result. at_most, at_least: the target; both None: for information. digits: decimals shown."""

    figure: str
    key: str
    label: str
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    digits: int = 1


TITLES: Final = {
    "idle": "Memory of an idle, authenticated connection, heartbeats on",
    "load": "Durable direct messages, closed loop, 200 users in a ring",
    "latency": "Durable direct messages, open loop at 500 a second",
    "start": "Start of `longlink serve`, from exec to ready",
    "echo": "Echo of 100 bytes, 1,000 connections in a closed loop",
    "tls": "Memory of an idle connection over TLS",
}

ROWS: Final = (
    Row("idle", "core", "connection core (`core_bytes`)", "B", at_most=400, digits=0),
    Row("idle", "process", "whole process, user memory (Pss)", "B", at_most=1_200, digits=0),
    Row("idle", "connect_us", "server CPU per connection made", "us", digits=0),
    Row("idle", "heartbeat_us", "server CPU per heartbeat answered", "us"),
    Row("idle", "heartbeats", "heartbeats answered while measuring", "", at_least=1, digits=0),
    Row("idle", "lost", "connections lost", "", at_most=0, digits=0),
    Row("idle", "base_mib", "process before the crowd", "MiB"),
    Row("load", "both_per_s", "acknowledged and delivered", "/s", at_least=8_000, digits=0),
    Row("load", "cpu_us", "server CPU per message", "us", at_most=100),
    Row("load", "cpu_kernel_us", "... of it in the kernel", "us"),
    Row("load", "acked_per_s", "acknowledged (Sent)", "/s", digits=0),
    Row("load", "delivered_per_s", "delivered (Message)", "/s", digits=0),
    Row("load", "acks_per_s", "acknowledgements of readers (Ack)", "/s", digits=0),
    Row("load", "core messages_in", "frames in per message", "", digits=2),
    Row("load", "core messages_out", "frames out per message", "", digits=2),
    Row("load", "core writes", "write calls per message", "", digits=2),
    Row("load", "server_cores", "CPUs used by the server", ""),
    Row("load", "load_cores", "CPUs used by the load", ""),
    Row("load", "other_cores", "CPUs used by other work on this machine", ""),
    Row("load", "checked", "messages checked one by one", "", at_least=1, digits=0),
    Row("load", "faults", "lost, doubled, altered or out of order", "", at_most=0, digits=0),
    Row("latency", "delivered_p50_ms", "due to delivered, p50", "ms", at_most=4, digits=2),
    Row("latency", "delivered_p90_ms", "p90", "ms", digits=2),
    Row("latency", "delivered_p99_ms", "p99", "ms", at_most=20, digits=2),
    Row("latency", "delivered_p999_ms", "p99.9", "ms", digits=2),
    Row("latency", "delivered_max_ms", "slowest", "ms", digits=2),
    Row("latency", "acked_p50_ms", "due to acknowledged, p50", "ms", digits=2),
    Row("latency", "acked_p99_ms", "p99", "ms", digits=2),
    Row("latency", "late_p50_ms", "lateness of the load itself (in the above), p50", "ms", digits=2),
    Row("latency", "late_p99_ms", "p99", "ms", digits=2),
    Row("latency", "cpu_us", "server CPU per message", "us", digits=0),
    Row("latency", "other_cores", "CPUs used by other work on this machine", ""),
    Row("latency", "checked", "messages checked one by one", "", at_least=1, digits=0),
    Row("latency", "faults", "lost, doubled, altered or out of order", "", at_most=0, digits=0),
    Row("start", "fresh_wall_ms", "fresh data folder, wall time", "ms", at_most=1_000, digits=0),
    Row("start", "fresh_cpu_ms", "... CPU", "ms", digits=0),
    Row("start", "fresh_slowest_ms", "... the slowest", "ms", digits=0),
    Row("start", "existing_wall_ms", "existing data folder, wall time", "ms", at_most=1_000, digits=0),
    Row("start", "existing_cpu_ms", "... CPU", "ms", digits=0),
    Row("start", "existing_slowest_ms", "... the slowest", "ms", digits=0),
    Row("tls", "process", "whole process, user memory (Pss)", "B", at_most=5_000, digits=0),
    Row("tls", "core", "connection core (`core_bytes`)", "B", digits=0),
    Row("tls", "connect_us", "server CPU per connection made", "us", digits=0),
    Row("tls", "lost", "connections lost", "", at_most=0, digits=0),
)
ECHO: Final = ("C epoll", "core", "picows", "websockets")
"""Servers in the order of the table."""
CORRECTNESS: Final = ("faults", "lost", "checked", "heartbeats")
"""Rows that end the run with an error when they miss: they say that something is wrong, not that something is slow."""
