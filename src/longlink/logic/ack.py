"""ack: ack:R to ack:A and ack:N. Raises the user's own marks, durably, and tells of each rise once.

A read mark that rises is told to the user's other sessions too, a delivered one to the other members only, and not
beside a read mark that says as much. What members see of each other is the setting receipts.direct. Read next:
replies.py, which keeps the same setting in answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from longlink.errors import OVERLOADED, LonglinkError
from longlink.logic.services import Receipts, Services
from longlink.protocol import frames
from longlink.protocol.frames import Acked, Delivered, Frame, Read
from longlink.routing.calls import Call
from longlink.routing.delivery import Outgoing
from longlink.routing.work import DELIVERED
from longlink.storage.base import Mark, Marked


async def ack(services: Services, calls: Sequence[Call]) -> list[Frame | LonglinkError]:
    """Per call: Acked; with one mark also CONVERSATION_UNKNOWN, NOT_A_MEMBER, SEQ_AHEAD, which marks have as codes.

    OVERLOADED for a call whose marks were all left out. Raises STORAGE_UNAVAILABLE, OVERLOADED.
    """
    asked = [_marks(call) for call in calls]
    answers = iter(await services.store.conversations.mark([mark for marks in asked for mark in marks]))
    results: list[Frame | LonglinkError] = []
    pushes: list[Outgoing] = []
    callers: list[str] = []
    for call, marks in zip(calls, asked, strict=True):
        found = [next(answers) for _ in marks]
        results.append(_all(services, marks, found) if call.frame.ack.marks else _one(marks[0], found[0]))
        for mark, marked in zip(marks, found, strict=True):
            if isinstance(marked, Marked) and marked.delivered_moved | marked.read_moved:
                services.counts.marks += 1
                pushes += _told(services.receipts, mark, marked, call)
        callers += [call.session.user] * (len(pushes) - len(callers))
    for user, reached in zip(callers, await services.delivery.deliver_by_user(pushes, callers), strict=True):
        services.accounts.charge(user, reached * DELIVERED)
    return results


def _marks(call: Call) -> list[Mark]:
    request = call.frame.ack
    user = call.session.user
    if not request.marks:
        return [Mark(request.conversation, user, request.seq, request.read)]
    return [Mark(mark.conversation, user, mark.seq, mark.read) for mark in request.marks]


def _one(mark: Mark, result: Marked | LonglinkError) -> Frame | LonglinkError:
    if isinstance(result, LonglinkError):
        return result
    return Frame(acked=Acked(conversation=mark.conversation, seq=result.delivered, read=result.read))


def _all(
    services: Services, marks: Sequence[Mark], results: Sequence[Marked | LonglinkError]
) -> Frame | LonglinkError:  # fmt: skip
    first = results[0]
    if isinstance(first, LonglinkError) and first.row is OVERLOADED and all(result is first for result in results):
        # The store has left them out together; the call itself is answered, so that its client waits before it resends.
        return first
    frame = Frame()
    frame.acked.SetInParent()
    for mark, result in zip(marks, results, strict=True):
        if isinstance(result, LonglinkError):
            services.counts.errors[result.name] += 1
            shown = frames.Marked(conversation=mark.conversation, code=result.code)
        else:
            shown = frames.Marked(conversation=mark.conversation, seq=result.delivered, read=result.read)
        frame.acked.marks.append(shown)
    return frame


def _told(receipts: Receipts, mark: Mark, marked: Marked, call: Call) -> Iterator[Outgoing]:
    conversation, user = mark.conversation, mark.user
    others = tuple([member for member in marked.members if member != user])
    if marked.read_moved:
        frame = Frame(read=Read(conversation=conversation, user=user, seq=marked.read))
        yield Outgoing(frame, marked.members if receipts.read else (user,), call.session)
    said = receipts.read and marked.read_moved and marked.read == marked.delivered
    if marked.delivered_moved and receipts.delivered and not said:
        frame = Frame(delivered=Delivered(conversation=conversation, user=user, seq=marked.delivered))
        yield Outgoing(frame, others, call.session)
