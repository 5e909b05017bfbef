"""Who may read pages now: a bounded number of calls at once, few of one user, and users take turns.

A page is read, built and sent as a whole, so the number of pages under way bounds their memory. A user who asks for
many pages waits for themselves. Read next: each.py.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from typing import Final

TOTAL: Final = 64
PER_USER: Final = 4


class Slots:
    """total: calls at once; per_user: of these, calls of one user."""

    def __init__(self, total: int = TOTAL, per_user: int = PER_USER) -> None:
        self._total = total
        self._per_user = per_user
        self._used = 0
        self._used_by: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    async def take(self, user: str) -> None:
        """Returns once the user has a slot, which must be given back."""
        if user not in self._waiting and self._free(user):
            self._use(user)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(user)
            raise

    def give_back(self, user: str) -> None:
        """Return a slot; the user who waits longest for a turn gets it."""
        self._used -= 1
        self._used_by[user] -= 1
        if not self._used_by[user]:
            del self._used_by[user]
        while (following := self._following()) is not None:
            turns = self._waiting[following]
            turn = turns.popleft()
            if turns:
                self._waiting.move_to_end(following)
            else:
                del self._waiting[following]
            if not turn.done():
                self._use(following)
                turn.set_result(None)

    def _free(self, user: str) -> bool:
        return self._used < self._total and self._used_by[user] < self._per_user

    def _use(self, user: str) -> None:
        self._used += 1
        self._used_by[user] += 1

    def _following(self) -> str | None:
        return next((user for user in self._waiting if self._free(user)), None)
