"""open_direct: the one conversation of two users.

Creating one costs the user a token of their quota, and so does a refusal for a user who is not known, so that names
cannot be tried without end; finding an existing conversation is free. Read next: quota.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from longlink import errors
from longlink.errors import LonglinkError
from longlink.logic import replies
from longlink.logic.each import each
from longlink.logic.services import Services
from longlink.protocol.frames import Frame
from longlink.routing.calls import Call


async def open_direct(services: Services, calls: Sequence[Call]) -> list[Frame | LonglinkError]:
    """Per call: Conversation, USER_UNKNOWN, RATE_LIMITED, STORAGE_UNAVAILABLE or OVERLOADED."""
    return await each(_one, services, calls)


async def _one(services: Services, call: Call) -> Frame:
    user, peer = call.session.user, call.frame.open_direct.user
    quota = services.new_conversations
    wait_s = quota.take(user)
    conversations = services.store.conversations
    try:
        opened = await conversations.open_direct(user, peer, accept=services.accept_unknown, create=not wait_s)
    except LonglinkError as error:
        if error.row is not errors.CONVERSATION_UNKNOWN:
            if not wait_s and error.row is not errors.USER_UNKNOWN:
                # Nothing was created: who tries again until the disk works must not use up the quota.
                quota.give_back(user)
            raise
        services.counts.quota_refused += 1
        message = "you have created as many conversations as one user may in an hour"
        raise LonglinkError(errors.RATE_LIMITED, message, retry_after_ms=math.ceil(wait_s * 1000)) from None
    if not wait_s and not opened.created:
        quota.give_back(user)
    return Frame(conversation=replies.conversation(opened.conversation, user, services.receipts))
