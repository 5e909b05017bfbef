"""Which devices of one user may be there together, and why one gave way: sessions.policy as plain functions.

Knows no registry and no time. Read next: registry.py, which asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from longlink.routing.sessions import Session

Rivals = Callable[[Session, Session], bool]
"""Whether two sessions of one user exclude each other."""


def _same_device(one: Session, other: Session) -> bool:
    return one.device == other.device


def _same_platform(one: Session, other: Session) -> bool:
    return one.platform == other.platform or one.device == other.device


def _always(_: Session, __: Session) -> bool:
    return True


POLICIES: Final[Mapping[str, Rivals]] = {"all": _same_device, "platform": _same_platform, "one": _always}
"""By the values of the setting. Devices that name no platform are of one, or the rule could be evaded."""


def why_replaced(policy: str, new: Session, old: Session) -> str:
    """What a session that gave way to a rival is told."""
    if new.device == old.device:
        return f"device {new.device!r} connected again"
    most = "one device" if policy == "one" else f"one device of platform {new.platform!r}"
    return f"device {new.device!r} connected, and a user may have {most}"


def why_surplus(new: Session, old: Session) -> str:
    """The same for one device more than a user may have."""
    return f"device {new.device!r} connected, and {old.device!r} was the oldest of as many as a user may have"


def why_late(late: Session) -> str:
    """The same for a session that is announced when newer ones are there already."""
    return f"device {late.device!r} connected again, or as many newer ones as a user may have"
