"""Where access and logic meet: one callable type. Neither imports the other; the wiring puts them together.

A gateway hands over a batch of requests with the same body; logic answers each, in order, with bytes that most gateways
can pass on as they are. In one process this is a plain await, between processes the same values travel on a trunk. Read
next: logic/commands.py, access/gateway.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from longlink.errors import LonglinkError
from longlink.protocol.codec import encode
from longlink.protocol.frames import Frame, error_frame
from longlink.routing.sessions import Session


class Call(NamedTuple):
    """One request of a verified session. frame has passed the state table and the field rules.

    Of a Connect what proved its identity is left out: token is empty, and key the number of the link that it named.
    """

    session: Session
    frame: Frame


class Reply(NamedTuple):
    """The answer to one call. payload: the reply frame in Protocol Buffers; code: of the error in it, 0 for none."""

    payload: bytes
    code: int


Handler = Callable[[Sequence[Call]], Awaitable[list[Reply]]]
"""Answers a batch of calls that all have the same body: one reply per call, ids already set. Never raises.

Batches handed over one after the other take effect in that order, whether or not the first was awaited.
"""


def refusal(error: LonglinkError, request: int) -> Reply:
    """The reply that says why a call was not done. request: its id."""
    return Reply(encode(error_frame(error, request)), error.code)
