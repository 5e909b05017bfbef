"""connect: a new session, whose user is known from then on, durably; or one that goes on, which touches no store.

A session is attached by its gateway, when the client is about to hear of it. Read next: ../routing/registrar.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from longlink import errors
from longlink.errors import LonglinkError
from longlink.logic.services import Services
from longlink.protocol.frames import Connected, Frame
from longlink.routing.calls import Call


async def connect(services: Services, calls: Sequence[Call]) -> list[Frame | LonglinkError]:
    """The gateway has verified the token, or the key, and left the link that it names in its place.

    Per call: Connected without a key, SESSION_UNKNOWN, KEY_REUSED, STORAGE_UNAVAILABLE or OVERLOADED.
    """
    refusal = await _remember(services, [call.session.user for call in calls if not call.frame.connect.key])
    return [_resumed(services, call) if call.frame.connect.key else refusal or _new(services, call) for call in calls]


async def _remember(services: Services, users: list[str]) -> LonglinkError | None:
    try:
        if users:
            await services.store.users.remember(users)
    except LonglinkError as error:
        return error
    return None


def _new(services: Services, call: Call) -> Frame:
    return Frame(connected=_connected(services, call))


def _resumed(services: Services, call: Call) -> Frame | LonglinkError:
    asked = call.frame.connect
    try:
        missed = services.sessions.resume(call.session, int(asked.key), asked.received)
    except LonglinkError as error:
        return error
    if missed is None:
        return LonglinkError(errors.SESSION_UNKNOWN, "expected the key of a session that goes on; this one has ended")
    connected = _connected(services, call)
    connected.resumed = True
    connected.missed = missed
    return Frame(connected=connected)


def _connected(services: Services, call: Call) -> Connected:
    return Connected(
        user=call.session.user,
        device=call.session.device,
        session=str(call.session.id),
        heartbeat_ms=services.heartbeats.agreed(call.frame.connect.heartbeat_ms),
        server_time=services.now_ms(),
        max_frame_bytes=services.max_frame_bytes,
        server=services.server,
        detached_ms=services.detached_ms,
        epoch=services.store.epoch,
    )
