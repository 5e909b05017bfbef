"""From stored values to frames: the shapes that several commands answer with."""

from __future__ import annotations

from longlink.protocol import frames
from longlink.storage import base


def conversation(stored: base.Conversation) -> frames.Conversation:
    return frames.Conversation(
        id=stored.id,
        kind=frames.Conversation.Kind.ValueType(stored.kind),
        head=stored.head,
        members=[frames.Member(user=member.user, delivered=member.delivered) for member in stored.members],
        changed_at=stored.changed_at,
    )


def message(conversation_id: str, entry: base.Entry) -> frames.Message:
    """The message as it was pushed: an entry looks the same in History and in an event."""
    shown = frames.Message(
        conversation=conversation_id,
        seq=entry.seq,
        sender=entry.sender,
        client_id=entry.client_id,
        sent_at=entry.sent_at,
    )
    shown.content.ParseFromString(entry.content)
    return shown
