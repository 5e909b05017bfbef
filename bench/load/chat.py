"""Users in a ring: each writes to the next one, acknowledges what it receives, and checks that all of it came in order.

Two ways to write. Closed loop: the next message when the one before is on disk. Open loop: by a schedule that does not
wait for anything, each message stamped with the moment at which it was due, so that a slow server cannot hide its delay
(no coordinated omission). The content of message n of a conversation is known to its reader, who therefore sees
anything lost, doubled, altered or out of order. Read next: link.py.
"""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

from picows import WSMsgType

from bench.load.link import Link, in_turn, join
from longlink.access.tokens import Signer
from longlink.protocol.frames import Ack, Content, Frame, OpenDirect, Send

BODY: Final = 100
"""Characters of a message: its moment in ns, filled up."""


class Talker(Link):
    """One user: writes to one conversation and reads another."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox = ""
        self.inbox = ""
        self.written = 0
        self.acked = 0
        self.received = 0
        self.acks = 0
        self.acks_answered = 0
        self.mark = 0
        self.told = 0
        self.looping = False
        self.wrong: list[str] = []
        self.delays_ns: list[int] = []
        self.ack_delays_ns: list[int] = []
        self._due: dict[int, int] = {}

    def write(self, due_ns: int) -> None:
        """Send the next message, stamped with due_ns."""
        self.written += 1
        self._due[self.written] = due_ns
        content = Content(text=f"{due_ns:<{BODY}}")
        send = Send(conversation=self.outbox, client_id=f"m{self.written}", content=content)
        self.transport.send(WSMsgType.BINARY, Frame(id=self.written, send=send).SerializeToString())

    def take(self, frame: Frame, last: bool) -> None:
        body = frame.WhichOneof("body")
        if body == "message":
            self._receive(frame.message)
        elif body == "sent":
            self._sent(frame.id, frame.sent)
        elif body == "acked":
            self.acks_answered += 1
        elif body == "delivered":
            self.told = frame.delivered.seq
        else:
            self.wrong.append(f"unexpected {body}: {frame.error.name} {frame.error.message}")
        if last and self.mark < self.received:
            self._acknowledge()

    def _receive(self, message: Any) -> None:
        self.received += 1
        self.delays_ns.append(time.perf_counter_ns() - int(message.content.text))
        expected = (self.inbox, self.received, f"m{self.received}")
        if (message.conversation, message.seq, message.client_id) != expected:
            self.wrong.append(f"expected {expected}, got {message.conversation} {message.seq} {message.client_id}")

    def _sent(self, request: int, sent: Any) -> None:
        self.acked += 1
        self.ack_delays_ns.append(time.perf_counter_ns() - self._due.pop(request, 0))
        if (request, sent.seq, sent.client_id) != (self.acked, self.acked, f"m{self.acked}") or sent.duplicate:
            self.wrong.append(f"sent {self.acked}: request {request} seq {sent.seq} {sent.client_id}")
        if self.looping:
            self.write(time.perf_counter_ns())

    def _acknowledge(self) -> None:
        """One cumulative ack for everything that this read brought."""
        self.mark = self.received
        self.acks += 1
        ack = Ack(conversation=self.inbox, seq=self.mark)
        self.transport.send(WSMsgType.BINARY, Frame(id=2**31 + self.acks, ack=ack).SerializeToString())


class Chat:
    """The users `first` to `first + count - 1` of a ring of `total`."""

    def __init__(self, url: str, data: str, source: str, first: int, count: int, total: int) -> None:
        self._url = url
        self._signer = Signer.from_data(Path(data))
        self._source = source
        self._numbers = range(first, first + count)
        self._total = total
        self._talkers: list[Talker] = []
        self._late_ns: list[int] = []

    async def connect(self) -> dict[str, Any]:
        tokens = [self._signer.sign(_user(number), days=1.0) for number in self._numbers]
        self._talkers = await in_turn(partial(join, Talker, self._url, token, self._source) for token in tokens)
        return {"connections": len(self._talkers)}

    async def open(self) -> dict[str, Any]:
        """Open both conversations of each user; everybody must have connected before."""
        await in_turn(partial(self._open, talker, n) for talker, n in zip(self._talkers, self._numbers, strict=True))
        return {}

    async def _open(self, talker: Talker, number: int) -> None:
        reader, writer = _user((number + 1) % self._total), _user((number - 1) % self._total)
        talker.outbox = (await talker.ask(Frame(open_direct=OpenDirect(user=reader)))).conversation.id
        talker.inbox = (await talker.ask(Frame(open_direct=OpenDirect(user=writer)))).conversation.id

    async def loop(self) -> dict[str, Any]:
        """Begin the closed loop."""
        for talker in self._talkers:
            talker.looping = True
            talker.write(time.perf_counter_ns())
        return {}

    async def follow(self, begin_ns: int, every_ns: int, count: int) -> dict[str, Any]:
        """Write `count` messages, the k-th at begin_ns + k * every_ns, users in turn. Returns when all were written.

        A thread keeps the time, because the loop's own timers are whole milliseconds.
        """
        for talker in self._talkers:
            talker.delays_ns, talker.ack_delays_ns = [], []
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def keep_time() -> None:
            for turn in range(count):
                due_ns = begin_ns + turn * every_ns
                time.sleep(max(0, due_ns - time.perf_counter_ns()) / 1e9)
                loop.call_soon_threadsafe(self._write, turn, due_ns)
            loop.call_soon_threadsafe(done.set)

        threading.Thread(target=keep_time, daemon=True).start()
        await done.wait()
        return {"late_ns": self._late_ns}

    def _write(self, turn: int, due_ns: int) -> None:
        self._late_ns.append(time.perf_counter_ns() - due_ns)
        self._talkers[turn % len(self._talkers)].write(due_ns)

    async def halt(self) -> dict[str, Any]:
        """End the closed loop; what is under way still arrives."""
        for talker in self._talkers:
            talker.looping = False
        return {}

    async def count(self) -> dict[str, Any]:
        """Totals so far."""
        names = ("written", "acked", "received", "acks", "acks_answered")
        return {name: sum(getattr(talker, name) for talker in self._talkers) for name in names}

    async def delays(self) -> dict[str, Any]:
        """From due to delivered and from due to acknowledged, in ns, and forget them."""
        taken = {
            "delivered_ns": [delay for talker in self._talkers for delay in talker.delays_ns],
            "acked_ns": [delay for talker in self._talkers for delay in talker.ack_delays_ns],
        }
        for talker in self._talkers:
            talker.delays_ns, talker.ack_delays_ns = [], []
        return taken

    async def check(self) -> dict[str, Any]:
        """Per user what was written and received, and what the server's log and marks say; and everything wrong."""
        stored = await in_turn(partial(self._stored, talker, number) for talker, number in self._pairs())
        wrong = [f"{_user(number)}: {word}" for talker, number in self._pairs() for word in talker.wrong]
        wrong += [f"{_user(number)} closed: {talker.closed}" for talker, number in self._pairs() if talker.closed]
        return {
            "written": {number: talker.written for talker, number in self._pairs()},
            "received": {number: talker.received for talker, number in self._pairs()},
            "stored": dict(zip(self._numbers, stored, strict=True)),
            "wrong": wrong[:20],
            "wrongs": len(wrong),
        }

    def _pairs(self) -> list[tuple[Talker, int]]:
        return list(zip(self._talkers, self._numbers, strict=True))

    async def _stored(self, talker: Talker, number: int) -> list[int]:
        """Head of the conversation that this user writes, and its reader's delivered mark."""
        reader = _user((number + 1) % self._total)
        shown = (await talker.ask(Frame(open_direct=OpenDirect(user=reader)))).conversation
        return [shown.head, next(member.delivered for member in shown.members if member.user == reader)]


def _user(number: int) -> str:
    return f"user{number:05}"
