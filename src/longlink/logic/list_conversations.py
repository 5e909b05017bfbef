"""list_conversations: the user's conversations that changed since a time, without messages. Read next: sync.py."""

from __future__ import annotations

from collections.abc import Sequence

from longlink.errors import LonglinkError
from longlink.logic import replies
from longlink.logic.each import each
from longlink.logic.services import Services
from longlink.protocol.frames import Conversations, Frame
from longlink.protocol.limits import PAGE_DEFAULT
from longlink.routing.calls import Call


async def list_conversations(services: Services, calls: Sequence[Call]) -> list[Frame | LonglinkError]:
    """Per call: Conversations, FIELD_INVALID (cursor), STORAGE_UNAVAILABLE or OVERLOADED."""
    return await each(_one, services, calls)


async def _one(services: Services, call: Call) -> Frame:
    request = call.frame.list_conversations
    changes = await services.store.conversations.changed(
        call.session.user, since=request.since, cursor=request.cursor, limit=request.limit or PAGE_DEFAULT
    )
    user, receipts = call.session.user, services.receipts
    listed = [replies.conversation(conversation, user, receipts) for conversation in changes.conversations]
    return Frame(conversations=Conversations(conversations=listed, next=changes.next, synced_at=changes.synced_at))
