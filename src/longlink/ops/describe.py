"""docs/reference/metrics.md, from the catalogue.

Writes no file; docs/generate_config.py does. Read next: catalogue.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from longlink.ops import catalogue

_HEAD = """\
# Metrics

Generated from `src/longlink/ops/catalogue.py`; do not edit.

`GET /metrics` on the address of `listen.operations` gives them in the Prometheus text format. All are monotonic since
the start, apart from gauges. Times are seconds, sizes bytes. With `server.workers` each number is the sum of all
processes, monotonic since the start of the logic process, which `process_start_time_seconds` tells.
"""


def reference() -> str:
    """The page."""
    parts = [_HEAD]
    for title, prefix, metrics in (
        ("Messages", "longlink_", catalogue.COUNTS | _labelled(lambda label: label != "worker")),
        ("The connection core", "longlink_core_", catalogue.CORE),
        ("The store", "longlink_store_", catalogue.STORE),
        ("The process", "process_", catalogue.PROCESS),
        ("The log", "longlink_log_", catalogue.LOGS),
        ("With workers: the trunks between gateways and logic", "longlink_trunk_", catalogue.TRUNK),
        ("With workers: each process, by the label `worker`", "longlink_", _labelled(lambda label: label == "worker")),
        ("Beside these", "", catalogue.OTHER),
    ):
        parts.append(f"\n## {title}\n\n| metric | kind | meaning |\n| --- | --- | --- |\n" + _rows(prefix, metrics))
    return "".join(parts)


def _labelled(chosen: Callable[[str], bool]) -> dict[str, catalogue.Metric]:
    """The metrics with labels that are chosen by these."""
    labelled = catalogue.LABELLED.values()
    return {name.removeprefix("longlink_"): metric for name, label, metric in labelled if chosen(label)}


def _rows(prefix: str, metrics: Mapping[str, catalogue.Metric]) -> str:
    rows = []
    for name, metric in metrics.items():
        suffix = "_total" if metric.kind == "counter" and prefix else ""
        rows.append(f"| `{prefix}{name}{suffix}` | {metric.kind} | {metric.meaning} |\n")
    return "".join(rows)
