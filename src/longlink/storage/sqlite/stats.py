"""The counters of the store, for metrics.

Each field has one writing thread, so none is locked; a reader of them may see one commit half counted. Read next:
ops/, which exports them.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from longlink.storage.base import Histogram

COMMIT_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
BATCH_WRITES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)


@dataclass(slots=True)
class Stats:
    """Counted since the store was opened."""

    commits: int = 0
    failures: int = 0
    appended: int = 0
    duplicates: int = 0
    marks: int = 0
    batch_sum: int = 0
    batch_writes: list[int] = field(default_factory=lambda: [0] * (len(BATCH_WRITES) + 1))
    commit_seconds_sum: float = 0.0
    commit_seconds: list[int] = field(default_factory=lambda: [0] * (len(COMMIT_SECONDS) + 1))
    reads: int = 0
    read_failures: int = 0
    writes_over_share: int = 0
    reads_over_share: int = 0
    checkpoints: int = 0
    checkpoint_failures: int = 0
    wal_bytes: int = 0

    def committed(self, weight: int, seconds: float) -> None:
        """A commit of so many writes has taken so long, planning included."""
        self.commits += 1
        self.batch_sum += weight
        self.batch_writes[bisect_left(BATCH_WRITES, weight)] += 1
        self.commit_seconds_sum += seconds
        self.commit_seconds[bisect_left(COMMIT_SECONDS, seconds)] += 1

    def planned(self, appended: int, duplicates: int, marks: int) -> None:
        """What a batch held."""
        self.appended += appended
        self.duplicates += duplicates
        self.marks += marks

    def shown(self) -> dict[str, float | Histogram]:
        """All of them by name; batch_writes and commit_seconds as histograms."""
        return {
            "commits": self.commits,
            "failures": self.failures,
            "appended": self.appended,
            "duplicates": self.duplicates,
            "marks": self.marks,
            "batch_writes": (BATCH_WRITES, list(accumulate(self.batch_writes)), float(self.batch_sum)),
            "commit_seconds": (COMMIT_SECONDS, list(accumulate(self.commit_seconds)), self.commit_seconds_sum),
            "reads": self.reads,
            "read_failures": self.read_failures,
            "writes_over_share": self.writes_over_share,
            "reads_over_share": self.reads_over_share,
            "checkpoints": self.checkpoints,
            "checkpoint_failures": self.checkpoint_failures,
            "wal_bytes": self.wal_bytes,
        }
