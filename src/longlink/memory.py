"""How much memory a server can need at most, computed from its settings: the bounds of everything between two sockets.

Each part has a bound in bytes; what is between the bounds is copied a few times on its way, which the factors say.
Idle connections and detached sessions are not in it: about 900 and 600 bytes each. docs/concepts/memory.md explains
the parts, and tests/scenarios/test_17_shares.py attacks a real server and compares. Never measures.
"""

from __future__ import annotations

from typing import Final

from longlink.access import arrivals, turns
from longlink.access.gateway import COMMAND_BYTES, POLL_BYTES
from longlink.access.http.frames import ANSWER_BYTES
from longlink.config import Config
from longlink.logic import slots
from longlink.ops import files
from longlink.parts import file_limit, page_bytes
from longlink.routing import work
from longlink.routing.trunk.logic import WAITING_BYTES

MIB: Final = 2**20
BASE_BYTES: Final = 64 * MIB
"""A process without load: interpreter, code, page caches of SQLite."""
SUPERVISOR_BYTES: Final = 60 * MIB
ACCOUNT_BYTES: Final = 256
REQUEST_COPIES: Final = 6
"""A request under way: the frame, the message, the stored content, the record for the database, two encoded events."""
COMMIT_COPIES: Final = 2
"""Content that waits for a commit: itself, and what SQLite and the log of the commit hold of it."""
PAGE_COPIES: Final = 6
"""A page: rows, entries, messages, the encoded reply, and twice of it in JSON."""


def parts(config: Config) -> dict[str, int]:
    """The parts of the ceiling in bytes, by name; of all processes together."""
    workers = config.server.workers
    if not workers:
        return {"process": BASE_BYTES, **_access(config), **_logic(config, config.limits.call_bytes)}
    gateway = {"process": BASE_BYTES, **_access(config), "calls": 3 * config.limits.call_bytes}
    logic = {"process": BASE_BYTES, **_logic(config, workers * config.server.call_bytes)}
    logic["parcels"] = workers * WAITING_BYTES
    return {
        "supervisor": SUPERVISOR_BYTES,
        **{f"gateways: {name}": workers * size for name, size in gateway.items()},
        **{f"logic: {name}": size for name, size in logic.items()},
    }


def ceiling(config: Config) -> int:
    """The most memory in bytes that a server with these settings needs, beside idle connections and sessions."""
    return sum(parts(config).values())


def _access(config: Config) -> dict[str, int]:
    connection = config.connection
    return {
        "ring": connection.ring_bytes,
        "turns and arrivals": turns.MOST_BYTES + arrivals.MOST_BYTES + 2 * POLL_BYTES,
        "commands": COMMAND_BYTES,
        "queues": connection.total_queue_bytes,
        "http": files.http_files(file_limit()) * (connection.max_message_bytes + ANSWER_BYTES),
        "gateway accounts": work.USERS * ACCOUNT_BYTES,
    }


def _logic(config: Config, call_bytes: int) -> dict[str, int]:
    return {
        "requests": REQUEST_COPIES * (call_bytes + POLL_BYTES),
        "commits": COMMIT_COPIES * config.storage.queue_bytes,
        "pages": PAGE_COPIES * slots.TOTAL * page_bytes(config),
        "logic accounts": work.USERS * ACCOUNT_BYTES if config.server.workers else 0,
    }
