"""Where access and logic meet: one callable type. Neither imports the other; app.py puts them together.

A gateway hands over a batch of requests with the same body; logic answers each, in order. In one process this is a
plain await, between machines the same values travel on the bus. Read next: logic/commands.py, access/gateway.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from longlink.protocol.frames import Frame
from longlink.routing.sessions import Session


class Call(NamedTuple):
    """One request of a verified session. frame has passed the state table and the field rules."""

    session: Session
    frame: Frame


Handler = Callable[[Sequence[Call]], Awaitable[list[Frame]]]
"""Answers a batch of calls that all have the same body: one reply frame per call, ids already set. Never raises.

Batches handed over one after the other take effect in that order, whether or not the first was awaited.
"""
