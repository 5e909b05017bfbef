"""What every command may use: handed to it as one value, so that a command is a plain function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from longlink.logic.quota import Quota
from longlink.logic.slots import Slots
from longlink.ops.metrics import Counts
from longlink.protocol.heartbeats import Heartbeats
from longlink.routing.delivery import Delivery
from longlink.routing.registrar import Registrar
from longlink.routing.work import Accounts
from longlink.storage.base import Store


class Receipts(NamedTuple):
    """Which marks the members of a direct conversation see of each other."""

    delivered: bool
    read: bool


RECEIPTS: Final[Mapping[str, Receipts]] = {
    "read": Receipts(delivered=True, read=True),
    "delivered": Receipts(delivered=True, read=False),
    "none": Receipts(delivered=False, read=False),
}
"""By the values of receipts.direct."""


@dataclass(frozen=True, slots=True)
class Services:
    """What every command may use.

    now_ms: returns ms since the Unix epoch; injected, so that tests own the clock
    page_bytes: size of the largest reply
    accounts: what each user may still ask for
    slots: who may read pages now
    accept_unknown: whether users may write to a user who has never connected
    """

    store: Store
    sessions: Registrar
    delivery: Delivery
    counts: Counts
    now_ms: Callable[[], int]
    server: str
    heartbeats: Heartbeats
    detached_ms: int
    max_frame_bytes: int
    page_bytes: int
    receipts: Receipts
    accounts: Accounts
    slots: Slots
    accept_unknown: bool
    new_conversations: Quota
