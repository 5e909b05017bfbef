"""How the file limit of the process is shared out: long links, HTTP connections, and what the rest needs.

Together they are never more than the limit, so that no client can take the descriptor that the database or a listener
needs next. Never reads or sets the limit. Read next: ../parts.py, checks.py.
"""

from __future__ import annotations

import sys
from typing import Final

MOST_HTTP: Final = 512
"""HTTP connections at once, however high the limit is: probes, scrapers and proxies need few."""
MOST_OPERATIONS: Final = 32
"""Connections of operators at once: they come to a listener of their own, so that clients cannot shut them out."""
OTHER_FILES: Final = 128
"""Files that are no client's: database, listeners, logs, threads of the core, operators, a connection that is being
refused."""
SPARE_FILES: Final = MOST_HTTP + OTHER_FILES
"""Files that the process needs at most beside its long links."""
HTTP_PART: Final = 4
"""HTTP gets at most one of so many files."""


def http_files(limit: int) -> int:
    """HTTP connections that a limit allows. limit: files of the process, below 0 for no limit (RLIM_INFINITY)."""
    return max(1, min(MOST_HTTP, _files(limit) // HTTP_PART))


def link_files(limit: int) -> int:
    """Long links that a limit allows beside HTTP and the rest; at least 1, so that a tiny limit fails by itself."""
    return max(1, _files(limit) - http_files(limit) - OTHER_FILES)


def _files(limit: int) -> int:
    return sys.maxsize if limit < 0 else limit
