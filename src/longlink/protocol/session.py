"""The states of a connection as one table: which request is allowed when, and where it leads.

Pure values and functions, no object per connection: whoever holds a connection knows its state and asks. The diagram in
proto/SPEC.md is made from TABLE. Never checks the fields of a request. Read next: limits.py, access/gateway.py.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from longlink import errors
from longlink.errors import LonglinkError, Row
from longlink.protocol.frames import REQUESTS, Frame, FrameName, RequestName, body_name


class State(enum.Enum):
    """Where a connection stands, seen from the server."""

    NEW = "new"
    """Nobody has said yet who is there."""
    CONNECTING = "connecting"
    """Connect was accepted for checking; its answer has not been sent."""
    CONNECTED = "connected"
    """Connected was sent: a session of a verified user."""
    CLOSED = "closed"
    """No frame counts any more."""


Step = State | Row
"""Where a request leads, or the error that it is."""

_REFUSED: Final[Mapping[RequestName, Step]] = dict.fromkeys(REQUESTS, errors.FRAME_UNEXPECTED)

TABLE: Final[Mapping[State, Mapping[RequestName, Step]]] = {
    State.NEW: {**_REFUSED, "connect": State.CONNECTING},
    State.CONNECTING: _REFUSED,
    State.CONNECTED: {**dict.fromkeys(REQUESTS, State.CONNECTED), "connect": errors.FRAME_UNEXPECTED},
    State.CLOSED: _REFUSED,
}

ENDING: Final[frozenset[str]] = frozenset({errors.FRAME_MALFORMED.name})
"""Errors in a client's frame that end a connected session; every other error only answers its request.

After bytes that are no frame nobody knows what the client meant or which requests it still waits for. Before CONNECTED
every error ends the connection, but for those of KEY_REFUSALS.
"""

KEY_REFUSALS: Final[frozenset[str]] = frozenset(
    row.name
    for row in (errors.KEY_INVALID, errors.KEY_EXPIRED, errors.KEY_FOREIGN, errors.SESSION_UNKNOWN, errors.KEY_REUSED)
)
"""Refusals of Connect.key: the connection is NEW again, so that a token need not wait for another one."""


def check(state: State, frame: Frame) -> RequestName:
    """The name of the request, which is allowed in this state.

    Raises FRAME_UNKNOWN (no body, or one of a newer version), FIELD_INVALID (id 0) or FRAME_UNEXPECTED (a body that
    only servers send, or not in this state).
    """
    name = body_name(frame)
    if isinstance(TABLE[state].get(name), State) and frame.id:  # type: ignore[arg-type]
        return name  # type: ignore[return-value]
    raise _refusal(state, frame)


def ends_connection(error: LonglinkError, state: State = State.CONNECTED) -> bool:
    """Whether this error in a client's frame ends the connection; otherwise it only answers the request."""
    if state is State.CONNECTED:
        return error.row.name in ENDING
    return error.row.name not in KEY_REFUSALS


def unexpected(name: FrameName, state: State) -> LonglinkError:
    """FRAME_UNEXPECTED for a body that servers send, or that is not allowed in this state."""
    if name not in REQUESTS:
        return LonglinkError(errors.FRAME_UNEXPECTED, f"expected a request; {name} is sent by servers only")
    allowed = ", ".join(request for request, to in TABLE[state].items() if isinstance(to, State)) or "none"
    return LonglinkError(errors.FRAME_UNEXPECTED, f"{name} is not allowed while {state.value}; allowed: {allowed}")


def _refusal(state: State, frame: Frame) -> LonglinkError:
    name = body_name(frame)
    if name is None:
        return LonglinkError(errors.FRAME_UNKNOWN, f"expected one of {', '.join(REQUESTS)}; got no body known here")
    if name not in REQUESTS:
        return unexpected(name, state)
    if isinstance(TABLE[state][name], Row):
        return unexpected(name, state)
    return LonglinkError(errors.FIELD_INVALID, f"id: expected 1 to 4294967295 in a request, got 0 in {name}")
