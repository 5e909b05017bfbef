"""read_history: a page of a conversation's log, for members only."""

from __future__ import annotations

from collections.abc import Sequence

from longlink.errors import LonglinkError
from longlink.logic import replies
from longlink.logic.each import each
from longlink.logic.services import Services
from longlink.protocol.frames import Frame, History
from longlink.protocol.limits import PAGE_DEFAULT, SEQ_MAX
from longlink.routing.calls import Call
from longlink.storage.base import Page


async def read_history(services: Services, calls: Sequence[Call]) -> list[Frame | LonglinkError]:
    """Per call: History, CONVERSATION_UNKNOWN, NOT_A_MEMBER, STORAGE_UNAVAILABLE or OVERLOADED."""
    return await each(_one, services, calls)


async def _one(services: Services, call: Call) -> Frame:
    request = call.frame.read_history
    # Nothing was said about where: the newest, as below the largest seq.
    anywhere = not request.before and not request.HasField("after")
    page = await services.store.messages.history(
        request.conversation,
        call.session.user,
        after=request.after,
        before=SEQ_MAX if anywhere else request.before,
        limit=request.limit or PAGE_DEFAULT,
        page_bytes=services.page_bytes,
    )
    return Frame(history=_history(request.conversation, page))


def _history(conversation: str, page: Page) -> History:
    return History(
        conversation=conversation,
        messages=[replies.message(conversation, entry) for entry in page.entries],
        head=page.head,
        more=page.more,
        stamp=page.stamp,
    )
