"""adjust: other terms for a connection: how long it may be silent, and whether it wants events. Touches no store."""

from __future__ import annotations

from collections.abc import Sequence

from longlink.logic.services import Services
from longlink.protocol.frames import Adjusted, Frame
from longlink.routing.calls import Call


async def adjust(services: Services, calls: Sequence[Call]) -> list[Frame]:
    """Per call: Adjusted, behind a Missed if the client comes to the foreground and events were left out."""
    return [Frame(adjusted=_adjusted(services, call)) for call in calls]


def _adjusted(services: Services, call: Call) -> Adjusted:
    asked = call.frame.adjust
    services.sessions.adjust(call.session, background=asked.background)
    return Adjusted(heartbeat_ms=services.heartbeats.agreed(asked.heartbeat_ms))
