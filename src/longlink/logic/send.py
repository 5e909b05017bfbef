"""send: msg:R to msg:A and msg:N. One durable commit for the batch, then the answer, then the push.

A resend is answered like the first time and pushed to nobody: whoever missed the first push sees the gap (F8-9).
Read next: ack.py, the other half of the six packets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from longlink.errors import LonglinkError
from longlink.logic.services import Services
from longlink.protocol.frames import Frame
from longlink.routing.calls import Call
from longlink.routing.delivery import Outgoing
from longlink.routing.work import DELIVERED, DELIVERED_BYTES
from longlink.storage.base import Append, Appended

INCLUDED: Final = 2
"""Connections that a message reaches at no further cost."""


async def send(services: Services, calls: Sequence[Call]) -> list[Frame | LonglinkError]:
    """Per call: Sent, CONVERSATION_UNKNOWN, NOT_A_MEMBER or CONTENT_DIFFERS. Raises STORAGE_UNAVAILABLE, OVERLOADED."""
    appended = await services.store.messages.append([_append(call) for call in calls])
    results: list[Frame | LonglinkError] = []
    pushes: list[Outgoing] = []
    pushed: list[Call] = []
    for call, result in zip(calls, appended, strict=True):
        if isinstance(result, LonglinkError):
            results.append(result)
            continue
        results.append(_sent(call, result))
        if result.duplicate:
            services.counts.duplicates += 1
        else:
            pushes.append(Outgoing(_message(call, result), result.members, call.session))
            pushed.append(call)
    services.counts.messages += len(pushes)
    for call, reached in zip(pushed, await services.delivery.deliver(pushes), strict=True):
        if reached > INCLUDED:
            each = DELIVERED + call.frame.ByteSize() // DELIVERED_BYTES
            services.accounts.charge(call.session.user, (reached - INCLUDED) * each)
    return results


def _append(call: Call) -> Append:
    request = call.frame.send
    content = request.content
    said = content.SerializeToString()
    mentions = tuple(content.mentions) if content.mentions else ()
    return Append(request.conversation, call.session.user, request.client_id, said, mentions, content.mentions_all)


def _sent(call: Call, appended: Appended) -> Frame:
    frame = Frame()
    sent = frame.sent
    sent.conversation = call.frame.send.conversation
    sent.seq = appended.seq
    sent.client_id = call.frame.send.client_id
    sent.sent_at = appended.sent_at
    sent.duplicate = appended.duplicate
    sent.stamp = appended.stamp
    return frame


def _message(call: Call, appended: Appended) -> Frame:
    request = call.frame.send
    frame = Frame()
    message = frame.message
    message.conversation = request.conversation
    message.seq = appended.seq
    message.sender = call.session.user
    message.client_id = request.client_id
    message.sent_at = appended.sent_at
    message.stamp = appended.stamp
    message.content.CopyFrom(request.content)
    return frame
