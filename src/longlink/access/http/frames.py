"""Many frames in one call, each with its reply: the way up beside a stream, whose way down is on the long link's port.

Those of one body go to the handler together and keep their order, as the gateway does it with what one connection sent
(../gateway.py). One that is wrong is answered alone. Read next: calls.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from longlink import errors
from longlink.access.http.exchange import error_fields
from longlink.errors import TABLE, LonglinkError
from longlink.ops.metrics import Counts
from longlink.protocol import limits, session
from longlink.protocol.codec import decode, encode_text
from longlink.protocol.frames import Frame
from longlink.protocol.session import State
from longlink.protocol.text import json_names
from longlink.routing.calls import Call, Handler
from longlink.routing.sessions import Session

FRAMES: Final = 64
"""Frames in one call."""
PAGES: Final = frozenset({"read_history", "list_conversations", "sync"})
ANSWER_BYTES: Final = 256 * 1024
"""Of an answer, which is in memory as a whole: from here on the other frames are refused with `overloaded`."""


async def answer_frames(
    caller: Session, frames: Sequence[Frame | LonglinkError], handler: Handler, counts: Counts
) -> bytes:
    """{"frames": [reply, ...]} in the order of the frames."""
    replies: dict[int, bytes] = {}
    groups: dict[str, dict[int, Call]] = {}
    for place, frame in enumerate(frames):
        try:
            name, call = _checked(caller, frame)
            groups.setdefault(name, {})[place] = call
        except LonglinkError as error:
            counts.errors[error.name] += 1
            replies[place] = _refused(error, error.request)

    written = 0

    async def answer(calls: dict[int, Call]) -> None:
        nonlocal written
        if written >= ANSWER_BYTES:
            full = LonglinkError(errors.OVERLOADED, f"the answer has {written} bytes already: ask again for the rest")
            replies.update({place: _refused(full, call.frame.id) for place, call in calls.items()})
            counts.errors[full.name] += len(calls)
            return
        for place, reply in zip(calls, await handler(list(calls.values())), strict=True):
            answer = decode(reply.payload)
            replies[place] = _refused(as_raised(answer), answer.id) if reply.code else encode_text(answer)
            written += len(replies[place])

    async def answer_each(calls: dict[int, Call]) -> None:
        """Pages are large: one after the other, so that no more of them are in memory than the answer has room for."""
        for place, call in calls.items():
            await answer({place: call})
            await asyncio.sleep(0)

    await asyncio.gather(*(answer_each(calls) if name in PAGES else answer(calls) for name, calls in groups.items()))
    return b'{"frames":[' + b",".join(replies[place] for place in range(len(frames))) + b"]}"


def _refused(error: LonglinkError, request: int) -> bytes:
    """As an error frame, with what a single call says more."""
    return msgspec.json.encode({**({"id": request} if request else {}), "error": error_fields(error)})


def as_raised(reply: Frame) -> LonglinkError:
    """An error that the handler has counted."""
    error = reply.error
    return LonglinkError(TABLE[error.code], error.message, retry_after_ms=error.retry_after_ms)


def _checked(caller: Session, frame: Frame | LonglinkError) -> tuple[str, Call]:
    """Raises what is wrong with it, under its id."""
    if isinstance(frame, LonglinkError):
        raise frame
    try:
        name = session.check(State.CONNECTED, frame)
        if name == "adjust":
            raise LonglinkError(errors.FRAME_UNEXPECTED, "adjust is about a link: send it there")
        limits.check(frame)
    except LonglinkError as error:
        error.message, error.request = json_names(error.message), frame.id
        raise
    return name, Call(caller, frame)
