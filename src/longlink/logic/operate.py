"""What operators may ask of sessions: to see those of a user, and to end them. No request of a client does it.

Read next: ../access/control.py, through which they ask; broadcast.py, which is another such thing.
"""

from __future__ import annotations

from typing import Any, Final

from longlink import errors
from longlink.errors import LonglinkError
from longlink.protocol.limits import check_user
from longlink.routing.registrar import Registrar
from longlink.routing.registry import Record

LARGEST_LIST: Final = 1_000
"""Sessions in one answer: a few milliseconds."""


def show_sessions(registrar: Registrar, user: str) -> list[dict[str, Any]]:
    """The sessions of a user, the oldest first. waits_s: how long one still waits for its client; 0: it is there.

    Raises FIELD_INVALID for what is no user.
    """
    check_user(user, "user")
    return [_shown(record) | {"waits_s": round(waits_s, 1)} for record, waits_s in registrar.of(user)]


def show_everybody(registrar: Registrar, most: int) -> list[dict[str, Any]]:
    """Sessions of any users, each with its user, as show_sessions. most: 1 to LARGEST_LIST; raises FIELD_INVALID."""
    if not 1 <= most <= LARGEST_LIST:
        raise LonglinkError(errors.FIELD_INVALID, f"limit: expected 1 to {LARGEST_LIST}, got {most}")
    return [
        {"user": record.session.user} | _shown(record) | {"waits_s": round(waits_s, 1)}
        for record, waits_s in registrar.some(most)
    ]


def end_sessions(registrar: Registrar, user: str, device: str | None) -> int:
    """End the sessions of a user, or of one of their devices; returns how many there were. Raises FIELD_INVALID."""
    check_user(user, "user")
    return len(registrar.end(user, device))


def _shown(record: Record) -> dict[str, Any]:
    session = record.session
    return {
        "session": str(session.id),
        "device": session.device,
        "platform": session.platform,
        "gateway": session.gateway,
        "attached": record.attached,
        "background": record.background,
        "events": record.sent,
        "missed": record.missed,
    }
