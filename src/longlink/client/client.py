"""The client: keeps one connection alive for ever, and gives the application chats, sends and a stream of events.

It joins the parts: connection.py (one link), exchange.py (what goes on over it), outbox.py and inbox.py (what was not
acknowledged, what is missing), supervisor.py (one link after the other). Read next: chat.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from types import TracebackType
from typing import Final, Self

from longlink import errors
from longlink.client import events
from longlink.client.backoff import Backoff
from longlink.client.chat import Chat
from longlink.client.connection import Connection, error_of
from longlink.client.events import Event, Message, Sent
from longlink.client.inbox import Inbox
from longlink.client.options import Options
from longlink.client.outbox import Outbox, Pending
from longlink.client.supervisor import Supervisor
from longlink.errors import LonglinkError
from longlink.protocol import frames, limits
from longlink.protocol.frames import Ack, Frame, ListConversations, OpenDirect, body_name

log = logging.getLogger("longlink.client")

LAST_ACKS_S: Final = 1.0
LAST_ACKS: Final = 256
STOP_S: Final = 3.0
PREFIX_BYTES: Final = 6


class Client:
    """Made by `longlink.connect`; use it as `async with`. All of it belongs to one event loop.

    Iterating gives events, from one queue: two loops over the same client share them. After a final error (code 4500
    and above) every waiting call and the iteration raise it.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._prefix = f"{secrets.token_hex(PREFIX_BYTES)}-"
        self._counter = 0
        self._outbox = Outbox(options.random, options.resend_after_s)
        self._inbox = Inbox(self._prefix, options.max_events, options.replay)
        self._answers: dict[Pending, asyncio.Future[Sent]] = {}
        self._room = asyncio.Semaphore(options.max_pending)
        self._readable = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._links = Supervisor(options, self._outbox, self._inbox, self._take, self._notice)
        self._supervisor: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._closed = False

    # The application's side -------------------------------------------------------------------------------------------

    @property
    def user(self) -> str:
        """Who this is, by the token; empty before the first connection."""
        return self._inbox.user

    @property
    def device(self) -> str:
        return self._options.device

    @property
    def connected(self) -> bool:
        """Whether a link is up now."""
        return self._links.live is not None

    async def direct(self, user: str) -> Chat:
        """The conversation with one other user. Raises USER_UNKNOWN when that user has never connected."""
        reply = await self.request(Frame(open_direct=OpenDirect(user=user)))
        self._inbox.listed(reply.conversation, self._now())
        self._notice()
        return self._chat(reply.conversation)

    def chat(self, conversation: str) -> Chat:
        """A chat by the id in an event, without asking the server; it knows no members."""
        return Chat(self, conversation, (), 0)

    async def chats(self) -> list[Chat]:
        """All conversations of the user, the one that changed last at the end."""
        found: dict[str, Chat] = {}
        cursor = ""
        while True:
            reply = await self.request(
                Frame(list_conversations=ListConversations(limit=limits.PAGE_MAX, cursor=cursor))
            )
            for listed in reply.conversations.conversations:
                found.pop(listed.id, None)
                found[listed.id] = self._chat(listed)
            cursor = reply.conversations.next
            if not cursor:
                return list(found.values())

    async def ack(self, message: Message) -> None:
        """Everything up to this message is safe here; for connect(auto_ack=False)."""
        reply = await self.request(Frame(ack=Ack(conversation=message.conversation, seq=message.seq)))
        self._inbox.acked(message.conversation, reply.acked.seq)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while True:
            event = self._inbox.take(self._now())
            if event is not None:
                self._links.wake.set()
                return event
            if self._failure is not None:
                raise self._failure
            if self._closed:
                raise StopAsyncIteration
            self._readable.clear()
            await self._readable.wait()

    async def __aenter__(self) -> Self:
        if self._supervisor is not None:
            raise RuntimeError("a client is entered once; call longlink.connect again for another one")
        self._supervisor = asyncio.create_task(self._supervise())
        try:
            async with asyncio.timeout(self._options.connect_timeout_s):
                await self._connection()
        except TimeoutError:
            await self._stop()
            raise self._down() from self._links.last_error
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Wait for what is unacknowledged, at most flush_timeout; say what was received; close the link. Idempotent."""
        self._closed = True
        try:
            if self._failure is None and self._supervisor is not None:
                await self._flush()
        finally:
            await self._stop()

    # For Chat ---------------------------------------------------------------------------------------------------------

    async def send(self, conversation: str, content: frames.Content, *, client_id: str = "") -> Sent:
        """See Chat.send."""
        if self._closed or self._failure is not None:
            raise self._why()
        send = frames.Send(conversation=conversation, client_id=client_id or self._next_id(), content=content)
        limits.check(Frame(send=send))
        try:
            async with asyncio.timeout(self._options.send_timeout_s), self._room:
                return await self._post(send)
        except TimeoutError:
            raise self._unknown(send.client_id) from None

    async def request(self, frame: Frame) -> Frame:
        """A request that may be repeated, tried until it is answered or the time is over."""
        limits.check(frame)
        backoff = Backoff(self._options.random)
        last = LonglinkError(errors.UNANSWERED, f"no answer to {body_name(frame)} in time")
        try:
            async with asyncio.timeout(self._options.request_timeout_s):
                while True:
                    connection = await self._connection()
                    try:
                        return await connection.request(frame)
                    except LonglinkError as error:
                        if not error.retry:
                            raise
                        last = error
                    await self._options.sleep(backoff.next(last.retry_after_ms / 1000))
        except TimeoutError:
            raise (last if self._links.live else self._down()) from None

    def mark(self, conversation: str, user: str) -> int:
        """See Chat.delivered."""
        return self._inbox.mark(conversation, user)

    # Sending ----------------------------------------------------------------------------------------------------------

    async def _post(self, send: frames.Send) -> Sent:
        if self._closed or self._failure is not None:
            raise self._why()
        pending = self._outbox.add(send)
        answer: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        self._answers[pending] = answer
        self._idle.clear()
        self._links.wake.set()
        try:
            return await answer
        finally:
            self._outbox.remove(pending)
            self._answers.pop(pending, None)
            if not self._answers:
                self._idle.set()

    def _next_id(self) -> str:
        self._counter += 1
        return f"{self._prefix}{self._counter:x}"

    def _unknown(self, client_id: str) -> LonglinkError:
        """What to tell whoever gave up waiting: the message may have been stored."""
        row = errors.UNANSWERED if self._links.live else errors.DISCONNECTED
        return LonglinkError(row, f"message {client_id} was not acknowledged in time; it may or may not be stored")

    # Frames that are no answer to a call ------------------------------------------------------------------------------

    def _take(self, frame: Frame) -> None:
        name = body_name(frame)
        if name == "message":
            self._inbox.pushed(frame.message, self._now())
        elif name == "delivered":
            self._inbox.delivered(frame.delivered)
        elif name == "notice":
            self._inbox.state(events.notice(frame.notice))
        elif name == "missed":
            self._inbox.sync_wanted = True
        elif name == "sent":
            self._stored(frame.sent)
        elif name == "error":
            self._refused(frame)
        self._notice()

    def _stored(self, frame: frames.Sent) -> None:
        self._inbox.own(frame.conversation, frame.seq, self._now())
        pending = self._outbox.stored(frame.conversation, frame.client_id)
        if pending is not None and not self._answers[pending].done():
            self._answers[pending].set_result(events.sent(frame))

    def _refused(self, frame: Frame) -> None:
        error = error_of(frame.error)
        pending = self._outbox.failed(frame.id, error, self._now())
        if pending is not None and not self._answers[pending].done():
            self._answers[pending].set_exception(error)

    def _notice(self) -> None:
        self._readable.set()
        self._links.wake.set()

    # The end ----------------------------------------------------------------------------------------------------------

    async def _supervise(self) -> None:
        try:
            await self._links.run()
        except asyncio.CancelledError:
            raise
        except LonglinkError as error:
            self._finish(error)
        except Exception as error:
            log.exception("the client has failed")
            self._finish(error)

    async def _connection(self) -> Connection:
        while self._links.live is None:
            if self._closed or self._failure is not None:
                raise self._why()
            await self._links.up.wait()
        return self._links.live

    async def _flush(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.flush_timeout_s):
                await self._idle.wait()
        if self._links.live is None or not self._options.auto_ack:
            return
        acks = [Frame(ack=Ack(conversation=name, seq=seq)) for name, seq in self._inbox.acks(LAST_ACKS, final=True)]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_ACKS_S):
                await asyncio.gather(*(self._links.live.request(frame) for frame in acks), return_exceptions=True)

    async def _stop(self) -> None:
        self._closed = True
        if self._supervisor is not None and not self._supervisor.done():
            self._supervisor.cancel()
            await asyncio.wait({self._supervisor}, timeout=STOP_S)
        self._finish(None)

    def _finish(self, failure: BaseException | None) -> None:
        """Nothing more will happen: wake everybody who waits."""
        self._failure = self._failure or failure
        for pending, answer in self._answers.items():
            if not answer.done():
                answer.set_exception(self._failure or self._unknown(pending.client_id))
        self._links.up.set()
        self._idle.set()
        self._notice()

    def _why(self) -> BaseException:
        return self._failure or LonglinkError(errors.DISCONNECTED, "the client is closed")

    def _down(self) -> LonglinkError:
        reason = self._links.last_error.message if self._links.last_error else "no answer yet"
        return LonglinkError(errors.DISCONNECTED, f"no connection to {self._options.url}: {reason}")

    def _chat(self, frame: frames.Conversation) -> Chat:
        return Chat(self, frame.id, tuple(member.user for member in frame.members), frame.head)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
