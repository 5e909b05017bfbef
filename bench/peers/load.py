"""The load on a server of any make: many connections that each follow a script, in one thread on epoll.

It counts the payload bytes that come back and looks no deeper, so it is light and speaks every dialect; whether the
bytes are right, probe.py has seen. Every wait has a deadline, and a connection that ends is an error: nothing may be
lost unseen. Read next: dialects.py, figures.py.
"""

from __future__ import annotations

import errno
import itertools
import os
import select
import socket
import time
from collections.abc import Callable, Sequence
from typing import Final

from bench.peers.dialects import Dialect, Script

AT_ONCE: Final = 200
"""Connections that are under way at a time."""
PATIENCE_S: Final = 30.0
BUFFER: Final = 1 << 18
EVENTS: Final = 1024
TICK_S: Final = 0.01
MASK: Final = b"\x5a\x1c\xe7\x39"
KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="
_SOURCES: Final = (f"127.99.{number // 250 % 250}.{1 + number % 250}" for number in itertools.count())
"""A loopback address for each crowd, so that none waits for ports of one before or of others on this machine."""
_CLOSE: Final = 8
_PONG: Final = 10


class _Link:
    """One connection. got: payload bytes; left, rest: of a frame that has not come as a whole."""

    __slots__ = ("echo", "file", "got", "is_open", "left", "rest", "script", "send", "socket", "wants")

    def __init__(self, source: str, port: int, script: Script, wants: int) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.socket.bind((source, 0))
        if (error := self.socket.connect_ex(("127.0.0.1", port))) not in {0, errno.EINPROGRESS}:
            raise RuntimeError(f"cannot connect: {os.strerror(error)}")
        self.file = self.socket.fileno()
        self.send = self.socket.send
        self.script, self.wants, self.got = script, wants, 0
        self.is_open, self.left, self.rest = not script.path, 0, b""
        self.echo = b""


