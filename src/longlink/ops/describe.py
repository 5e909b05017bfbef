"""docs/reference/metrics.md, from the catalogue.

Writes no file; docs/generate_config.py does. Read next: catalogue.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from longlink.ops import catalogue

_HEAD = """\
# Metrics

Generated from `src/longlink/ops/catalogue.py`; do not edit.

`GET /metrics` on the HTTP port gives them in the Prometheus text format. All are monotonic since the start, apart from
gauges. Times are seconds, sizes bytes.
"""


def reference() -> str:
    """The page."""
    parts = [_HEAD]
    for title, prefix, metrics in (
        ("Messages", "longlink_", catalogue.COUNTS),
        ("The connection core", "longlink_core_", catalogue.CORE),
        ("The store", "longlink_store_", catalogue.STORE),
        ("The process", "process_", catalogue.PROCESS),
        ("Beside these", "", catalogue.OTHER),
    ):
        parts.append(f"\n## {title}\n\n| metric | kind | meaning |\n| --- | --- | --- |\n" + _rows(prefix, metrics))
    return "".join(parts)


def _rows(prefix: str, metrics: Mapping[str, catalogue.Metric]) -> str:
    rows = []
    for name, metric in metrics.items():
        suffix = "_total" if metric.kind == "counter" and prefix else ""
        rows.append(f"| `{prefix}{name}{suffix}` | {metric.kind} | {metric.meaning} |\n")
    return "".join(rows)
