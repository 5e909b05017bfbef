"""Clients that ask for as much work as they can, for tests and for `longlink bench hostile`, and a pair to disturb.

An attack runs in a process of its own (`python -m longlink.testing.attack`), with its parameters as JSON on stdin and
its counts as JSON on stdout, so that it takes no turn from the pair's loop. Every request is encoded once, before the
attack begins. Read next: ../bench/figures/hostile.py, tests/scenarios/test_17_shares.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Ack, Connect, Content, Frame, Mark, OpenDirect, ReadHistory, Send, Sync, body_name
from longlink.testing.framing import PREFACES

HOME: Final = "127.0.0.2"
"""Where attacks come from: another address than the pair's, so that limits by address do not hit both."""
LONGEST: Final = 65_536
HELLO: Final = 16_384
"""The longest message that the server reads from a stranger, by default (connection.hello_bytes)."""
LINKS: Final = 32
WINDOW: Final = 8
"""Requests of one connection under way; a refusal counts as an answer."""
SETTLE_S: Final = 3.0
"""How long the pair waits for its last answers."""


def record(payload: bytes) -> bytes:
    """A message as a TCP record."""
    return len(payload).to_bytes(4, "big") + payload


def fill(head: bytes, unit: bytes, tail: bytes, between: bytes = b"", size: int = LONGEST) -> bytes:
    """As many units as fit into so many bytes."""
    return head + between.join([unit] * ((size - len(head) - len(tail)) // len(unit + between))) + tail


def dear_texts(size: int = LONGEST) -> list[bytes]:
    """JSON texts that are dear to read: very many values in few bytes."""
    return [
        fill(b'{"id":1,"ack":{"marks":[', b"{}", b"]}}", b",", size),
        fill(b'{"id":1,"ack":{"marks":[', b'{"seq":1}', b"]}}", b",", size),
        fill(b'{"id":1,"connect":{"token":"', b'\\"', b'"}}', b"", size),
        fill(b'{"id":1,"ack":{"marks":[', b"[]", b"]}}", b",", size),
    ]


# One connection -------------------------------------------------------------------------------------------------------


class Line:
    """A connection over TCP records. encoding: of its messages."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, encoding: Encoding) -> None:
        self.encoding = encoding
        self.writer = writer
        self._reader = reader

    @classmethod
    async def open(cls, port: int, encoding: Encoding, home: str = "127.0.0.1") -> Line:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(home, 0), limit=2**22)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        writer.write(next(preface for preface, kind in PREFACES.items() if kind is encoding))
        return cls(reader, writer, encoding)

    async def enter(self, token: str, device: str) -> None:
        """Connect. Raises RuntimeError if the server refuses it."""
        answer = await self.ask(Frame(id=1, connect=Connect(version=1, token=token, device=device)))
        if body_name(answer) != "connected":
            raise RuntimeError(str(answer))

    async def ask(self, frame: Frame) -> Frame:
        """The answer to a request, whatever comes before it."""
        self.put(frame)
        while True:
            answer = await self.read()
            if answer.id == frame.id:
                return answer

    def put(self, frame: Frame) -> None:
        self.writer.write(record(self.encoding.encode(frame)))

    async def read(self) -> Frame:
        """The next message. Raises asyncio.IncompleteReadError at the end."""
        return self.encoding.decode(await self.read_bytes(), strict=False)

    async def read_bytes(self) -> bytes:
        while True:
            head = await self._reader.readexactly(4)
            payload = await self._reader.readexactly(int.from_bytes(head[1:], "big"))
            if head[0]:
                raise asyncio.IncompleteReadError(payload, None)
            if payload:
                return payload


# The pair -------------------------------------------------------------------------------------------------------------


class Pair:
    """Two users: one sends at a steady rate, whatever comes back, and each message is answered and delivered.

    acked_s: seconds from when a message was due to its answer, by the message's number; delivered: texts in order.
    """

    def __init__(self, sender: Line, receiver: Line, conversation: str) -> None:
        self._sender = sender
        self._receiver = receiver
        self._conversation = conversation
        self.sent = 0
        self.acked_s: dict[int, float] = {}
        self.refused: Counter[str] = Counter()
        self.delivered: list[str] = []

    @classmethod
    async def meet(cls, port: int, tokens: Sequence[str], names: Sequence[str]) -> Pair:
        """tokens, names: of the two users."""
        lines = [await Line.open(port, Encoding.BINARY) for _ in names]
        for line, token in zip(lines, tokens, strict=True):
            await line.enter(token, "phone")
        opened = await lines[0].ask(Frame(id=2, open_direct=OpenDirect(user=names[1])))
        return cls(lines[0], lines[1], opened.conversation.id)

    async def talk(self, seconds: float, rate: float) -> None:
        """Send so many messages a second, then wait SETTLE_S at most for what is missing."""
        loop = asyncio.get_running_loop()
        begun, count = loop.time(), int(seconds * rate)
        due = {number: begun + number / rate for number in range(count)}
        reading = [asyncio.ensure_future(self._read_answers(due)), asyncio.ensure_future(self._read_messages())]
        for number, at in due.items():
            await asyncio.sleep(max(0.0, at - loop.time()))
            content = Content(text=f"{number}")
            request = Send(conversation=self._conversation, client_id=f"m-{number}", content=content)
            self._sender.put(Frame(id=number + 10, send=request))
            self.sent += 1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                while min(len(self.acked_s) + self.refused.total(), len(self.delivered)) < count:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)

    async def _read_answers(self, due: Mapping[int, float]) -> None:
        while True:
            answer = await self._sender.read()
            if body_name(answer) == "sent":
                self.acked_s[answer.id - 10] = asyncio.get_running_loop().time() - due[answer.id - 10]
            elif body_name(answer) == "error":
                self.refused[answer.error.name] += 1

    async def _read_messages(self) -> None:
        while True:
            event = await self._receiver.read()
            if body_name(event) == "message":
                self.delivered.append(event.message.content.text)

    def close(self) -> None:
        for line in (self._sender, self._receiver):
            line.writer.close()


# The attacks ----------------------------------------------------------------------------------------------------------


async def strangers(port: int, seconds: float, rate: float) -> Counter[str]:
    """Connections without a token, each of which sends the dearest frame there is, so many a second."""
    counts: Counter[str] = Counter()
    texts = itertools.cycle([record(text) for text in dear_texts(HELLO) + dear_texts()])
    tasks = set()

    async def stranger() -> None:
        try:
            async with asyncio.timeout(SETTLE_S):
                line = await Line.open(port, Encoding.TEXT, HOME)
                line.writer.write(next(texts))
                counts["sent"] += 1
                counts[(await line.read()).error.name] += 1
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            counts["cut"] += 1
        finally:
            with contextlib.suppress(UnboundLocalError):
                line.writer.close()

    loop = asyncio.get_running_loop()
    begun = loop.time()
    for number in range(int(seconds * rate)):
        await asyncio.sleep(max(0.0, begun + number / rate - loop.time()))
        tasks.add(asyncio.ensure_future(stranger()))
    await asyncio.wait(tasks)
    return counts


def dear_requests(conversations: Sequence[str], long_one: str) -> list[Frame]:
    """The dearest requests that one user may make. long_one: a conversation with at least 200 entries."""
    marks = [Mark(conversation=name, seq=1, read=1) for name in conversations[:200]]
    return [
        Frame(id=5, ack=Ack(marks=marks)),
        Frame(id=5, sync=Sync(limit=200, messages=100)),
        Frame(id=5, read_history=ReadHistory(conversation=long_one, limit=200)),
        Frame(id=5, ack=Ack(marks=list(reversed(marks)))),
        Frame(id=5, sync=Sync()),
    ]


async def heavy(
    port: int, seconds: float, token: str, conversations: Sequence[str], links: int = LINKS
) -> Counter[str]:
    """One user on many connections, half of them in JSON, who asks for the dearest things all the time."""
    counts: Counter[str] = Counter()
    requests = dear_requests(conversations, conversations[0])
    encoded = {kind: [record(kind.encode(request)) for request in requests] for kind in Encoding}
    bombs = [record(text) for text in dear_texts()[:2]]

    async def link(number: int) -> None:
        encoding = Encoding.TEXT if number % 2 else Encoding.BINARY
        line = await Line.open(port, encoding, HOME)
        await line.enter(token, f"device-{number}")
        turn = itertools.islice(itertools.cycle(encoded[encoding] + (bombs if number % 4 == 1 else [])), number, None)
        for _ in range(WINDOW):
            line.writer.write(next(turn))
        while True:
            answer = await line.read_bytes()
            name = _outcome(answer)
            counts[name] += 1
            line.writer.write(next(turn))

    tasks = [asyncio.ensure_future(link(number)) for number in range(links)]
    done, _ = await asyncio.wait(tasks, timeout=seconds)
    for task in done:
        counts[f"ended: {type(task.exception()).__name__}"] += 1
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return counts


def _outcome(answer: bytes) -> str:
    """What an answer is, without decoding it: the attacker has other things to do."""
    for name in ("rate_limited", "overloaded", "field_invalid", "logic_unavailable"):
        if name.encode() in answer:
            return name
    return "answered"


async def hoarder(port: int, seconds: float, token: str, peer: str, links: int = LINKS) -> Counter[str]:
    """One user on many connections who sends the longest messages to themselves as fast as they can."""
    counts: Counter[str] = Counter()
    lines = [await Line.open(port, Encoding.BINARY, HOME) for _ in range(links)]
    for number, line in enumerate(lines):
        await line.enter(token, f"device-{number}")
    opened = await lines[0].ask(Frame(id=2, open_direct=OpenDirect(user=peer)))
    text = "x" * (LONGEST - 500)

    async def read(line: Line) -> None:
        while True:
            counts[_outcome(await line.read_bytes())] += 1

    async def send(number: int, line: Line) -> None:
        for count in itertools.count():
            request = Send(
                conversation=opened.conversation.id, client_id=f"{number}-{count}", content=Content(text=text)
            )
            line.put(Frame(id=9, send=request))
            counts["sent"] += 1
            await line.writer.drain()

    tasks = [asyncio.ensure_future(read(line)) for line in lines]
    tasks += [asyncio.ensure_future(send(number, line)) for number, line in enumerate(lines)]
    await asyncio.wait(tasks, timeout=seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return counts


ATTACKS: Final[Mapping[str, Callable[..., Coroutine[None, None, Counter[str]]]]] = {
    "strangers": strangers,
    "heavy": heavy,
    "hoarder": hoarder,
}


class Attack:
    """An attack that runs. counts: what came of it, once it has ended."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.counts: Counter[str] = Counter()

    def end(self) -> None:
        """Wait for its end, at once if it has ended. Raises RuntimeError if it failed."""
        if self._process.returncode is not None:
            return
        said, _ = self._process.communicate()
        if self._process.returncode:
            raise RuntimeError(f"the attack ended with {self._process.returncode}")
        self.counts = Counter(json.loads(said))


@contextmanager
def attack(name: str, **parameters: Any) -> Iterator[Attack]:
    """One of ATTACKS in a process of its own; at the end of the block it has ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", "longlink.testing.attack"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps({"attack": name, **parameters}))
        process.stdin.close()
        process.stdin = None
        running = Attack(process)
        yield running
        running.end()
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    sys.stdout.write(json.dumps(asyncio.run(ATTACKS[asked.pop("attack")](**asked))))
