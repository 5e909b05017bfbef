"""The table of commands: which function answers which request body.

A command takes a batch of calls with the same body and returns one reply body or one error per call. Adding a
capability is adding a file and a row. This module turns results into replies and an unexpected exception into
`internal`; it decides nothing else. Read next: send.py, the hot one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from longlink import errors
from longlink.errors import LonglinkError
from longlink.logic import ack, adjust, connect, list_conversations, logout, open_direct, read_history, send, sync
from longlink.logic.services import Services
from longlink.ops import logs
from longlink.protocol.codec import encode
from longlink.protocol.frames import Frame, body_name
from longlink.routing.calls import Call, Handler, Reply, refusal

Result = Frame | LonglinkError
Command = Callable[[Services, Sequence[Call]], Awaitable[Sequence[Result]]]

TABLE: Final[Mapping[str, Command]] = {
    "connect": connect.connect,
    "open_direct": open_direct.open_direct,
    "send": send.send,
    "ack": ack.ack,
    "read_history": read_history.read_history,
    "list_conversations": list_conversations.list_conversations,
    "sync": sync.sync,
    "adjust": adjust.adjust,
    "logout": logout.logout,
}

log = logs.get("logic")


def handler(services: Services) -> Handler:
    """The callable that access is given."""

    async def handle(calls: Sequence[Call]) -> list[Reply]:
        results = await _run(services, calls)
        return [_reply(services, call, result) for call, result in zip(calls, results, strict=True)]

    return handle


async def _run(services: Services, calls: Sequence[Call]) -> Sequence[Result]:
    name = body_name(calls[0].frame)
    caller = calls[0].session
    try:
        # A call by a key over HTTP; those of one batch come from one caller. A gateway knows that its sessions go on.
        if caller.id and not caller.connection:
            services.sessions.require(caller)
        return await TABLE[str(name)](services, calls)
    except LonglinkError as error:
        return [error] * len(calls)
    except Exception:
        log.exception("command_failed", command=name, calls=len(calls))
        return [LonglinkError(errors.INTERNAL, f"{name} failed; the server's log says why")] * len(calls)


def _reply(services: Services, call: Call, result: Result) -> Reply:
    if isinstance(result, LonglinkError):
        services.counts.errors[result.name] += 1
        return refusal(result, call.frame.id)
    result.id = call.frame.id
    return Reply(encode(result), 0)
