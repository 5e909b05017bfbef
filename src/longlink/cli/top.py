"""`longlink top`: what a server does now: what it holds, what it does in a second, and what it refuses.

Takes its numbers twice through the control socket of the data folder, and shows the difference as rates. With workers
they are those of all processes. Read next: sessions.py; ../ops/catalogue.py, which says what each number is.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from longlink.cli.serve import add_settings, settings

SUMMARY = "show what a server does now"

EVERY_S: Final = 2.0
CLEAR: Final = "\x1b[H\x1b[2J"


class Row(NamedTuple):
    """One line: a number as it is, or how fast it grows."""

    title: str
    series: str
    rate: bool
    unit: str = ""


ROWS: Final = (
    Row("connections", "longlink_core_connections", rate=False),
    Row("sessions connected", "longlink_sessions_attached", rate=False),
    Row("sessions offline", "longlink_sessions_detached", rate=False),
    Row("new connections", "longlink_core_accepted_total", rate=True),
    Row("messages stored", "longlink_messages_total", rate=True),
    Row("deliveries", "longlink_deliveries_total", rate=True),
    Row("marks raised", "longlink_marks_total", rate=True),
    Row("commits", "longlink_store_commits_total", rate=True),
    Row("bytes in", "longlink_core_bytes_in_total", rate=True, unit="B"),
    Row("bytes out", "longlink_core_bytes_out_total", rate=True, unit="B"),
    Row("bytes waiting for clients", "longlink_core_queued_bytes", rate=False, unit="B"),
    Row("events dropped for slow clients", "longlink_core_dropped_events_total", rate=True),
    Row("events waiting for Python", "longlink_core_ring_events", rate=False),
    Row("writes waiting for a commit", "longlink_store_writes_waiting", rate=False),
    Row("calls waiting for logic", "longlink_trunk_unanswered_calls", rate=False),
    Row("CPU, of one core", "process_cpu_seconds_total", rate=True),
    Row("memory", "process_resident_memory_bytes", rate=False, unit="B"),
)
GROUPS: Final = {
    "errors": "longlink_errors_total{",
    "connections by process": "longlink_worker_connections{",
    "restarts by process": "longlink_worker_restarts_total{",
}
"""Series with a label, each shown for the labels where it is not 0; errors as a rate."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--once", action="store_true", help="print the numbers once and end, for scripts")
    parser.add_argument(
        "--every", type=_seconds, default=EVERY_S, metavar="SECONDS", help=f"0.5 to 3600; {EVERY_S:g} unless given"
    )
    add_settings(parser, "--data")


def run(options: argparse.Namespace) -> int:
    folder = Path(settings(options).data.dir)
    before, begun = _numbers(folder), time.monotonic()
    try:
        while True:
            time.sleep(options.every)
            now, ended = _numbers(folder), time.monotonic()
            page = "\n".join(show(before, now, ended - begun)) + "\n"
            sys.stdout.write(page if options.once or not sys.stdout.isatty() else CLEAR + page)
            sys.stdout.flush()
            if options.once:
                return 0
            before, begun = now, ended
    except KeyboardInterrupt:
        return 0


def show(before: Mapping[str, float], now: Mapping[str, float], seconds: float) -> list[str]:
    """Lines for people. A counter that went back, because the server was started again, counts from 0."""

    def rate(series: str) -> float:
        grown = now[series] - before.get(series, 0.0)
        return (grown if grown >= 0 else now[series]) / seconds

    lines = []
    for row in ROWS:
        if row.series in now:
            value = rate(row.series) if row.rate else now[row.series]
            lines.append(f"{row.title:<32} {_number(value):>14} {row.unit}{'/s' if row.rate else ''}".rstrip())
    for title, begin in GROUPS.items():
        a_second = title == "errors"
        for series in sorted(each for each in now if each.startswith(begin)):
            value = rate(series) if a_second else now[series]
            if value:
                name = f"{title} {_label(series)}"
                lines.append(f"{name:<32} {_number(value):>14}{' /s' if a_second else ''}")
    return lines


def parse(text: str) -> dict[str, float]:
    """The Prometheus text format: every series with its labels, by its name."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            series, _, value = line.rpartition(" ")
            found[series] = float(value)
    return found


def _numbers(folder: Path) -> dict[str, float]:
    from longlink.access import control

    return parse(control.ask(folder, control.NUMBERS, {})["text"])


def _label(series: str) -> str:
    return series.partition('"')[2].rpartition('"')[0]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:,.2f}"


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.5 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"expected seconds from 0.5 to 3600, got {text!r}")
    return value
