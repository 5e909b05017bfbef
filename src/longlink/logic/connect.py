"""connect: a user with a verified token is known from now on, durably, before anybody is told that he is there."""

from __future__ import annotations

from collections.abc import Sequence

from longlink.logic.services import Services
from longlink.protocol.frames import Connected, Frame
from longlink.routing.calls import Call


async def connect(services: Services, calls: Sequence[Call]) -> list[Frame]:
    """The gateway has verified the token; call.session.user is its `sub`. Raises STORAGE_UNAVAILABLE, OVERLOADED."""
    await services.store.users.remember([call.session.user for call in calls])
    return [Frame(connected=_connected(services, call)) for call in calls]


def _connected(services: Services, call: Call) -> Connected:
    return Connected(
        user=call.session.user,
        device=call.session.device,
        session=str(call.session.id),
        heartbeat_ms=services.heartbeat_ms,
        server_time=services.now_ms(),
        max_frame_bytes=services.max_frame_bytes,
        server=services.server,
    )
