"""What a user may ask of the server: one account for each user, in units of work, and what requests cost.

A unit is about 10 microseconds of CPU of a small server. The process that does the work charges it: a gateway for the
bytes that it reads and the JSON that it writes, logic for what a request does and returns; in one process both use the
same accounts. A request is refused while its user's account is overdrawn, so the dearest one is at most one late.
Pure: the clock is injected. Read next: ../logic/commands.py, ../access/gateway.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

from longlink import errors
from longlink.errors import LonglinkError
from longlink.protocol.frames import REQUESTS, Frame, FrameName
from longlink.protocol.limits import MESSAGES_DEFAULT, PAGE_DEFAULT

USERS: Final = 65_536
"""Accounts that are remembered; above it those that were charged least lately are full again."""

# What gateways charge -------------------------------------------------------------------------------------------------

READ: Final = 10
"""A request in Protocol Buffers, with what every request costs, such as its part of a commit."""
READ_TEXT: Final = 14
"""A request in JSON."""
READ_BYTES: Final = 512
"""So many bytes of a frame are one more unit: reading, storing and delivering them."""
READ_TEXT_BYTES: Final = 128
"""The same of a frame in JSON."""
WRITTEN_TEXT_BYTES: Final = 64
"""So many bytes of a reply, as it is in Protocol Buffers, are one unit if the client reads JSON."""
REFUSED: Final = 2
"""A request that was refused because the account was overdrawn."""
HTTP_CALL: Final = 100
"""A call of the HTTP API, beside what is in it."""

# What logic charges ---------------------------------------------------------------------------------------------------

DELIVERED: Final = 1
"""A frame for one connection."""
DELIVERED_BYTES: Final = 16_384
"""So many bytes of a frame are one more unit for each connection."""
RETURNED_BYTES: Final = 512
"""So many bytes of a page are one unit."""

_Cost = Callable[[Frame], int]


def _ack(frame: Frame) -> int:
    return 6 * len(frame.ack.marks)


def _read_history(frame: Frame) -> int:
    return 15 + (frame.read_history.limit or PAGE_DEFAULT)


def _list_conversations(frame: Frame) -> int:
    return 25 + 2 * (frame.list_conversations.limit or PAGE_DEFAULT)


def _sync(frame: Frame) -> int:
    """By what is read at most; most conversations that changed have few new messages."""
    messages = min(frame.sync.messages or MESSAGES_DEFAULT, _SYNC_MESSAGES)
    return 25 + (frame.sync.limit or PAGE_DEFAULT) * (2 + messages // 4)


_SYNC_MESSAGES: Final = 12
_COSTS: Final[Mapping[str, _Cost]] = {
    "open_direct": lambda _: 10,
    "ack": _ack,
    "read_history": _read_history,
    "list_conversations": _list_conversations,
    "sync": _sync,
}
"""Of requests that cost more than reading them. Connect is free, so that users who ask for too much stay connected."""


FREE: Final = frozenset(set(REQUESTS) - set(_COSTS))
"""Requests for which logic charges nothing before they begin."""


def cost(name: FrameName, frame: Frame) -> int:
    """What logic charges for a request before it begins, in units."""
    price = _COSTS.get(name)
    return 0 if price is None else price(frame)


def read_cost(size: int, *, text: bool) -> int:
    """What reading a frame of so many bytes costs, in units."""
    return READ_TEXT + size // READ_TEXT_BYTES if text else READ + size // READ_BYTES


class Accounts:
    """The accounts of one process.

    rate: units that an account gets back in a second; 0 means no limit
    burst: units of a full account
    now_s: any monotonic clock, in seconds

    An account is the time at which it will be full again: each unit moves it by the time that a unit takes. It is full
    two bursts after its last charge at the latest, so accounts are forgotten by the generation: those that were not
    charged for so long.
    """

    def __init__(self, rate: int, burst: int, now_s: Callable[[], float], users: int = USERS) -> None:
        self._unit_s = 1 / rate if rate else 0.0
        self._burst_s = burst * self._unit_s
        self._most_s = 2 * self._burst_s
        self._now_s = now_s
        self._users = users
        self._recent: dict[str, float] = {}
        self._older: dict[str, float] = {}
        self._turn_s = now_s() + self._most_s

    def __len__(self) -> int:
        """Accounts that are remembered; some of them may be full again."""
        return len(self._recent.keys() | self._older.keys())

    def wait_s(self, user: str) -> float:
        """Seconds until the account is not overdrawn any more; 0.0 if it is not."""
        return max(0.0, self._full_at(user) - self._now_s() - self._burst_s)

    def charge(self, user: str, units: int) -> float:
        """Take units off. An account may be overdrawn, by one burst at most. Returns wait_s as it was before."""
        if not self._unit_s or not units:
            return 0.0
        now_s = self._now_s()
        full_at = self._full_at(user)
        self._put(user, full_at, units, now_s)
        wait_s = full_at - now_s - self._burst_s
        return wait_s if wait_s > 0.0 else 0.0

    def take(self, user: str, units: int) -> None:
        """Charge a request that is about to be done.

        Raises RATE_LIMITED with the wait if the account is overdrawn; then only the refusal is charged. What costs
        nothing is never refused.
        """
        if not self._unit_s or not units:
            return
        now_s = self._now_s()
        full_at = self._full_at(user)
        wait_s = full_at - now_s - self._burst_s
        if wait_s > 0.0:
            self._put(user, full_at, REFUSED, now_s)
            raise refusal(wait_s)
        self._put(user, full_at, units, now_s)

    def _full_at(self, user: str) -> float:
        full_at = self._recent.get(user)
        return self._older.get(user, 0.0) if full_at is None else full_at

    def _put(self, user: str, full_at: float, units: int, now_s: float) -> None:
        # Comparisons and not min and max: this is on the way of every message.
        full_at = (full_at if full_at > now_s else now_s) + units * self._unit_s
        most_s = now_s + self._most_s
        self._recent[user] = full_at if full_at < most_s else most_s
        if now_s >= self._turn_s or 2 * len(self._recent) > self._users:
            self._older, self._recent = self._recent, {}
            self._turn_s = most_s


def refusal(wait_s: float) -> LonglinkError:
    """RATE_LIMITED for a user whose account is overdrawn for so many seconds more."""
    message = "this user asks for more work than limits.work_rate and limits.work_burst allow, on all devices together"
    return LonglinkError(errors.RATE_LIMITED, message, retry_after_ms=math.ceil(wait_s * 1000))
