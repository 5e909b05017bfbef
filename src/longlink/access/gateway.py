"""The gateway: turns the core's events into calls and replies, and parcels into the core's commands.

One batch of events is one pass: decode, check state and fields, group by body, hand each group to the handler as one
task. It keeps one small Session per verified connection and nothing for any other. It never decides what a request
means. Read next: handshake.py, ../routing/calls.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Final

from longlink import _core, errors
from longlink.access.arrivals import Arrivals, Event
from longlink.access.handshake import Admitted, Handshake
from longlink.errors import LonglinkError
from longlink.ops import logs
from longlink.ops.metrics import Counts
from longlink.ops.tasks import Tasks
from longlink.protocol import limits, session
from longlink.protocol.codec import Encoding, decode
from longlink.protocol.frames import Closing, Frame, Missed, error_frame
from longlink.protocol.heartbeats import Heartbeats
from longlink.protocol.session import State
from longlink.routing.bus.base import Ending, Parcel
from longlink.routing.calls import Call, Handler, Reply
from longlink.routing.ids import SessionIds
from longlink.routing.sessions import FRESH, Arrival, Registry, Session

log = logs.get("gateway")

POLL_LIMIT: Final = 4096
"""Events of one pass: enough to amortise the pass, few enough that replies do not wait for milliseconds."""
ARRIVALS: Final = 128
"""Of these, events of connections that have no session yet: a few milliseconds."""
REASON_BYTES: Final = 123
"""Longest reason of a WebSocket close frame (RFC 6455 section 5.5)."""
GOODBYE_S: Final = 1.0
"""How long the last connections of a drain have for their half of the close handshake."""
DRAIN_STEP_S: Final = 0.02
MISSED_PER_S: Final = 5_000
"""Sessions of one machine that are told in a second that they may have missed something."""
MISSED_STEP_S: Final = 0.05
EVERYBODY: Final = {Encoding.BINARY: 1, Encoding.TEXT: 2}
"""The topics of the core that every session in the foreground is in, by its encoding."""
BEHIND: Final = Arrival(background=True)
"""How a session is announced that is in the background."""

Groups = dict[str, list[Call]]
Work = Callable[[Sequence[Call]], Coroutine[None, None, None]]
"""Has a batch of calls done, and passes the answers on."""


class Gateway:
    """One per process and core. All methods run on the event loop's thread."""

    def __init__(
        self,
        ids: SessionIds,
        core: _core.Core,
        handshake: Handshake,
        handler: Handler,
        registry: Registry,
        counts: Counts,
        heartbeats: Heartbeats,
        missed_per_s: int = MISSED_PER_S,
    ) -> None:
        self._ids = ids
        self._core = core
        self._handshake = handshake
        self._handler = handler
        self._registry = registry
        self._counts = counts
        self._heartbeats = heartbeats
        self._missed_per_s = missed_per_s
        self._sessions: dict[int, Session] = {}
        self._background: set[int] = set()
        self._connecting: dict[int, tuple[Admitted, Arrival]] = {}
        self._leaving: set[int] = set()
        self._arrivals = Arrivals()
        self._tasks = Tasks(log)
        self._next_poll: asyncio.Handle | None = None
        self._flush_waits = False
        self._telling: asyncio.Task[None] | None = None
        self._works: dict[str, Work] = {"connect": self._connect, "adjust": self._adjust, "logout": self._log_out}

    def start(self) -> None:
        """Begin to serve what the core brings."""
        asyncio.get_running_loop().add_reader(self._core.fileno(), self._poll)

    async def drain(self, duration_ms: int, closing: Closing, wait_ms: int) -> None:
        """Tell every session, close all connections spread over duration_ms, and finish the calls under way.

        What has not finished wait_ms later is given up: its sender was not answered, so it will send again.
        """
        self._announce(closing)
        self._core.drain(duration_ms, closing.code, closing.name)
        deadline = asyncio.get_running_loop().time() + duration_ms / 1000 + GOODBYE_S
        # The core tells no event when the last connection goes, most of which never were sessions.
        while self._core.counters()["connections"] and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_STEP_S)
        if self._tasks.under_way:
            await asyncio.wait(self._tasks.under_way, timeout=wait_ms / 1000)

    def stop(self) -> None:
        """Stop serving. Connections that are still there are dropped."""
        asyncio.get_running_loop().remove_reader(self._core.fileno())
        self._core.stop()
        if self._next_poll is not None:
            self._next_poll.cancel()
        for task in self._tasks.under_way:
            task.cancel()
        if self._telling is not None:
            self._telling.cancel()

    # Events -----------------------------------------------------------------------------------------------------------

    def _poll(self) -> None:
        """One pass. Whoever has a session is served first, and then some of those who come."""
        events = [] if self._arrivals.full else self._core.poll(POLL_LIMIT)
        groups: Groups = {}
        gone: list[Session] = []
        for event in events:
            if self._must_wait(event):
                self._arrivals.add(event)
            else:
                self._serve(event, groups, gone)
        for event in self._arrivals.take(ARRIVALS):
            self._serve(event, groups, gone)
        if gone:
            self._tasks.begin(self._leave(gone))
        for name, calls in groups.items():
            self._tasks.begin(self._works.get(name, self._answer)(calls))
        if (len(events) == POLL_LIMIT or self._arrivals) and self._next_poll is None:
            self._next_poll = asyncio.get_running_loop().call_soon(self._poll_again)

    def _poll_again(self) -> None:
        self._next_poll = None
        self._poll()

    def _must_wait(self, event: Event) -> bool:
        _, connection, data = event
        # Nothing overtakes what the same connection said before, least of all its end.
        return connection in self._arrivals or (connection not in self._sessions and isinstance(data, bytes))

    def _serve(self, event: Event, groups: Groups, gone: list[Session]) -> None:
        kind, connection, data = event
        if isinstance(data, bytes):
            self._take(connection, Encoding.TEXT if kind == _core.TEXT else Encoding.BINARY, data, groups)
        elif kind == _core.CLOSED:
            self._closed(connection, gone)
        else:
            self._missed(connection, data)

    def _take(self, connection: int, encoding: Encoding, data: bytes, groups: Groups) -> None:
        if connection in self._leaving:
            return
        here = self._sessions.get(connection)
        frame = Frame()
        try:
            frame = encoding.decode(data) if here is not None else encoding.decode_first(data)
            name = session.check(self._state(here, connection), frame)
            limits.check(frame)
            caller = here or self._begin(connection, encoding, frame)
            groups.setdefault(name, []).append(Call(caller, frame))
        except LonglinkError as error:
            self._refuse(connection, here, encoding, frame.id or error.request, error)
        except Exception as defect:
            # One frame must not take the other events of the pass with it: a lost CLOSED would leave a session behind.
            log.error("frame_defect", exc_info=defect)
            refusal = LonglinkError(errors.INTERNAL, "the server's log says why")
            self._refuse(connection, here, encoding, frame.id, refusal)

    def _state(self, here: Session | None, connection: int) -> State:
        if here is not None:
            return State.CONNECTED
        return State.CONNECTING if connection in self._connecting else State.NEW

    def _begin(self, connection: int, encoding: Encoding, frame: Frame) -> Session:
        """The session that asks to be connected; its proofs stay here."""
        asked = frame.connect
        admitted = self._handshake.verify(asked)
        self._connecting[connection] = (admitted, Arrival(asked.background, admitted.link, asked.received))
        asked.token, asked.key = "", str(admitted.link or "")
        link = self._ids.next()
        id_ = admitted.session or link
        return Session(admitted.user, asked.device, admitted.platform, id_, link, connection, encoding)

    def _closed(self, connection: int, gone: list[Session]) -> None:
        self._connecting.pop(connection, None)
        self._background.discard(connection)
        self._leaving.discard(connection)
        here = self._sessions.pop(connection, None)
        if here is not None:
            gone.append(here)

    async def _leave(self, gone: Sequence[Session]) -> None:
        for each in gone:
            await self._registry.remove(each)

    def _missed(self, connection: int, events: int) -> None:
        here = self._sessions.get(connection)
        if here is not None:
            self._send(here, Frame(missed=Missed(events=events)))

    # Calls and replies ------------------------------------------------------------------------------------------------

    async def _answer(self, calls: Sequence[Call]) -> None:
        for call, reply in zip(calls, await self._handler(calls), strict=True):
            self._pass_on(call.session, reply)

    async def _connect(self, calls: Sequence[Call]) -> None:
        for call, reply in zip(calls, await self._handler(calls), strict=True):
            if call.session.connection not in self._connecting:
                continue
            if reply.code:
                self._turn_away(call.session, reply)
            else:
                await self._admit(call.session, decode(reply.payload))

    def _turn_away(self, stranger: Session, reply: Reply) -> None:
        self._pass_on(stranger, reply)
        del self._connecting[stranger.connection]
        name = errors.TABLE[reply.code].name
        if name not in session.KEY_REFUSALS:
            self._hang_up(stranger.connection, reply.code, name)

    async def _admit(self, here: Session, frame: Frame) -> None:
        """Connected goes out before anything that follows from registering: what was missed, or that it must go."""
        admitted, arrival = self._connecting.pop(here.connection)
        connected = frame.connected
        if connected.detached_ms:
            connected.key = self._handshake.key(here, admitted.expires_at_s)
        self._sessions[here.connection] = here
        self._hold(here.connection, admitted.lifetime_ms, connected.heartbeat_ms)
        self._send(here, frame)
        if arrival.background:
            self._background.add(here.connection)
        else:
            self._core.subscribe(here.connection, EVERYBODY[here.encoding])
        await self._registry.add(here, arrival._replace(missed=connected.missed))
        if self._sessions.get(here.connection) is not here:
            await self._registry.remove(here)

    async def _adjust(self, calls: Sequence[Call]) -> None:
        for call, reply in zip(calls, await self._handler(calls), strict=True):
            if not reply.code and self._stays(call.session):
                self._hold(call.session.connection, 0, decode(reply.payload).adjusted.heartbeat_ms)
                self._move(call.session, background=call.frame.adjust.background)
            self._pass_on(call.session, reply)

    def _move(self, here: Session, *, background: bool) -> None:
        """To the background or back, as far as notices are concerned; logic sees to events."""
        if background and here.connection not in self._background:
            self._background.add(here.connection)
            self._core.unsubscribe(here.connection, EVERYBODY[here.encoding])
        elif not background and here.connection in self._background:
            self._background.discard(here.connection)
            self._core.subscribe(here.connection, EVERYBODY[here.encoding])

    async def _log_out(self, calls: Sequence[Call]) -> None:
        for call, reply in zip(calls, await self._handler(calls), strict=True):
            self._pass_on(call.session, reply)
            if not reply.code and self._stays(call.session):
                self._close(call.session, LonglinkError(errors.LOGGED_OUT, "you have logged out"))

    def _hold(self, connection: int, lifetime_ms: int, heartbeat_ms: int) -> None:
        self._core.admit(connection, lifetime_ms, self._heartbeats.patience(heartbeat_ms))

    def _stays(self, here: Session) -> bool:
        return self._sessions.get(here.connection) is here and here.connection not in self._leaving

    def _pass_on(self, to: Session, reply: Reply) -> None:
        if to.encoding is Encoding.BINARY:
            self._write(to, reply.payload)
        else:
            self._send(to, decode(reply.payload))

    def _refuse(
        self, connection: int, here: Session | None, encoding: Encoding, request: int, error: LonglinkError
    ) -> None:
        self._counts.errors[error.name] += 1
        answer = encoding.encode(error_frame(error, request))
        self._core.send(connection, answer, _core.REPLY, encoding is Encoding.TEXT)
        if session.ends_connection(error, self._state(here, connection)):
            self._hang_up(connection, error.code, _reason(error))
            log.info("refused", peer=self._core.peer(connection), user=here and here.user, error=str(error))
        self._flush_soon()

    # Commands to the core ---------------------------------------------------------------------------------------------

    def receive(self, parcels: Sequence[Parcel]) -> None:
        """As routing.bus.base.Receiver."""
        for parcel in parcels:
            self._core.send_many(parcel.connections, parcel.payload, parcel.delivery, parcel.text)
        self._flush_soon()

    def end(self, endings: Sequence[Ending]) -> None:
        """As routing.bus.base.Receiver."""
        for ending in endings:
            here = self._sessions.get(ending.connection)
            if here is not None and here.link == ending.link:
                self._close(here, LonglinkError(errors.TABLE[ending.code], ending.message))

    def broadcast(self, binary: bytes, text: bytes) -> None:
        """As routing.bus.base.Receiver."""
        self._core.publish(EVERYBODY[Encoding.BINARY], binary, _core.TRANSIENT)
        self._core.publish(EVERYBODY[Encoding.TEXT], text, _core.TRANSIENT, text=True)
        self._flush_soon()

    def sessions(self, most: int) -> Iterator[list[tuple[Session, Arrival]]]:
        """As routing.bus.base.Receiver."""
        connections = list(self._sessions)
        for begin in range(0, len(connections), most):
            part = connections[begin : begin + most]
            here = [self._sessions[each] for each in part if each in self._sessions and each not in self._leaving]
            yield [(each, BEHIND if each.connection in self._background else FRESH) for each in here]

    def missed(self) -> None:
        """As routing.bus.base.Receiver."""
        if self._telling is not None:
            self._telling.cancel()
        self._telling = asyncio.get_running_loop().create_task(self._tell_missed())
        self._telling.add_done_callback(self._tasks.ended)

    async def _tell_missed(self) -> None:
        """Spread over time: each of them answers with at least one request."""
        frame = Frame(missed=Missed())
        for part in self.sessions(max(1, int(self._missed_per_s * MISSED_STEP_S))):
            for encoding in Encoding:
                connections = [each.connection for each, how in part if each.encoding is encoding and how is FRESH]
                self._core.send_many(connections, encoding.encode(frame), _core.EVENT, encoding is Encoding.TEXT)
            self._flush_soon()
            await asyncio.sleep(MISSED_STEP_S)

    def _send(self, to: Session, frame: Frame) -> None:
        self._write(to, to.encoding.encode(frame))

    def _write(self, to: Session, payload: bytes) -> None:
        self._core.send(to.connection, payload, _core.REPLY, to.encoding is Encoding.TEXT)
        self._flush_soon()

    def _close(self, here: Session, error: LonglinkError) -> None:
        """Close a session of this gateway for a reason that the client should hear."""
        closing = Closing(code=error.code, name=error.name, message=error.message)
        self._send(here, Frame(closing=closing))
        self._hang_up(here.connection, error.code, _reason(error))

    def _hang_up(self, connection: int, code: int, reason: str) -> None:
        """Close a connection whose CLOSED is still to come; until then nothing that it says counts."""
        self._connecting.pop(connection, None)
        self._leaving.add(connection)
        self._core.close(connection, code, reason)

    def _announce(self, closing: Closing) -> None:
        frame = Frame(closing=closing)
        for encoding in Encoding:
            connections = [here.connection for here in self._sessions.values() if here.encoding is encoding]
            self._core.send_many(connections, encoding.encode(frame), _core.EVENT, encoding is Encoding.TEXT)
        self._core.flush()

    def _flush_soon(self) -> None:
        """One flush at the end of this turn of the loop, however many commands it brings."""
        if not self._flush_waits:
            self._flush_waits = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_waits = False
        self._core.flush()


def _reason(error: LonglinkError) -> str:
    return f"{error.name}: {error.message}".encode()[:REASON_BYTES].decode(errors="ignore")
