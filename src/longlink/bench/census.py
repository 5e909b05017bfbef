"""What the Python layers hold for one idle connection, counted object by object in this process.

It builds what the gateway and the registry build for a user that connects - with the real classes - and asks each
object for its size. Sizes are what the interpreter asks of its allocator; rounding and free space show up as the
remainder between this census and the growth of the process. Read next: figures/idle.py.
"""

from __future__ import annotations

import sys
import time
from typing import Final

from longlink import config
from longlink.ops.metrics import Counts
from longlink.protocol.codec import Encoding
from longlink.routing.ids import SessionIds
from longlink.routing.registry import MemorySessions
from longlink.routing.sessions import Session
from longlink.storage.sqlite.known import Known

FIRST: Final = 1 << 24
"""A connection number like those of the core: beyond small integers, so that it costs what they cost."""
BLOCK: Final = 16
"""The allocator of CPython hands out multiples of 16 bytes."""


def census(connections: int) -> dict[str, float]:
    """Bytes per connection by kind of object, with so many distinct users on one device each."""
    gateway: dict[int, Session] = {}
    registry = MemorySessions(config.Sessions(), Counts(), time.monotonic)
    store = Known()
    ids = SessionIds(0, 0, time.time)
    for number in range(connections):
        user, device = "".join(("swarm", f"{number:06}")), "".join(("be", "nch"))
        id_ = ids.next()
        session = Session(user, device, "", id_, id_, FIRST + number, Encoding.BINARY)
        gateway[session.connection] = session
        registry.add(session)
        store.users[user] = FIRST + number
    sample = next(iter(gateway.values()))
    objects = {
        "Session": sample,
        "record of the session": registry.find(sample),
        "user name": sample.user,
        "device name": sample.device,
        "session id": sample.id,
        "connection number": sample.connection,
        "row id of the user": store.users[sample.user],
    }
    sizes = {name: float(_block(sys.getsizeof(held))) for name, held in objects.items()}
    tables = {
        "entry in the gateway's table": gateway,
        "entry in the registry": registry._by_user,
        "entry in the store's memory of users": store.users,
    }
    return sizes | {name: sys.getsizeof(table) / connections for name, table in tables.items()}


def _block(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
