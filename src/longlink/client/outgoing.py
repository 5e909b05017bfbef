"""What the application sends: into the outbox and, with a store, onto the disk first; and what became of it.

A send is waited for and given up when its caller gives up; a post is tried until it is stored or refused for good, by
the next process too when there is a store. Never writes to a link: that is exchange.py. Read next: outbox.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from longlink.client import events
from longlink.client.events import Refused, Sent
from longlink.client.flush import Flush
from longlink.client.inbox import Inbox
from longlink.client.options import Options
from longlink.client.outbox import Outbox, Pending
from longlink.client.store import Store
from longlink.errors import LonglinkError
from longlink.protocol import frames


class Outgoing:
    """One per client. idle: set while nothing waits. wake: called when there is something to write."""

    def __init__(self, options: Options, inbox: Inbox, store: Store | None, wake: Callable[[], None]) -> None:
        self.outbox = Outbox(options.random, options.resend_after_s)
        self.idle = asyncio.Event()
        self._inbox = inbox
        self._store = store
        self._wake = wake
        self._flush = Flush(store.sync) if store is not None else None
        self._answers: dict[Pending, asyncio.Future[Sent]] = {}
        left = store.queued() if store is not None else []
        for number, send in left:
            self.outbox.add(send).number = number
        self._room = asyncio.Semaphore(max(0, options.max_pending - len(left)))
        self._beyond = max(0, len(left) - options.max_pending)
        self._rest()

    async def send(self, send: frames.Send, failure: Callable[[], LonglinkError | None]) -> Sent:
        """Wait for room and then for the answer. failure: why nothing can be sent any more, asked when there is room.

        Cancelled, the message is not tried again.
        """
        pending = await self._add(send, failure)
        answer: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        self._answers[pending] = answer
        try:
            return await answer
        finally:
            self._answers.pop(pending, None)
            self._settle(pending)

    async def post(self, send: frames.Send, failure: Callable[[], LonglinkError | None]) -> None:
        """Wait for room; returns when the message is in the outbox, and on disk if there is a store."""
        await self._add(send, failure)

    def stored(self, frame: frames.Sent, now: float) -> None:
        """A message is in the log, whichever attempt was answered."""
        self._inbox.own(frame.conversation, frame.seq, now, frame.stamp)
        pending = self.outbox.stored(frame.conversation, frame.client_id)
        if pending is None:
            return
        self._settle(pending, self._entry(pending, frame))
        sent = events.sent(frame)
        answer = self._answers.get(pending)
        if answer is None:
            self._inbox.outcome(sent)
        elif not answer.done():
            answer.set_result(sent)

    def refused(self, request: int, error: LonglinkError, now: float) -> None:
        """An attempt was refused; nothing more is told when it will be tried again."""
        pending = self.outbox.failed(request, error, now)
        if pending is None:
            return
        self._settle(pending)
        answer = self._answers.get(pending)
        if answer is None:
            self._inbox.outcome(Refused(pending.conversation, pending.client_id, error))
        elif not answer.done():
            answer.set_exception(error)

    def finish(self, why: Callable[[str], LonglinkError]) -> None:
        """Nothing more will be sent: every waiting send raises, and is off the disk. why: the error for a client_id."""
        for pending, answer in self._answers.items():
            if not answer.done():
                answer.set_exception(why(pending.client_id))
                with contextlib.suppress(LonglinkError):
                    self._settle(pending)
        self.idle.set()

    async def _add(self, send: frames.Send, failure: Callable[[], LonglinkError | None]) -> Pending:
        await self._room.acquire()
        number = 0
        try:
            if (error := failure()) is not None:
                raise error
            if self._store is not None and self._flush is not None:
                number = self._store.add(send)
                await self._flush.done()
        except BaseException:
            self._room.release()
            if number and self._store is not None:
                with contextlib.suppress(LonglinkError):
                    self._store.settle(number)
            raise
        pending = self.outbox.add(send)
        pending.number = number
        self.idle.clear()
        self._wake()
        return pending

    async def written(self) -> None:
        """Returns when nothing waits for the disk any more."""
        if self._flush is not None:
            await self._flush.idle()

    def _entry(self, pending: Pending, frame: frames.Sent) -> frames.Message | None:
        if not pending.number:
            return None
        return frames.Message(
            conversation=frame.conversation,
            seq=frame.seq,
            sender=self._inbox.user,
            client_id=frame.client_id,
            sent_at=frame.sent_at,
            content=pending.request_body.content,
        )

    def _settle(self, pending: Pending, entry: frames.Message | None = None) -> None:
        """Forget a message, once: its place in memory, on disk and among those that may wait."""
        self.outbox.remove(pending)
        if pending.settled:
            return
        pending.settled = True
        if self._beyond:
            self._beyond -= 1
        else:
            self._room.release()
        self._rest()
        if pending.number and self._store is not None:
            self._store.settle(pending.number, entry)

    def _rest(self) -> None:
        if not self.outbox:
            self.idle.set()
