"""A WebSocket server that does what a test says, also what no server should: it doubles, alters, loses and closes.

One thread a connection, so it is for a few of them. All clients of the load offer the same key, so the answer is fixed.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
PATIENCE_S = 15.0


class Link:
    """One client, seen from the server."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def say(self, payload: bytes) -> None:
        """Send one binary message; a client that has gone is no error."""
        size = len(payload)
        head = bytes((0x82, size)) if size < 126 else b"\x82\x7e" + size.to_bytes(2, "big")
        self._write(head + payload)

    def close(self, code: int) -> None:
        self._write(b"\x88\x02" + code.to_bytes(2, "big"))

    def upgrade(self) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._exactly(1)
        self._write(ANSWER)

    def hear(self) -> bytes:
        """The next message. Raises EOFError when the client has gone."""
        _, second = self._exactly(2)
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(self._exactly(2), "big")
        mask = self._exactly(4)
        payload = self._exactly(size)
        return bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))

    def _exactly(self, size: int) -> bytes:
        read = b""
        while len(read) < size:
            some = self._connection.recv(size - len(read))
            if not some:
                raise EOFError
            read += some
        return read

    def _write(self, data: bytes) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._connection.sendall(data)


Behaviour = Callable[[Link, bytes], None]


@contextmanager
def double(behave: Behaviour) -> Iterator[int]:
    """Serves until the block ends, every message by `behave`; gives the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    taken: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        connection.settimeout(PATIENCE_S)
        link = Link(connection)
        with contextlib.suppress(EOFError, OSError):
            link.upgrade()
            while True:
                behave(link, link.hear())

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                taken.append(connection)
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(PATIENCE_S)
        for connection in taken:
            connection.close()
