"""read_history: a page of a conversation's log, for members only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from longlink.errors import LonglinkError
from longlink.logic import replies
from longlink.logic.services import Services
from longlink.protocol.frames import Frame, History, ReadHistory
from longlink.routing.calls import Call
from longlink.storage.base import Entry, Page

DEFAULT_LIMIT: Final = 50
ENTRY_OVERHEAD_BYTES: Final = 256
"""Upper bound of what a message weighs beside its content: ids of at most 64 bytes each, numbers, tags."""


async def read_history(services: Services, calls: Sequence[Call]) -> list[Frame | LonglinkError]:
    """Per call: History, CONVERSATION_UNKNOWN, NOT_A_MEMBER, STORAGE_UNAVAILABLE or OVERLOADED."""
    return list(await asyncio.gather(*(_one(services, call) for call in calls)))


async def _one(services: Services, call: Call) -> Frame | LonglinkError:
    request = call.frame.read_history
    try:
        page = await services.store.messages.history(
            request.conversation,
            call.session.user,
            after=request.after,
            before=request.before,
            limit=request.limit or DEFAULT_LIMIT,
        )
    except LonglinkError as error:
        return error
    return Frame(history=_history(request, page, services.page_bytes))


def _history(request: ReadHistory, page: Page, page_bytes: int) -> History:
    """The page, cut so that it fits into what may wait for one connection; `more` then says that there is a rest."""
    newest_first = request.before > 0
    fitting = _fitting(page.entries[::-1] if newest_first else page.entries, page_bytes)
    kept = fitting[::-1] if newest_first else fitting
    return History(
        conversation=request.conversation,
        messages=[replies.message(request.conversation, entry) for entry in kept],
        head=page.head,
        more=page.more or len(kept) < len(page.entries),
    )


def _fitting(entries: Sequence[Entry], page_bytes: int) -> Sequence[Entry]:
    """The longest beginning within page_bytes, and always the first entry, so that every reader makes progress."""
    total = 0
    for count, entry in enumerate(entries):
        total += len(entry.content) + ENTRY_OVERHEAD_BYTES
        if total > page_bytes and count > 0:
            return entries[:count]
    return entries
