"""The gateway: turns the core's events into calls and replies, and parcels into the core's commands.

A pass takes a batch of events: decode, check state and fields, group by body, hand each group to the handler as one
task. It ends after a few milliseconds; what it had no time for is served in turns by user (turns.py). While too much
is under way the gateway takes no events. It keeps one small Session per verified connection and nothing for any other.
It never decides what a request means. Read next: handshake.py, ../routing/calls.py, ../routing/work.py.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Final, NamedTuple

from longlink import _core, errors
from longlink.access.arrivals import Arrivals, Event
from longlink.access.handshake import Admitted, Handshake
from longlink.access.turns import Turns
from longlink.access.visits import SUM_UP_S, Visits
from longlink.errors import LonglinkError
from longlink.ops import logs
from longlink.ops.metrics import Counts
from longlink.ops.tasks import Tasks
from longlink.protocol import limits, session
from longlink.protocol.codec import Encoding, decode
from longlink.protocol.frames import Adjusted, Closing, Frame, Missed, error_frame
from longlink.protocol.heartbeats import Heartbeats
from longlink.protocol.session import State
from longlink.protocol.text import json_names
from longlink.routing.bus.base import Ending, Parcel
from longlink.routing.calls import Call, Handler, Reply
from longlink.routing.ids import SessionIds
from longlink.routing.sessions import FRESH, Arrival, Registry, Session
from longlink.routing.work import WRITTEN_TEXT_BYTES, Accounts, read_cost, refusal

log = logs.get("gateway")

POLL_LIMIT: Final = 4096
"""Events of one poll: enough to amortise the pass."""
POLL_BYTES: Final = 2**20
"""Of their messages."""
PASS_S: Final = 0.004
"""CPU time for which a pass may serve connected clients; what is left waits for its turn in the next one."""
LOOK_EVERY: Final = 8
"""Events between two looks at the clock."""
ARRIVALS: Final = 128
"""Events of connections that have no session yet, in one pass."""
ARRIVALS_S: Final = 0.002
"""CPU time for which a pass may serve these."""
COMMAND_BYTES: Final = 16 * 2**20
"""Of commands that wait for the core's threads: from so many on no events are taken."""
HELD_S: Final = 0.002
"""How long no events are taken before the gateway looks again whether it may."""
CROWDED_MS: Final = 1_000
"""How long nothing is read of a connection whose user has more waiting than their turns can keep up with."""
PAUSE_MS: Final = (100, 1_000)
"""The shortest and longest such time for a user whose account is overdrawn; their next request extends it."""
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

ALONE: Final = frozenset({"read_history", "list_conversations", "sync"})
"""Calls that gain nothing from a batch: each is answered as soon as it is done, so no page waits for another."""


class Group:
    """Calls of one pass that go to the handler together. size: bytes of their frames."""

    __slots__ = ("calls", "name", "size")

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls: list[Call] = []
        self.size = 0


class Bounds(NamedTuple):
    """From how many calls, or bytes of their frames, under way on no events are taken from the core."""

    calls: int
    call_bytes: int


