"""What the server is to be told of this user: up to where they received and read. One ack under way a conversation.

Pure: no I/O, no clock. While one is under way the next one gathers. Read next: exchange.py, which sends them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from longlink.client.track import Track


class Due(NamedTuple):
    """Marks to tell the server: of what was received, and of what was read; 0 where there is nothing new."""

    conversation: str
    seq: int
    read: int


class Receipts:
    """Those of one client. auto: whether what was received is told; what was read always is."""

    def __init__(self, tracks: Mapping[str, Track], *, auto: bool) -> None:
        self.auto = auto
        self._tracks = tracks
        self._wanted: set[str] = set()
        self._under_way: set[str] = set()

    def want(self, conversation: str) -> None:
        """A mark has moved here."""
        self._wanted.add(conversation)

    def due(self, limit: int, *, final: bool = False) -> list[Due]:
        """What to tell now, limit conversations in all; each is under way until it is acked or has failed.

        final: also where only own messages came after the last ack; before that they wait for company.
        """
        names = self._tracks.keys() if final else self._wanted - self._under_way
        found = [due for name in names if (due := self._due(name, self._tracks[name])).seq or due.read]
        found = found[: max(0, limit - len(self._under_way))]
        self._under_way.update(due.conversation for due in found)
        return found

    def acked(self, conversation: str, seq: int, read: int) -> None:
        """The server has the marks."""
        self._under_way.discard(conversation)
        track = self._tracks.get(conversation)
        if track is not None:
            track.acked = max(track.acked, seq)
            track.read_acked = max(track.read_acked, read)
            track.read_to(read)
            if track.taken <= track.acked and track.read <= track.read_acked:
                self._wanted.discard(conversation)

    def failed(self, conversation: str, *, retry: bool) -> None:
        """The marks did not get through; without retry they are given up until the next one."""
        self._under_way.discard(conversation)
        if not retry:
            self._wanted.discard(conversation)

    def forget(self, conversation: str) -> None:
        """There is no such conversation."""
        self._under_way.discard(conversation)
        self._wanted.discard(conversation)

    def link_lost(self) -> None:
        self._under_way.clear()

    def _due(self, conversation: str, track: Track) -> Due:
        seq = track.done if self.auto and track.done > track.acked else 0
        read = track.read if track.read > track.read_acked else 0
        return Due(conversation, 0 if read >= seq else seq, read)
