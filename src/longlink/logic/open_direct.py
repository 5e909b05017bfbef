"""open_direct: the one conversation of two users."""

from __future__ import annotations

from collections.abc import Sequence

from longlink.errors import LonglinkError
from longlink.logic import replies
from longlink.logic.each import each
from longlink.logic.services import Services
from longlink.protocol.frames import Frame
from longlink.routing.calls import Call


async def open_direct(services: Services, calls: Sequence[Call]) -> list[Frame | LonglinkError]:
    """Per call: Conversation, USER_UNKNOWN, STORAGE_UNAVAILABLE or OVERLOADED."""
    return await each(_one, services, calls)


async def _one(services: Services, call: Call) -> Frame:
    if not call.session.id:
        # Somebody who has come over HTTP, with a token, and may never have connected.
        await services.store.users.remember([call.session.user])
    opened = await services.store.conversations.open_direct(call.session.user, call.frame.open_direct.user)
    return Frame(conversation=replies.conversation(opened, call.session.user, services.receipts))
