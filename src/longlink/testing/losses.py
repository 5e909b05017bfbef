"""Which single message is to be lost: the six packets by their names in SPEC.md, any body, or any rule over frames.

Read next: network.py, which asks `Loss.takes` of every message that passes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from longlink.protocol.frames import REQUESTS, Frame, body_name

PACKETS: Final = {
    "msg:R": "send",
    "msg:A": "sent",
    "msg:N": "message",
    "ack:R": "ack",
    "ack:A": "acked",
    "ack:N": "delivered",
}
"""The six packets of SPEC.md section 6.1, and the bodies that carry them."""

Rule = Callable[[Frame], bool]


@dataclass(eq=False)
class Loss:
    """Of the messages that match, from the nth on, count are lost. kill: the link is reset at the same moment.

    lost: how many have been lost. happened: set at the first one.
    """

    rule: Rule
    nth: int = 1
    count: int = 1
    kill: bool = False
    lost: int = 0
    happened: asyncio.Event = field(default_factory=asyncio.Event)
    _seen: int = 0

    @property
    def over(self) -> bool:
        """Whether all that were to be lost are lost."""
        return self.lost >= self.count

    def takes(self, frame: Frame) -> bool:
        """Whether this message is lost; counts it."""
        if self.over or not self.rule(frame):
            return False
        self._seen += 1
        if self._seen < self.nth:
            return False
        self.lost += 1
        self.happened.set()
        return True


def rule_of(what: str | Rule) -> Rule:
    """A rule from a packet ("msg:R"), a body ("sent") or a rule. Raises ValueError for other words."""
    if not isinstance(what, str):
        return what
    name = PACKETS.get(what, what)
    if name not in Frame.DESCRIPTOR.fields_by_name:
        known = ", ".join([*PACKETS, *REQUESTS])
        raise ValueError(f"expected a packet or the body of a frame such as {known}, got {what!r}")
    return lambda frame: body_name(frame) == name
