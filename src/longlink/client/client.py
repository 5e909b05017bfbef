"""The client: keeps one connection alive for ever, and gives the application chats, sends and a stream of events.

It joins the parts: supervisor.py (one link after the other), exchange.py (what goes on over it), outgoing.py and
incoming.py (what was not acknowledged, what is missing, and the disk under both). Read next: chat.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from longlink import errors
from longlink.client import arguments, events
from longlink.client import options as given
from longlink.client.chat import Chat
from longlink.client.connection import error_of
from longlink.client.events import Event, Message, Sent
from longlink.client.handshake import Session
from longlink.client.inbox import Inbox
from longlink.client.incoming import Incoming
from longlink.client.options import Options
from longlink.client.outgoing import Outgoing
from longlink.client.owner import Owner
from longlink.client.prober import Prober
from longlink.client.requests import Requests
from longlink.client.store import UNKNOWN, Store, open_store
from longlink.client.supervisor import Supervisor
from longlink.client.track import Track
from longlink.errors import LonglinkError
from longlink.protocol import frames, limits
from longlink.protocol.frames import Ack, Frame, ListConversations, Logout, Mark, OpenDirect, body_name

log = logging.getLogger("longlink.client")

LAST_ACKS_S: Final = 1.0
STOP_S: Final = 3.0


class Client:
    """Made by `longlink.connect`; use it as `async with`. All of it belongs to one event loop.

    Iterating gives events, from one queue: two loops over the same client share them. After a final error (code 4500
    and above) every waiting call and the iteration raise it.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._owner = Owner()
        self._store: Store | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._failure: LonglinkError | None = None
        self._closed = False
        self._leaving = False

    def _prepare(self) -> None:
        """Open the store and take an identity. Only on entering: a program may fork before it."""
        options = self._options
        store = open_store(options.store, device=options.device, kept=options.keep) if options.store else None
        try:
            self._build(options, store)
            self._owner.enter()
        except BaseException:
            if store is not None:
                store.close()
            raise

    def _build(self, options: Options, store: Store | None) -> None:
        self._store = store
        device = store.fact("device") if store else options.device or given.random_device()
        self._options = options = replace(options, device=device)
        self._prefix = store.fact("prefix") if store else given.random_prefix()
        # A store that was restored from a backup counts its processes again; what is random does not come again.
        self._run = f"{store.run():x}.{given.random_prefix()}" if store else ""
        self._counter = 0
        self._inbox = Inbox(self._prefix, options.max_events, options.replay, auto_ack=options.auto_ack)
        self._incoming = Incoming(self._inbox, store)
        self._readable = asyncio.Event()
        self._outgoing = Outgoing(options, self._inbox, store, self._notice)
        self._session, self._prober = self._learnt()
        self._links = Supervisor(
            options,
            self._outgoing.outbox,
            self._incoming,
            self._take,
            self._notice,
            session=self._session,
            prober=self._prober,
        )
        self._requests = Requests(options, self._links, self._ended)

    def _learnt(self) -> tuple[Session, Prober]:
        """What an earlier process left for the first link."""
        store = self._store
        if store is None:
            return Session(), Prober(fixed_s=self._options.heartbeat_s)
        session = Session(store.fact("key"), store.number("received"))
        return session, Prober(good_s=store.number("interval_ms") / 1000, fixed_s=self._options.heartbeat_s)

    # The application's side -------------------------------------------------------------------------------------------

    @property
    def user(self) -> str:
        """Who this is, by the token; empty before the first connection."""
        return self._inbox.user if self._owner.entered else ""

    @property
    def device(self) -> str:
        """The name of this installation; empty before entering unless it was given."""
        return self._options.device

    @property
    def connected(self) -> bool:
        """Whether a connection is up now."""
        return self._owner.entered and self._links.live is not None

    async def direct(self, user: str) -> Chat:
        """The conversation with one other user, created if there is none.

        Raises RATE_LIMITED if the user has created too many in the last hour, and USER_UNKNOWN on a server with
        users.unknown = "refuse" if the other user has never connected. While no link is up, one that is in the store.
        """
        user = arguments.text(user, "user")
        for name, track in self._offline():
            if set(track.delivered) == {user}:
                return self._kept(name, track)
        reply = await self.ask(Frame(open_direct=OpenDirect(user=user)))
        self._inbox.listed(reply.conversation, self._now())
        self._notice()
        return self._chat(reply.conversation)

    def chat(self, conversation: str) -> Chat:
        """A chat by the id in an event, without asking the server; it knows no members."""
        return Chat(self, conversation, (), 0)

    async def chats(self) -> list[Chat]:
        """All conversations of the user, the one that changed last at the end.

        While no link is up, those in the store.
        """
        if offline := self._offline():
            return [self._kept(name, track) for name, track in offline]
        found: dict[str, Chat] = {}
        cursor = ""
        while True:
            reply = await self.ask(Frame(list_conversations=ListConversations(limit=limits.PAGE_MAX, cursor=cursor)))
            for listed in reply.conversations.conversations:
                self._inbox.seen(listed)
                found.pop(listed.id, None)
                found[listed.id] = self._chat(listed)
            cursor = reply.conversations.next
            if not cursor:
                self._notice()
                return list(found.values())

    async def ack(self, message: Message) -> None:
        """Everything up to this message is safe here; for connect(auto_ack=False)."""
        message = arguments.message(message, "message")
        self._usable()
        self._incoming.acked(message)
        reply = await self.ask(Frame(ack=Ack(conversation=message.conversation, seq=message.seq)))
        self._inbox.acked(message.conversation, reply.acked.seq, reply.acked.read)

    async def background(self, on: bool) -> None:
        """Ask the server to send no events, or to send them again; what came meanwhile follows then. For a device that
        is woken by push.

        Every later connection knows it too; this returns once the one that is up knows it. Raises UNANSWERED when that
        one did not confirm it within request_timeout.
        """
        self._usable()
        self._session.background = arguments.flag(on, "on")
        live = self._links.live
        if live is None or live.background == on:
            return
        if live.link == "stream":
            self._links.again.set()
            return
        try:
            async with asyncio.timeout(self._options.request_timeout_s):
                await live.adjust(round(self._prober.interval_s * 1000), background=on)
        except TimeoutError:
            said = "the connection did not confirm background in time; every later one will know it"
            raise LonglinkError(errors.UNANSWERED, said) from None
        except LonglinkError as error:
            # The connection has ended, and the next one begins with it.
            if error.row is not errors.DISCONNECTED:
                raise

    async def logout(self, *, everywhere: bool = False) -> None:
        """End this session, or all of the user on all devices, and close the client. What the store holds stays there.

        Raises DISCONNECTED or UNANSWERED when the server could not be told; the client is open then.
        """
        request = Frame(logout=Logout(everywhere=arguments.flag(everywhere, "everywhere")))
        self._usable()
        self._leaving = True
        try:
            await self.ask(request)
        except LonglinkError as error:
            # The close may overtake the answer.
            if error.row is not errors.LOGGED_OUT:
                self._leaving = False
                raise
        self._session.key = ""
        await self._stop()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        self._owner.check()
        while True:
            event = self._incoming.take(self._now())
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
        if self._owner.entered or self._closed:
            raise LonglinkError(errors.CLIENT_UNUSABLE, "a client is entered once, and not after it was closed")
        self._prepare()
        self._supervisor = asyncio.create_task(self._supervise())
        if self.user:
            return self
        try:
            async with asyncio.timeout(self._options.connect_timeout_s):
                await self._requests.connection()
        except TimeoutError:
            await self._stop()
            raise self._requests.down() from self._links.last_error
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._owner.check()
        if error is None and not self._closed:
            self._incoming.handled()
        await self.close()

    async def close(self) -> None:
        """Wait for what is unacknowledged, at most flush_timeout; say what was received; close the link. Idempotent.

        With a store, a message whose handling has not ended is handed out again by the next client; the end of
        `async with` without an error ends it.
        """
        if not self._owner.entered:
            self._closed = True
            return
        self._owner.check()
        self._closed = True
        try:
            if self._failure is None:
                await self._flush()
        finally:
            await self._stop()

    # For Chat ---------------------------------------------------------------------------------------------------------

    async def ask(self, frame: Frame) -> Frame:
        """A request that may be repeated, and its answer. Raises what `Requests.ask` raises."""
        self._usable()
        return await self._requests.ask(frame)

    async def send(self, conversation: str, content: frames.Content, *, client_id: str = "") -> Sent:
        """See Chat.send."""
        send = self._checked(conversation, content, client_id)
        try:
            async with asyncio.timeout(self._options.send_timeout_s):
                return await self._outgoing.send(send, self._ended)
        except TimeoutError:
            raise self._unknown(send.client_id) from None

    async def post(self, conversation: str, content: frames.Content, *, client_id: str = "") -> str:
        """See Chat.post."""
        send = self._checked(conversation, content, client_id)
        try:
            async with asyncio.timeout(self._options.send_timeout_s):
                await self._outgoing.post(send, self._ended)
        except TimeoutError:
            waiting = len(self._outgoing.outbox)
            raise LonglinkError(errors.UNANSWERED, f"no room: {waiting} messages wait (max_pending)") from None
        return send.client_id

    def _checked(self, conversation: str, content: frames.Content, client_id: str) -> frames.Send:
        self._usable()
        client_id = arguments.text(client_id, "client_id") or self._next_id()
        conversation = arguments.text(conversation, "conversation")
        send = frames.Send(conversation=conversation, client_id=client_id, content=content)
        limits.check(Frame(send=send))
        return send

    def track(self, conversation: str) -> Track:
        """How a conversation stands, as far as this client knows; only to look at."""
        self._owner.check_process()
        return self._inbox.track(arguments.text(conversation, "conversation")) or Track()

    def read(self, conversation: str, seq: int) -> None:
        """See Chat.read."""
        self._usable()
        track = self.track(conversation)
        limits.check(Frame(ack=Ack(marks=[Mark(conversation=conversation, read=seq)])))
        if track.position is not None and seq > track.head:
            raise LonglinkError(errors.SEQ_AHEAD, f"{conversation} ends at {track.head}, read was to be {seq}")
        self._incoming.read(conversation, seq)
        self._notice()

    @property
    def offline(self) -> Store | None:
        """The store while no connection is up; None when the server is the one to ask."""
        self._usable()
        return self._store if self._links.live is None else None

    # Sending ----------------------------------------------------------------------------------------------------------

    def _next_id(self) -> str:
        self._counter += 1
        return f"{self._prefix}{self._run}{self._counter:x}"

    def _unknown(self, client_id: str) -> LonglinkError:
        """The error for a send that gave up waiting: the message may have been stored."""
        row = errors.UNANSWERED if self._links.live else errors.DISCONNECTED
        return LonglinkError(row, f"message {client_id} was not acknowledged in time; it may or may not be stored")

    # Frames that are no answer to a call ------------------------------------------------------------------------------

    def _take(self, frame: Frame) -> None:
        name = body_name(frame)
        if name == "message":
            self._incoming.pushed(frame.message, self._now())
        elif name == "delivered":
            self._inbox.delivered(frame.delivered)
        elif name == "read":
            self._inbox.read_by(frame.read)
        elif name == "notice":
            self._inbox.state(events.notice(frame.notice))
        elif name == "missed":
            self._inbox.sync_wanted = True
        elif name == "sent":
            self._outgoing.stored(frame.sent, self._now())
        elif name == "error":
            self._outgoing.refused(frame.id, error_of(frame.error), self._now())
        self._notice()

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
            wanted = self._leaving and error.row is errors.LOGGED_OUT
            self._closed |= wanted
            self._finish(None if wanted else error)
        except Exception as error:
            log.exception("the client has failed")
            failure = LonglinkError(errors.INTERNAL, f"the client has failed: {error!r:.200}")
            failure.__cause__ = error
            self._finish(failure)

    async def _flush(self) -> None:
        await self._outgoing.written()
        if self._links.live is None and self._store is not None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.flush_timeout_s):
                await self._outgoing.idle.wait()
        live = self._links.live
        due = self._inbox.acks(limits.MARKS_MAX, final=True) if live is not None else []
        if live is None or not due:
            return
        marks = [Mark(conversation=each.conversation, seq=each.seq, read=each.read) for each in due]
        with contextlib.suppress(TimeoutError, LonglinkError):
            async with asyncio.timeout(LAST_ACKS_S):
                await live.request(Frame(ack=Ack(marks=marks)))

    async def _stop(self) -> None:
        self._closed = True
        if self._supervisor is not None and not self._supervisor.done():
            self._supervisor.cancel()
            await asyncio.wait({self._supervisor}, timeout=STOP_S)
        await self._outgoing.written()
        self._finish(None)
        if self._store is not None:
            self._leave()
            self._incoming.close()
            self._store.close()
            self._store = None

    def _leave(self) -> None:
        """What the next process may take up: now it is known how many events came on the last link.

        Not where a sync is due: the server has told of that once, and would not tell the next process again.
        """
        key, received = self._session.key, UNKNOWN if self._inbox.sync_wanted else self._session.received
        with contextlib.suppress(LonglinkError):
            self._incoming.save(key=key, received=received, interval_ms=round(self._prober.good_s * 1000))

    def _finish(self, failure: LonglinkError | None) -> None:
        """Nothing more will happen: wake everybody who waits."""
        self._failure = self._failure or failure
        self._outgoing.finish(lambda client_id: self._failure or self._unknown(client_id))
        self._links.up.set()
        self._notice()

    def _usable(self) -> None:
        """Raises CLIENT_UNUSABLE where this client does not live or after its end, and the error that ended it."""
        self._owner.check()
        if (error := self._ended()) is not None:
            raise error

    def _ended(self) -> LonglinkError | None:
        if self._failure is None and self._closed:
            return LonglinkError(errors.CLIENT_UNUSABLE, "the client is closed")
        return self._failure

    def _chat(self, frame: frames.Conversation) -> Chat:
        return Chat(self, frame.id, tuple(member.user for member in frame.members), frame.head)

    def _offline(self) -> list[tuple[str, Track]]:
        return self._inbox.known() if self.offline is not None else []

    def _kept(self, name: str, track: Track) -> Chat:
        return Chat(self, name, (self.user, *track.delivered), track.head)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
