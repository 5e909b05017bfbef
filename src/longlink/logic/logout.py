"""logout: the session of the caller ends for good, or all of its user; their keys are worthless from then on."""

from __future__ import annotations

from collections.abc import Sequence

from longlink.logic.services import Services
from longlink.protocol.frames import Frame, LoggedOut
from longlink.routing.calls import Call


async def logout(services: Services, calls: Sequence[Call]) -> list[Frame]:
    """Per call: LoggedOut. Others hear of it over the bus; the caller's own link is closed behind the answer."""
    return [Frame(logged_out=LoggedOut(sessions=_end(services, call))) for call in calls]


def _end(services: Services, call: Call) -> int:
    return services.sessions.log_out(call.session, everywhere=call.frame.logout.everywhere)
