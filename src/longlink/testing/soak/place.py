"""One conversation as one raw client holds it: what it has, what lies behind a gap, what it still has to send.

Pure, and written from SPEC.md section 6 alone: the rules are not those of the Python client's code. Read next: peer.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from longlink.protocol.frames import Message

HELD: Final = 100
"""Messages kept behind a gap; the rest is read from history."""


@dataclass(slots=True)
class Place:
    """have: everything up to here is known. head: the highest seq that is known to be there.

    outgoing: (client_id, text), the oldest of which may be under way as request `sending`. acked: the mark that the
    server has confirmed.
    """

    id: str
    have: int = 0
    head: int = 0
    acked: int = 0
    sending: int = 0
    acking: int = 0
    fetching: int = 0
    not_before: float = 0.0
    outgoing: deque[tuple[str, str]] = field(default_factory=deque)
    held: dict[int, Message | None] = field(default_factory=dict)

    def link_lost(self) -> None:
        """Nothing is under way any more; what was is to be done again."""
        self.sending = self.acking = self.fetching = 0
        self.not_before = 0.0

    def offer(self, seq: int, message: Message | None) -> Iterator[Message]:
        """A message came by whatever way, None for an own one; gives those of others that can be shown now."""
        self.head = max(self.head, seq)
        if seq <= self.have:
            return
        if seq == self.have + 1 or len(self.held) < HELD:
            self.held.setdefault(seq, message)
        while self.have + 1 in self.held:
            self.have += 1
            shown = self.held.pop(self.have)
            if shown is not None:
                yield shown

    @property
    def behind(self) -> bool:
        """Whether something is known to be there and lacking here."""
        return self.head > self.have
