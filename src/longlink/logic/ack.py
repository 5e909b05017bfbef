"""ack: ack:R to ack:A and ack:N. Raises the user's delivered mark, durably, and tells the other members once."""

from __future__ import annotations

from collections.abc import Sequence

from longlink.errors import LonglinkError
from longlink.logic.services import Services
from longlink.protocol.frames import Frame
from longlink.routing.calls import Call
from longlink.routing.delivery import Outgoing
from longlink.storage.base import Mark, Marked


async def ack(services: Services, calls: Sequence[Call]) -> list[Frame | LonglinkError]:
    """Per call: Acked, CONVERSATION_UNKNOWN, NOT_A_MEMBER or SEQ_AHEAD. Raises STORAGE_UNAVAILABLE, OVERLOADED."""
    marks = [Mark(call.frame.ack.conversation, call.session.user, call.frame.ack.seq) for call in calls]
    results: list[Frame | LonglinkError] = []
    pushes: list[Outgoing] = []
    for mark, result, call in zip(marks, await services.store.conversations.mark_delivered(marks), calls, strict=True):
        if isinstance(result, LonglinkError):
            results.append(result)
            continue
        results.append(_acked(mark, result))
        if result.moved:
            pushes.append(_delivered(mark, result, call))
    services.counts.marks += len(pushes)
    await services.delivery.deliver(pushes)
    return results


def _acked(mark: Mark, marked: Marked) -> Frame:
    frame = Frame()
    frame.acked.conversation = mark.conversation
    frame.acked.seq = marked.seq
    return frame


def _delivered(mark: Mark, marked: Marked, call: Call) -> Outgoing:
    others = tuple([user for user in marked.members if user != mark.user])
    frame = Frame()
    delivered = frame.delivered
    delivered.conversation = mark.conversation
    delivered.user = mark.user
    delivered.seq = marked.seq
    return Outgoing(frame, others, call.session)
