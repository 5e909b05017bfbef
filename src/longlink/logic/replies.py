"""From stored values to frames: the shapes that several commands answer with."""

from __future__ import annotations

from typing import Final

from longlink.logic.services import Receipts
from longlink.protocol import frames
from longlink.storage import base

_OWN: Final = Receipts(delivered=True, read=True)


def conversation(stored: base.Conversation, user: str, receipts: Receipts) -> frames.Conversation:
    """As this user may see it: marks of others are 0 where the receipts are off."""
    return frames.Conversation(
        id=stored.id,
        kind=frames.Conversation.Kind.ValueType(stored.kind),
        head=stored.head,
        members=[_member(member, receipts if member.user != user else _OWN) for member in stored.members],
        changed_at=stored.changed_at,
        unread=stored.unread,
        mentions=stored.mentions,
        stamp=stored.stamp,
    )


def message(conversation_id: str, entry: base.Entry) -> frames.Message:
    """The message as it was pushed: an entry looks the same in History and in an event."""
    shown = frames.Message(
        conversation=conversation_id,
        seq=entry.seq,
        sender=entry.sender,
        client_id=entry.client_id,
        sent_at=entry.sent_at,
        stamp=entry.stamp,
    )
    shown.content.ParseFromString(entry.content)
    return shown


def _member(member: base.Member, seen: Receipts) -> frames.Member:
    return frames.Member(
        user=member.user,
        delivered=member.delivered if seen.delivered else 0,
        read=member.read if seen.read else 0,
    )
