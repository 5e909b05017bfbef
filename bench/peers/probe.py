"""Asks a server once, by one connection after the other, how many bytes it answers, and sees that they are right.

Servers of other makes wrap a message in more or less around it, but always the same. A probe waits until the server
has been quiet for a while, so it costs half a second a question. Read next: dialects.py.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from bench.peers.dialects import Dialect, Script

QUIET_S: Final = 0.3
PATIENCE_S: Final = 10.0
LONGEST: Final = 1 << 16


class Sizes(NamedTuple):
    """Payload bytes that a connection receives; for plain TCP all bytes."""

    joined: int
    alone: int
    echo: int
    publisher: int
    delivery: int


class _Link(Protocol):
    def send(self, message: bytes) -> None: ...

    def receive(self, within_s: float) -> bytes:
        """What comes next; nothing when the time is over. Raises OSError when the server has gone."""


class _WebSocket:
    def __init__(self, link: ClientConnection) -> None:
        self.send = link.send
        self._link = link

    def receive(self, within_s: float) -> bytes:
        try:
            message = self._link.recv(timeout=within_s)
        except TimeoutError:
            return b""
        except ConnectionClosed as error:
            raise OSError(f"the server closed the connection: {error}") from None
        return message.encode() if isinstance(message, str) else message


class _Tcp:
    def __init__(self, link: socket.socket) -> None:
        self.send = link.sendall
        self._link = link

    def receive(self, within_s: float) -> bytes:
        self._link.settimeout(within_s)
        try:
            some = self._link.recv(LONGEST)
        except TimeoutError:
            return b""
        if not some:
            raise OSError("the server closed the connection")
        return some


def ask(dialect: Dialect, port: int, payload: bytes) -> Sizes:
    """Raises RuntimeError when a payload does not arrive, OSError when the server ends a connection."""
    with contextlib.ExitStack() as links:

        def say_hello(script: Script) -> tuple[_Link, int]:
            link = links.enter_context(_opened(dialect, port, script))
            for message in script.hello:
                link.send(message)
            return link, len(_until_quiet(link)) if script.hello else 0

        member, joined = say_hello(dialect.member(0))
        alone_script = dialect.alone(1, payload)
        alone, alone_size = say_hello(alone_script)
        publisher, publisher_size = say_hello(dialect.publisher())
        alone.send(alone_script.echo)
        echo = _answer(alone, payload)
        publisher.send(dialect.publish(payload))
        return Sizes(joined, alone_size, echo, publisher_size, _answer(member, payload))


@contextlib.contextmanager
def _opened(dialect: Dialect, port: int, script: Script) -> Iterator[_Link]:
    if not script.path:
        with socket.create_connection(("127.0.0.1", port)) as plain:
            yield _Tcp(plain)
        return
    offered = [Subprotocol(dialect.subprotocol)] if dialect.subprotocol else None
    url = f"ws://127.0.0.1:{port}{script.path}"
    with connect(url, subprotocols=offered, compression=None, ping_interval=None) as link:
        yield _WebSocket(link)


def _answer(link: _Link, payload: bytes) -> int:
    said = _until_quiet(link)
    if payload not in said:
        raise RuntimeError(f"the server sent {len(said)} bytes, and the payload is not in them: {said[:200]!r}")
    return len(said)


def _until_quiet(link: _Link) -> bytes:
    said = link.receive(PATIENCE_S)
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and (more := link.receive(QUIET_S)):
        said += more
    return said
