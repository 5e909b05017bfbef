"""Messages that the server has not acknowledged: their order, and when each is to be written (again).

Pure: no I/O, no clock (`now` is passed in, in seconds). Of one conversation only the oldest message is under way: the
next one is written when it is stored or has failed for good. Otherwise a later message could be stored while an
earlier one is refused with "try again", and the order would be lost for ever. Conversations do not wait for each other.
Read next: exchange.py, which does the writing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from longlink.client.backoff import Backoff
from longlink.errors import LonglinkError
from longlink.protocol import frames

RESEND_AFTER_S: Final = 10.0
"""F8-9, LC-2: how long an answer may take on a live link before the message is written again."""
RETRY_CAP_S: Final = 10.0


@dataclass(slots=True, eq=False)
class Pending:
    """One unacknowledged message. request: id of the newest attempt, 0 while none is under way.

    number: its place on disk, 0 without a store. settled: nobody waits for it any more, and it is off the disk.
    """

    request_body: frames.Send
    backoff: Backoff
    due_at: float = 0.0
    request: int = 0
    attempts: int = 0
    number: int = 0
    settled: bool = False

    @property
    def conversation(self) -> str:
        return self.request_body.conversation

    @property
    def client_id(self) -> str:
        return self.request_body.client_id


@dataclass(slots=True)
class Outbox:
    """All unacknowledged messages of one client, in the order of their sending."""

    random: Callable[[], float]
    resend_after_s: float = RESEND_AFTER_S
    _queues: dict[str, deque[Pending]] = field(default_factory=dict)
    _requests: dict[int, Pending] = field(default_factory=dict)
    _waiting: set[Pending] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, pending: Pending) -> bool:
        return pending in self._waiting

    def add(self, send: frames.Send) -> Pending:
        """Queue a message behind the others of its conversation.

        send.client_id stays; an application that chooses it may have used it before, here or in another conversation.
        """
        pending = Pending(send, Backoff(self.random, cap_s=RETRY_CAP_S))
        self._waiting.add(pending)
        self._queues.setdefault(pending.conversation, deque()).append(pending)
        return pending

    def due(self, now: float) -> list[Pending]:
        """What is to be written now; the caller writes each one and says so with `written`."""
        return [queue[0] for queue in self._queues.values() if queue[0].due_at <= now]

    def next_due(self) -> float | None:
        """When `due` has something to say, if nothing else happens before."""
        return min((queue[0].due_at for queue in self._queues.values()), default=None)

    def written(self, pending: Pending, request: int, now: float) -> None:
        """An attempt is under way; without an answer it is repeated after resend_after_s."""
        self._requests.pop(pending.request, None)
        pending.request = request
        pending.attempts += 1
        pending.due_at = now + self.resend_after_s
        self._requests[request] = pending

    def stored(self, conversation: str, client_id: str) -> Pending | None:
        """The server has it, whichever attempt was answered. None: it was not waiting any more.

        Only the oldest message of a conversation has ever been written, so it is that one or none.
        """
        queue = self._queues.get(conversation)
        if queue is None or queue[0].client_id != client_id or not queue[0].attempts:
            return None
        pending = queue[0]
        self.remove(pending)
        return pending

    def failed(self, request: int, error: LonglinkError, now: float) -> Pending | None:
        """An attempt was refused. Returns the message when that is final, None when it will be tried again.

        The answer to an older attempt says nothing about the newest one and is dropped.
        """
        pending = self._requests.pop(request, None)
        if pending is None:
            return None
        pending.request = 0
        if not error.retry:
            self.remove(pending)
            return pending
        pending.due_at = now + pending.backoff.next(error.retry_after_ms / 1000)
        return None

    def link_lost(self) -> None:
        """What was under way is to be written again, in order, as soon as there is a link."""
        for pending in self._requests.values():
            pending.request = 0
            pending.due_at = 0.0
        self._requests.clear()

    def remove(self, pending: Pending) -> None:
        """Forget a message: it is stored, it failed, or nobody waits for it any more. Idempotent."""
        if pending not in self:
            return
        self._waiting.remove(pending)
        self._requests.pop(pending.request, None)
        queue = self._queues[pending.conversation]
        queue.remove(pending)
        if not queue:
            del self._queues[pending.conversation]