class Crowd:
    """Connections to one server. Raises RuntimeError when one of them ends or something does not come in time."""

    def __init__(self, port: int, dialect: Dialect) -> None:
        self._port, self._dialect, self._source = port, dialect, next(_SOURCES)
        self._poll = select.epoll()
        self._links: dict[int, _Link] = {}
        self._buffer = bytearray(BUFFER)
        self._take: Callable[[_Link, int], None] = self._count
        self._echo_bytes = 0
        self.pongs = 0
        self.received = 0
        """Payload bytes, but for those that belong to joining."""
        self.echoes = 0

    def __len__(self) -> int:
        return len(self._links)

    # Coming and going ---------------------------------------------------------------------------------------------

    def connect(self, scripts: Sequence[Script], joined_bytes: int) -> None:
        """Have them all connected and answered: so many payload bytes say that a connection has joined."""
        waiting = list(reversed(scripts))
        under_way: set[_Link] = set()

        def step(link: _Link, size: int) -> None:
            if size:
                self._welcome(link, size)
            elif not link.is_open:
                link.send(self._upgrade(link.script.path))
                self._poll.modify(link.file, select.EPOLLIN)
            else:
                self._say_hello(link)
            if link.is_open and link.got >= link.wants:
                under_way.discard(link)

        self._take = step
        until = time.monotonic() + PATIENCE_S
        while waiting or under_way:
            while waiting and len(under_way) < AT_ONCE:
                under_way.add(self._begin(waiting.pop(), joined_bytes))
            if not self._pump(1.0) and time.monotonic() > until:
                raise RuntimeError(
                    f"{len(under_way) + len(waiting)} of {len(scripts)} connections did not join in time"
                )
        self._take = self._count

    def _begin(self, script: Script, wants: int) -> _Link:
        link = _Link(self._source, self._port, script, wants)
        self._links[link.file] = link
        self._poll.register(link.file, select.EPOLLOUT)
        return link

    def _upgrade(self, path: str) -> bytes:
        offered = f"Sec-WebSocket-Protocol: {self._dialect.subprotocol}\r\n" if self._dialect.subprotocol else ""
        return (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{offered}\r\n"
        ).encode()

    def _welcome(self, link: _Link, size: int) -> None:
        """Bytes for a connection that is joining."""
        if link.is_open:
            link.got += self._payload(link, size)
            return
        link.rest += self._buffer[:size]
        head, end, rest = link.rest.partition(b"\r\n\r\n")
        if not end:
            return
        if not head.startswith(b"HTTP/1.1 101"):
            raise RuntimeError(f"the upgrade was answered with {head[:60]!r}")
        link.is_open, link.rest = True, b""
        self._say_hello(link)
        if rest:
            self._buffer[: len(rest)] = rest
            link.got += self._payload(link, len(rest))

    def _say_hello(self, link: _Link) -> None:
        if hello := b"".join(self._frame(link, message) for message in link.script.hello):
            link.send(hello)
        self._poll.modify(link.file, select.EPOLLIN)

    def _frame(self, link: _Link, message: bytes) -> bytes:
        return frame(message) if link.script.path else message

    def close(self) -> None:
        """All at once."""
        for link in self._links.values():
            link.socket.close()
        self._links.clear()
        self._poll.close()

    # Work -------------------------------------------------------------------------------------------------------------

    def rest(self, for_s: float) -> None:
        """Only take what comes."""
        until = time.monotonic() + for_s
        while (left := until - time.monotonic()) > 0:
            self._pump(left)

    def ping(self, for_s: float, every_s: float) -> int:
        """A ping from each connection once in every_s, evenly spread; how many were sent."""
        links = list(self._links.values())
        begun, sent = time.monotonic(), 0
        while (lasted := time.monotonic() - begun) < for_s:
            due = int(lasted / every_s * len(links))
            for link in (links[number % len(links)] for number in range(sent, due)):
                link.send(PING if link.script.path else self._dialect.ping)
            sent = due
            self._pump(TICK_S)
        return sent

    def begin_echoes(self, echo_bytes: int) -> None:
        """From now on each connection has one message under way, as long as the crowd is pumped."""
        self._take, self._echo_bytes = self._go_round, echo_bytes
        for link in self._links.values():
            link.echo, link.got = self._frame(link, link.script.echo), 0
            link.send(link.echo)

    def end_echoes(self) -> None:
        """Those under way still arrive."""
        for link in self._links.values():
            link.echo = b""
        self.rest(0.2)
        self._take = self._count

    def publish(self, message: bytes, publisher: Crowd, delivery_bytes: int, times: int) -> None:
        """So often, the next when everybody has got the one before."""
        (link,) = publisher._links.values()
        said = publisher._frame(link, message)
        for _ in range(times):
            expected = self.received + delivery_bytes * len(self._links)
            until = time.monotonic() + PATIENCE_S
            link.send(said)
            while self.received < expected:
                if not self._pump(1.0) and time.monotonic() > until:
                    raise RuntimeError(f"{expected - self.received} bytes of a message were not delivered in time")
            publisher._pump(0)

    def _pump(self, within_s: float) -> int:
        """One look at the sockets; how many had something."""
        found = self._poll.poll(within_s, EVENTS)
        for file, event in found:
            link = self._links[file]
            if not event & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                self._take(link, 0)
                continue
            try:
                size = link.socket.recv_into(self._buffer)
            except OSError as error:
                raise RuntimeError(f"a connection broke: {error}") from None
            if not size:
                raise RuntimeError("the server ended a connection")
            self._take(link, size)
        return len(found)

    # What came: a read of `size` bytes lies in the buffer -------------------------------------------------------------

    def _count(self, link: _Link, size: int) -> None:
        self.received += self._payload(link, size)

    def _go_round(self, link: _Link, size: int) -> None:
        link.got += self._payload(link, size)
        if link.got >= self._echo_bytes:
            link.got = 0
            self.echoes += 1
            if link.echo:
                link.send(link.echo)

    def _payload(self, link: _Link, size: int) -> int:
        """Payload bytes of the messages among what was read."""
        if not link.script.path:
            return size
        first, length = self._buffer[0], self._buffer[1]
        if length == size - 2 and 0x81 <= first <= 0x82 and not link.left and not link.rest:
            return length
        return self._walk(link, link.rest + bytes(self._buffer[:size]))

    def _walk(self, link: _Link, data: bytes) -> int:
        """Frame by frame; what is incomplete is kept in the link."""
        total, at, end = 0, 0, len(data)
        link.rest = b""
        while at < end:
            if not link.left:
                header = 2 if end - at < 2 or data[at + 1] < 126 else 4 if data[at + 1] == 126 else 10
                if end - at < header:
                    link.rest = data[at:]
                    break
                link.left = data[at + 1] if header == 2 else int.from_bytes(data[at + 2 : at + header], "big")
                self._judge(data[at] & 15, link.left)
                at += header
            step = min(link.left, end - at)
            link.left, at, total = link.left - step, at + step, total + step
        return total

    def _judge(self, opcode: int, length: int) -> None:
        if opcode == _PONG and not length:
            self.pongs += 1
        elif opcode >= _CLOSE:
            raise RuntimeError(f"the server sent a control frame 0x{opcode:x} that nobody asked for")


def frame(message: bytes, opcode: int = 2) -> bytes:
    """A message in one masked frame (RFC 6455 section 5.2). The mask is no secret: nobody stands between."""
    size = len(message)
    length = bytes((size | 0x80,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    masked = bytes(byte ^ MASK[at & 3] for at, byte in enumerate(message))
    return bytes((0x80 | opcode,)) + length + MASK + masked


PING: Final = frame(b"", 9)
