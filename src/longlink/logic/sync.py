"""sync: what happened while a device was away, newest first: conversations that changed, and their newest messages.

A page is bounded however much has happened; what does not fit is said by `next` and `more`. Read next: what a page
holds, in Conversations.sync of ../storage/base.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from longlink.errors import LonglinkError
from longlink.logic import replies
from longlink.logic.each import each
from longlink.logic.services import Services
from longlink.protocol.frames import Change, Frame, Synced
from longlink.protocol.limits import MESSAGES_DEFAULT, PAGE_DEFAULT
from longlink.routing.calls import Call
from longlink.storage import base

LARGEST: Final = 48 * 2**10
"""Bytes of one answer: a phone that comes back over a poor network shows the first page before the second is there."""


async def sync(services: Services, calls: Sequence[Call]) -> list[Frame | LonglinkError]:
    """Per call: Synced, SINCE_AHEAD, FIELD_INVALID (cursor), STORAGE_UNAVAILABLE or OVERLOADED."""
    return await each(_one, services, calls)


async def _one(services: Services, call: Call) -> Frame:
    request = call.frame.sync
    page = await services.store.conversations.sync(
        call.session.user,
        since=request.since,
        cursor=request.cursor,
        limit=request.limit or PAGE_DEFAULT,
        messages=request.messages or MESSAGES_DEFAULT,
        page_bytes=min(LARGEST, services.page_bytes),
        seen=base.Seen(request.epoch, request.newest),
    )
    changes = [_change(services, call.session.user, change) for change in page.changes]
    complete = not page.next and not any(change.more for change in page.changes)
    synced = Synced(changes=changes, next=page.next, synced_at=page.synced_at, complete=complete)
    synced.epoch = services.store.epoch
    return Frame(synced=synced)


def _change(services: Services, user: str, change: base.Change) -> Change:
    id_ = change.conversation.id
    return Change(
        conversation=replies.conversation(change.conversation, user, services.receipts),
        messages=[replies.message(id_, entry) for entry in change.entries],
        more=change.more,
        kept=change.kept,
    )
