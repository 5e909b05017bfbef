"""How much of a line each user holds, and whether they may have more: an eighth of the room that is left.

So `overloaded` meets those who fill a line, and there is always room for somebody who has nothing in it. Belongs to one
thread. Read next: writer.py, reader.py.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

SHARE: Final = 8
"""A user may hold one part in so many of the room that is left."""
_LEAST: Final = 8
_LEAST_BYTES: Final = 65_536

Entry = tuple[str, int]
"""A user, and the bytes that one thing of theirs has."""


@dataclass(slots=True, eq=False)
class Owner:
    """A user with something in the line. done: how many have left it since they came."""

    waiting: int = 0
    size: int = 0
    done: int = 0
    watchers: deque[tuple[int, asyncio.Future[None]]] | None = None


class Shares:
    """The users of one line. waiting, size: things in it and their bytes; watching: who waits for theirs to leave."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._owners: dict[str, Owner] = {}
        self.waiting = 0
        self.size = 0
        self.watching = 0

    def take(self, entries: Sequence[Entry]) -> list[int]:
        """Put these in the line. Returns the places of those that are left out, of which release knows nothing.

        A user whose share is full has everything behind left out too, so that the order is kept.
        """
        room = max(_LEAST, (self._most - self.waiting) // SHARE)
        room_bytes = max(_LEAST_BYTES, (self._most_bytes - self.size) // SHARE)
        owners = self._owners
        left_out: list[int] = []
        full: set[str] = set()
        added = 0
        for place, (user, size) in enumerate(entries):
            owner = owners.get(user)
            if owner is None:
                owner = owners[user] = Owner()
            elif owner.waiting >= room or (owner.size and owner.size + size > room_bytes) or user in full:
                full.add(user)
                left_out.append(place)
                continue
            owner.waiting += 1
            owner.size += size
            added += size
        self.size += added
        self.waiting += len(entries) - len(left_out)
        return left_out

    def release(self, entries: Iterable[Entry]) -> None:
        """These leave the line, whatever their outcome."""
        for user, size in entries:
            owner = self._owners[user]
            owner.waiting -= 1
            owner.done += 1
            owner.size -= size
            self.size -= size
            self.waiting -= 1
            if owner.watchers is not None:
                self._tell(owner.watchers, owner.done)
            if not owner.waiting:
                del self._owners[user]

    def _tell(self, watchers: deque[tuple[int, asyncio.Future[None]]], done: int) -> None:
        while watchers and watchers[0][0] <= done:
            self.watching -= 1
            watcher = watchers.popleft()[1]
            if not watcher.done():
                watcher.set_result(None)

    def watch(self, user: str) -> asyncio.Future[None] | None:
        """Done once everything that the user has in the line now has left it; None: there is nothing."""
        owner = self._owners.get(user)
        if owner is None:
            return None
        watcher: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if owner.watchers is None:
            owner.watchers = deque()
        owner.watchers.append((owner.done + owner.waiting, watcher))
        self.watching += 1
        return watcher

    def may_watch(self, user: str) -> bool:
        """Whether another of the user's things may wait for those in the line."""
        owner = self._owners.get(user)
        return owner is None or len(owner.watchers or ()) < max(_LEAST, (self._most - self.watching) // SHARE)
