"""The table of commands: which function answers which request body.

A command takes a batch of calls with the same body and returns one reply body or one error per call. Adding a
capability is adding a file and a row. This module charges the user's account, turns results into replies and an
unexpected exception into `internal`; it decides nothing else. Read next: send.py, the hot one; ../routing/work.py.
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
from longlink.protocol.frames import Frame, FrameName, body_name
from longlink.routing import work
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
        name = body_name(calls[0].frame)
        refused, paid = _charge(services, name, calls)
        results = await _run(services, name, paid) if paid else ()
        if not refused:
            return [_reply(services, call, result) for call, result in zip(calls, results, strict=True)]
        rest = iter(results)
        merged = [refused.get(place) or next(rest) for place in range(len(calls))]
        return [_reply(services, call, result) for call, result in zip(calls, merged, strict=True)]

    return handle


def _charge(
    services: Services, name: FrameName | None, calls: Sequence[Call]
) -> tuple[Mapping[int, LonglinkError], Sequence[Call]]:
    """The refusals by the place of their call, and the other calls, which have been charged."""
    refused: dict[int, LonglinkError] = {}
    if name is None or name in work.FREE:
        return refused, calls
    for place, call in enumerate(calls):
        try:
            services.accounts.take(call.session.user, work.cost(name, call.frame))
        except LonglinkError as error:
            refused[place] = error
    if not refused:
        return refused, calls
    services.counts.account_refused += len(refused)
    return refused, [call for place, call in enumerate(calls) if place not in refused]


async def _run(services: Services, name: FrameName | None, calls: Sequence[Call]) -> Sequence[Result]:
    caller = calls[0].session
    try:
        # A call by a key over HTTP; those of one batch come from one caller. A gateway knows that its sessions go on.
        if caller.id and not caller.connection:
            services.sessions.require(caller)
        return await TABLE[str(name)](services, calls)
    except LonglinkError as error:
        # The traceback holds the frames that hold the calls, in a cycle with the future that raised it.
        return [error.with_traceback(None)] * len(calls)
    except Exception:
        log.exception("command_failed", command=name, calls=len(calls))
        return [LonglinkError(errors.INTERNAL, f"{name} failed; the server's log says why")] * len(calls)


def _reply(services: Services, call: Call, result: Result) -> Reply:
    if isinstance(result, LonglinkError):
        services.counts.errors[result.name] += 1
        return refusal(result, call.frame.id)
    result.id = call.frame.id
    payload = encode(result)
    if len(payload) >= work.RETURNED_BYTES:
        services.accounts.charge(call.session.user, len(payload) // work.RETURNED_BYTES)
    return Reply(payload, 0)
