"""What goes on over one live connection: writing what the outbox holds, syncing, filling gaps, acknowledging.

The outbox and the inbox decide; this module does their I/O, with a bound on what is under way. Natural batching: while
an ack of a conversation is under way, the next one gathers. It never reconnects. Read next: outbox.py, inbox.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Final, NoReturn

from longlink import errors
from longlink.client.backoff import Backoff, honoured
from longlink.client.connection import Connection
from longlink.client.inbox import wake_at
from longlink.client.incoming import Incoming
from longlink.client.options import Options
from longlink.client.outbox import Outbox
from longlink.client.receipts import Due
from longlink.errors import TABLE, LonglinkError
from longlink.protocol.frames import Ack, Frame, Mark, ReadHistory, Sync, Synced, error_frame
from longlink.protocol.limits import MARKS_MAX, PAGE_MAX

log = logging.getLogger("longlink.client")

FETCHES: Final = 3
"""Conversations whose gaps are read at the same time. A page may be a quarter of what the server lets wait for a link
(SPEC.md section 6.4); four of them on a slow one, and it is closed as too slow, again and again."""
NEWEST: Final = 20
"""Messages of each conversation that a sync should bring; the rest of a gap is read from history."""
FEW: Final = 8
"""When more conversations of a page lack messages, the page is asked for again with NEWEST, instead of each history."""


class Exchange:
    """One per live connection. wake: set when the outbox or the inbox has something new to do.

    notice: called when the inbox may have something for the application.
    """

    def __init__(
        self,
        connection: Connection,
        options: Options,
        outbox: Outbox,
        incoming: Incoming,
        wake: asyncio.Event,
        notice: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._options = options
        self._outbox = outbox
        self._incoming = incoming
        self._inbox = incoming.inbox
        self._wake = wake
        self._notice = notice
        self._now = asyncio.get_running_loop().time
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[NoReturn] = asyncio.get_running_loop().create_future()
        self._syncing = False
        self._freed = asyncio.Event()
        self._sync_at = 0.0
        self._sync_backoff = Backoff(options.random)

    async def run(self) -> NoReturn:
        """Work until the link ends; raises why."""
        work = asyncio.create_task(self._work())
        try:
            await asyncio.wait((work, self._failed), return_when=asyncio.FIRST_COMPLETED)
            (self._failed if self._failed.done() else work).result()
            raise AssertionError("the work on a link ended without an error")
        finally:
            for task in (work, *self._tasks):
                task.cancel()
            await asyncio.gather(work, *self._tasks, return_exceptions=True)
            if not self._failed.cancel():
                # Said already, by whichever error ended the link first; asyncio would report it as never looked at.
                self._failed.exception()

    async def _work(self) -> NoReturn:
        while True:
            self._wake.clear()
            if self._inbox.roomy:
                self._freed.set()
            await self._write_due()
            self._start_reads()
            self._start_acks()
            try:
                async with asyncio.timeout_at(self._next_due()):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _next_due(self) -> float | None:
        sync_at = self._sync_at if self._inbox.sync_wanted and not self._syncing else None
        return wake_at((self._outbox.next_due(), self._inbox.next_fetch() if self._room else None, sync_at))

    async def _write_due(self) -> None:
        for pending in self._outbox.due(self._now()):
            if pending not in self._outbox:
                continue
            request = self._connection.next_request()
            self._outbox.written(pending, request, self._now())
            try:
                await self._connection.write(Frame(id=request, send=pending.request_body))
            except LonglinkError as error:
                if error.row is not errors.FRAME_TOO_LARGE:
                    raise
                self._connection.take(error_frame(error, request))

    # Reading what is missing ------------------------------------------------------------------------------------------

    @property
    def _room(self) -> bool:
        return self._inbox.fetching < FETCHES

    def _start_reads(self) -> None:
        now = self._now()
        if self._inbox.sync_wanted and not self._syncing and self._sync_at <= now:
            self._syncing = True
            self._start(self._sync())
        if self._room:
            for conversation, after in self._inbox.fetches(now, FETCHES - self._inbox.fetching):
                self._start(self._fetch(conversation, after))

    async def _sync(self) -> None:
        """Every conversation that changed since the last complete sync, newest change first, page by page."""
        # Only here: a task that is cancelled before it begins must leave the sync due.
        if not self._inbox.lineage.checked and not self._inbox.synced_at:
            # Places without a pass: what the server would refuse is known already.
            self._incoming.restart()
        self._inbox.sync_wanted = False
        since, cursor, done = self._inbox.synced_at, "", False
        seen = self._inbox.lineage.epoch, self._inbox.lineage.newest
        # The first time there is nothing to catch up with: most often all devices have received everything.
        newest = NEWEST if since or self._incoming.keeps else 1
        try:
            while True:
                request = Sync(since=since, cursor=cursor, limit=PAGE_MAX, messages=newest)
                request.epoch, request.newest = seen
                page = (await self._ask(Frame(sync=request))).synced
                if not self._inbox.lineage.replacing:
                    self._inbox.lineage.agreed(page.epoch)
                behind = await self._take_page(page)
                if newest < NEWEST and behind > FEW:
                    newest = NEWEST
                    continue
                cursor = page.next
                if not cursor:
                    break
            done = True
        except LonglinkError as error:
            self._sync_failed(error)
        else:
            self._sync_backoff.reset()
            self._incoming.synced(page, self._now())
        finally:
            self._inbox.sync_wanted |= not done
            self._syncing = False

    async def _take_page(self, page: Synced) -> int:
        """Apply a page; returns how many of its conversations lack more messages than it brought.

        It waits for room before each conversation. Without room the messages would be dropped, and read again from
        history one conversation at a time; so an application that begins slowly would cost a request for each.
        """
        behind = 0
        for change in page.changes:
            while not self._inbox.roomy:
                self._freed.clear()
                self._notice()
                await self._freed.wait()
            behind += self._incoming.change(change, self._now())
        self._notice()
        return behind

    def _sync_failed(self, error: LonglinkError) -> None:
        _report("sync", error)
        if error.row is errors.SINCE_AHEAD:
            self._incoming.restart()
        self._sync_at = self._now() + self._sync_backoff.next(error.retry_after_ms / 1000)

    async def _fetch(self, conversation: str, after: int) -> None:
        limit = min(PAGE_MAX, max(1, self._inbox.lacking(conversation)))
        try:
            reply = await self._ask(
                Frame(read_history=ReadHistory(conversation=conversation, after=after, limit=limit))
            )
        except LonglinkError as error:
            _report(f"history of {conversation}", error)
            self._inbox.fetch_failed(conversation, self._now(), retry=error.retry)
        else:
            self._incoming.fetched(reply.history, self._now())

    # Acknowledging ----------------------------------------------------------------------------------------------------

    def _start_acks(self) -> None:
        due = self._inbox.acks(limit=MARKS_MAX)
        if due:
            self._start(self._ack(due))

    async def _ack(self, due: list[Due]) -> None:
        """All that has gathered, in one frame."""
        try:
            answers = await self._acked(due)
        except LonglinkError as error:
            _report(f"ack of {len(due)} conversations", error)
            if error.retry:
                await asyncio.sleep(max(honoured(error.retry_after_ms / 1000), 1.0))
            for each in due:
                self._inbox.ack_failed(each.conversation, retry=error.retry)
            return
        for each, (seq, read, code) in zip(due, answers, strict=False):
            if code:
                log.warning("ack of %s up to %d, %d was refused with %d", *each, code)
                self._inbox.ack_failed(each.conversation, retry=code in TABLE and TABLE[code].retry)
            else:
                self._inbox.acked(each.conversation, seq, read)
        self._incoming.save()

    async def _acked(self, due: list[Due]) -> list[tuple[int, int, int]]:
        """Per mark what holds now, and 0 or the code of its refusal."""
        if len(due) == 1:
            (one,) = due
            reply = await self._ask(Frame(ack=Ack(conversation=one.conversation, seq=one.seq, read=one.read)))
            return [(reply.acked.seq, reply.acked.read, 0)]
        marks = [Mark(conversation=each.conversation, seq=each.seq, read=each.read) for each in due]
        reply = await self._ask(Frame(ack=Ack(marks=marks)))
        return [(mark.seq, mark.read, mark.code) for mark in reply.acked.marks]

    # Tasks ------------------------------------------------------------------------------------------------------------

    async def _ask(self, frame: Frame) -> Frame:
        try:
            async with asyncio.timeout(self._options.request_timeout_s):
                return await self._connection.request(frame)
        except TimeoutError:
            raise LonglinkError(errors.UNANSWERED, f"no answer in {self._options.request_timeout_s} s") from None

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._notice()
        if not task.cancelled() and (failure := task.exception()) is not None and not self._failed.done():
            self._failed.set_exception(failure)


def _report(what: str, error: LonglinkError) -> None:
    """A lost link is everyday life and told as an event; any other failure of the client's own requests is news."""
    level = logging.DEBUG if error.row is errors.DISCONNECTED else logging.WARNING
    log.log(level, "%s failed: %s", what, error)