Groups = dict[str | int, Group]
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
        accounts: Accounts,
        bounds: Bounds,
        missed_per_s: int = MISSED_PER_S,
        now_s: Callable[[], float] = time.thread_time,
    ) -> None:
        self._ids = ids
        self._core = core
        self._handshake = handshake
        self._handler = handler
        self._registry = registry
        self._counts = counts
        self._heartbeats = heartbeats
        self._accounts = accounts
        self._bounds = bounds
        self._missed_per_s = missed_per_s
        self._now_s = now_s
        self._sessions: dict[int, Session] = {}
        self._background: set[int] = set()
        self._connecting: dict[int, tuple[Admitted, Arrival]] = {}
        self._leaving: set[int] = set()
        self._visits = Visits(ids.age_s)
        self._arrivals = Arrivals()
        self._turns = Turns()
        self._calls = 0
        self._call_bytes = 0
        self._tasks = Tasks(log)
        self._next_poll: asyncio.Handle | None = None
        self._holding = False
        self._flush_waits = False
        self._telling: asyncio.Task[None] | None = None
        self._works: dict[str, Work] = {"connect": self._connect, "adjust": self._adjust, "logout": self._log_out}

    def start(self) -> None:
        """Begin to serve what the core brings."""
        asyncio.get_running_loop().add_reader(self._core.fileno(), self._poll)
        self._summing = asyncio.get_running_loop().create_task(self._sum_up())

    async def _sum_up(self) -> None:
        while True:
            await asyncio.sleep(SUM_UP_S)
            self._visits.sum_up(self._core.counters())

    async def drain(self, duration_ms: int, closing: Closing, wait_ms: int) -> None:
        """Tell every session, close all connections spread over duration_ms, and finish the calls under way.

        What has not finished wait_ms later is given up: its sender was not answered, so it will send again.
        """
        self._announce(closing)
        self._core.drain(duration_ms, closing.code, closing.name)
        deadline = asyncio.get_running_loop().time() + duration_ms / 1000 + GOODBYE_S
        # The core has no event for the end of the last connection, most of which never were sessions.
        while self._core.counters()["connections"] and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_STEP_S)
        if self._tasks.under_way:
            await asyncio.wait(self._tasks.under_way, timeout=wait_ms / 1000)

    def stop(self) -> None:
        """Stop serving. Connections that are still there are dropped."""
        self._summing.cancel()
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
        """One pass. Connections with a session are served first, and then some of the new ones."""
        if self._crowded():
            self._hold_back()
            return
        full = self._arrivals.full or self._turns.full
        events = [] if full else self._core.poll(POLL_LIMIT, POLL_BYTES)
        groups: Groups = {}
        gone: list[Session] = []
        # A look at this clock is a system call, which a pass of a few events does not need.
        until_s = self._now_s() + PASS_S if len(events) >= LOOK_EVERY or self._turns else math.inf
        self._serve_now(events, groups, gone, until_s)
        self._serve_turns(groups, gone, until_s)
        self._serve_arrivals(groups, gone)
        if gone:
            self._tasks.begin(self._leave(gone))
        for group in groups.values():
            self._calls += len(group.calls)
            self._call_bytes += group.size
            self._tasks.begin(self._do(group))
        if self._turns:
            self._counts.passes_cut += 1
        if (len(events) == POLL_LIMIT or self._turns or self._arrivals) and self._next_poll is None:
            self._next_poll = asyncio.get_running_loop().call_soon(self._poll_again)

    def _crowded(self) -> bool:
        """Whether so much is under way that nothing more is to be taken from the core."""
        return (
            self._calls >= self._bounds.calls
            or self._call_bytes >= self._bounds.call_bytes
            or self._core.command_bytes() >= COMMAND_BYTES
        )

    def _hold_back(self) -> None:
        """Look again a little later. Until then the descriptor stays readable, and would wake the loop all the time."""
        loop = asyncio.get_running_loop()
        if not self._holding:
            self._holding = True
            self._counts.polls_held += 1
            loop.remove_reader(self._core.fileno())
        if self._next_poll is None:
            self._next_poll = loop.call_later(HELD_S, self._poll_again)

    def _poll_again(self) -> None:
        self._next_poll = None
        if self._holding and not self._crowded():
            self._holding = False
            asyncio.get_running_loop().add_reader(self._core.fileno(), self._poll)
        self._poll()

    def _serve_now(self, events: Sequence[Event], groups: Groups, gone: list[Session], until_s: float) -> None:
        """Serve events in their order while there is time; the others wait, as do all behind some that wait already."""
        late = bool(self._turns)
        for number, event in enumerate(events, 1):
            if self._must_wait(event):
                self._arrivals.add(event)
            elif late and (here := self._sessions.get(event[1])) is not None:
                if self._turns.add(here.user, event):
                    self._core.pause(here.connection, CROWDED_MS)
                    self._flush_soon()
            else:
                self._serve(event, groups, gone)
                late = late or (number % LOOK_EVERY == 0 and self._now_s() >= until_s)

    def _serve_turns(self, groups: Groups, gone: list[Session], until_s: float) -> None:
        number = 0
        while self._turns:
            self._serve(self._turns.take(), groups, gone)
            number += 1
            if number % LOOK_EVERY == 0 and self._now_s() >= until_s:
                break

    def _serve_arrivals(self, groups: Groups, gone: list[Session]) -> None:
        if not self._arrivals:
            return
        until_s = self._now_s() + ARRIVALS_S
        for _ in range(ARRIVALS):
            for event in self._arrivals.take(1):
                self._serve(event, groups, gone)
            if not self._arrivals or self._now_s() >= until_s:
                break

    def _must_wait(self, event: Event) -> bool:
        _, connection, data = event
        # Nothing overtakes what the same connection said before, least of all its end.
        return connection in self._arrivals or (connection not in self._sessions and isinstance(data, bytes))

    def _serve(self, event: Event, groups: Groups, gone: list[Session]) -> None:
        kind, connection, data = event
        if isinstance(data, bytes):
            self._take(connection, Encoding.TEXT if kind == _core.TEXT else Encoding.BINARY, data, groups)
        elif kind == _core.CLOSED:
            self._closed(connection, data, gone)
        else:
            self._missed(connection, data)

    def _take(self, connection: int, encoding: Encoding, data: bytes, groups: Groups) -> None:
        if connection in self._leaving:
            return
        here = self._sessions.get(connection)
        if here is not None and (
            wait_s := self._accounts.charge(here.user, read_cost(len(data), text=encoding is Encoding.TEXT))
        ):
            self._slow_down(here, encoding.request_in(data), wait_s)
            return
        frame = Frame()
        try:
            frame = encoding.decode(data) if here is not None else encoding.decode_first(data)
            name = session.check(self._state(here, connection), frame)
            limits.check(frame)
            caller = here or self._begin(connection, encoding, frame)
            key: str | int = len(groups) if name in ALONE else name
            group = groups.get(key)
            if group is None:
                group = groups[key] = Group(name)
            group.calls.append(Call(caller, frame))
            group.size += len(data)
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

    def _closed(self, connection: int, code: int, gone: list[Session]) -> None:
        self._connecting.pop(connection, None)
        self._background.discard(connection)
        self._leaving.discard(connection)
        here = self._sessions.pop(connection, None)
        if here is not None:
            gone.append(here)
            self._visits.gone(here, code)

    async def _leave(self, gone: Sequence[Session]) -> None:
        for each in gone:
            await self._registry.remove(each)

    def _missed(self, connection: int, events: int) -> None:
        here = self._sessions.get(connection)
        if here is not None:
            self._send(here, Frame(missed=Missed(events=events)))

    def _slow_down(self, here: Session, request: int, wait_s: float) -> None:
        """Refuse a request of a user whose account is overdrawn, and read nothing of the connection for a while."""
        self._refuse(here.connection, here, here.encoding, request, refusal(wait_s))
        self._counts.account_refused += 1
        self._core.pause(here.connection, max(PAUSE_MS[0], min(PAUSE_MS[1], math.ceil(wait_s * 1000))))

    # Calls and replies ------------------------------------------------------------------------------------------------

    async def _do(self, group: Group) -> None:
        try:
            await self._works.get(group.name, self._answer)(group.calls)
        finally:
            self._calls -= len(group.calls)
            self._call_bytes -= group.size

    async def _answer(self, calls: Sequence[Call]) -> None:
        for call, reply in zip(calls, await self._handler(calls), strict=True):
            self._pass_on(call.session, reply)
            if reply.code == errors.RATE_LIMITED.code:
                self._core.pause(call.session.connection, PAUSE_MS[0])

    async def _connect(self, calls: Sequence[Call]) -> None:
        for call, reply in zip(calls, await self._handler(calls), strict=True):
            if call.session.connection not in self._connecting:
                continue
            if reply.code:
                self._turn_away(call.session, reply)
            else:
                await self._admit(call.session, decode(reply.payload), call.frame.connect.agent)

    def _turn_away(self, stranger: Session, reply: Reply) -> None:
        self._pass_on(stranger, reply)
        del self._connecting[stranger.connection]
        name = errors.TABLE[reply.code].name
        if name not in session.KEY_REFUSALS:
            self._hang_up(stranger.connection, reply.code, name)

    async def _admit(self, here: Session, frame: Frame, agent: str) -> None:
        """Connected goes out before anything that follows from registering: what was missed, or that it must go."""
        admitted, arrival = self._connecting.pop(here.connection)
        connected = frame.connected
        if connected.detached_ms:
            connected.key = self._handshake.key(here, admitted.expires_at_s)
        connected.lifetime_ms = admitted.lifetime_ms
        self._sessions[here.connection] = here
        self._visits.came(here, self._core.peer, agent, resumed=arrival.link != 0)
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
        good = [call for call in calls if self._takes_token(call)]
        if not good:
            return
        for call, reply in zip(good, await self._handler(good), strict=True):
            asked, answer = call.frame.adjust, decode(reply.payload)
            if not reply.code and self._stays(call.session):
                if asked.token:
                    self._renew(call.session, answer.adjusted, float(asked.token))
                self._hold(call.session.connection, answer.adjusted.lifetime_ms, answer.adjusted.heartbeat_ms)
                self._move(call.session, background=asked.background)
            self._send(call.session, answer)

    def _takes_token(self, call: Call) -> bool:
        """Whether a new token, if there is one, is good. It stays here; when it expires goes on in its place."""
        asked = call.frame.adjust
        if asked.token:
            try:
                asked.token = repr(self._handshake.renew(call.session.user, asked.token))
            except LonglinkError as error:
                here = call.session
                self._refuse(here.connection, here, here.encoding, call.frame.id, error)
                return False
        return True

    def _renew(self, here: Session, adjusted: Adjusted, expires_at_s: float) -> None:
        adjusted.key = self._handshake.key(here, expires_at_s)
        adjusted.lifetime_ms = self._handshake.lifetime_ms(expires_at_s)

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
            self._accounts.charge(to.user, len(reply.payload) // WRITTEN_TEXT_BYTES)
            self._send(to, decode(reply.payload))

    def _refuse(
        self, connection: int, here: Session | None, encoding: Encoding, request: int, error: LonglinkError
    ) -> None:
        self._counts.errors[error.name] += 1
        if encoding is Encoding.TEXT:
            error.message = json_names(error.message)
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
        """Close a session of this gateway for a reason that the client gets to know."""
        self._counts.errors[error.name] += 1
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
