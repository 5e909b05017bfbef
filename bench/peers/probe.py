"""Asks a server once, by one connection after the other, how many bytes it answers, and sees that they are right.

Servers of other makes wrap a message in more or less around it, but always the same. A probe waits until the server
has been quiet for a while, so it costs half a second a question. Read next: dialects.py.
"""

from __future__ import annotations

import socket
import time
from typing import Final, NamedTuple, Protocol

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
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

    def close(self) -> None: ...


class _WebSocket:
    def __init__(self, port: int, path: str, subprotocol: str) -> None:
        offered = [Subprotocol(subprotocol)] if subprotocol else None
        self._link = connect(f"ws://127.0.0.1:{port}{path}", subprotocols=offered, compression=None, ping_interval=None)

    def send(self, message: bytes) -> None:
        self._link.send(message)

    def receive(self, within_s: float) -> bytes:
        try:
            message = self._link.recv(timeout=within_s)
        except TimeoutError:
            return b""
        except ConnectionClosed as error:
            raise OSError(f"the server closed the connection: {error}") from None
        return message.encode() if isinstance(message, str) else message

    def close(self) -> None:
        self._link.close()


class _Tcp:
    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))

    def send(self, message: bytes) -> None:
        self._socket.sendall(message)

    def receive(self, within_s: float) -> bytes:
        self._socket.settimeout(within_s)
        try:
            some = self._socket.recv(LONGEST)
        except TimeoutError:
            return b""
        if not some:
            raise OSError("the server closed the connection")
        return some

    def close(self) -> None:
        self._socket.close()


def ask(dialect: Dialect, port: int, payload: bytes) -> Sizes:
    """Raises RuntimeError when a payload does not arrive, OSError when the server ends a connection."""
    member, joined = _say_hello(dialect, port, dialect.member(0))
    alone_script = dialect.alone(1, payload)
    alone, alone_size = _say_hello(dialect, port, alone_script)
    publisher, publisher_size = _say_hello(dialect, port, dialect.publisher())
    links = member, alone, publisher
    try:
        alone.send(alone_script.echo)
        echo = _answer(alone, payload)
        publisher.send(dialect.publish(payload))
        return Sizes(joined, alone_size, echo, publisher_size, _answer(member, payload))
    finally:
        for link in links:
            link.close()


def _say_hello(dialect: Dialect, port: int, script: Script) -> tuple[_Link, int]:
    link: _Link = _WebSocket(port, script.path, dialect.subprotocol) if script.path else _Tcp(port)
    for message in script.hello:
        link.send(message)
    return link, len(_until_quiet(link)) if script.hello else 0


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
