"""HTTP/1.1 for the fallback: one answer that never ends, and one POST after the other over a kept connection.

h11 reads and writes the bytes; this module moves them. It follows no redirects, knows no cookies and no proxies of the
environment: the address is what was asked for. Read next: stream.py.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Final, NamedTuple

import h11

from longlink import errors
from longlink.errors import LonglinkError

READ_BYTES: Final = 65_536
ANSWER_BYTES: Final = 2**24
"""Largest answer taken to one POST."""
CLOSE_S: Final = 1.0


class Origin(NamedTuple):
    """Where to ask. path: what stands before every path."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    path: str = ""


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class Http:
    """One HTTP connection. Raises OSError, or LonglinkError for what is no HTTP."""

    def __init__(self, origin: Origin, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._origin = origin
        self._reader = reader
        self._writer = writer
        self._state = h11.Connection(h11.CLIENT)

    async def ask(self, path: str, body: bytes, **headers: str) -> h11.Response:
        """Send a POST and wait for the head of its answer; `part` gives the rest."""
        host = f"[{self._origin.host}]" if ":" in self._origin.host else self._origin.host
        given = [
            ("Host", f"{host}:{self._origin.port}"),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            *((name.replace("_", "-"), value) for name, value in headers.items()),
        ]
        request = h11.Request(method="POST", target=self._origin.path + path, headers=given)
        head = self._state.send(request) or b""
        self._writer.write(head + (self._state.send(h11.Data(body)) or b""))
        self._state.send(h11.EndOfMessage())
        await self._writer.drain()
        while True:
            event = await self._event()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise ConnectionResetError("the connection ended before an answer")

    async def part(self) -> bytes:
        """The next bytes of the answer's body, empty at its end."""
        event = await self._event()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def whole(self, response: h11.Response) -> Answer:
        body = bytearray()
        while part := await self.part():
            body += part
            if len(body) > ANSWER_BYTES:
                raise ConnectionAbortedError(f"an answer of more than {ANSWER_BYTES} bytes")
        headers = {name.decode("ascii").lower(): value.decode("latin-1") for name, value in response.headers}
        return Answer(response.status_code, headers, bytes(body))

    def next(self) -> bool:
        """Get ready for another request; False when the server ends the connection after this one."""
        if self._state.our_state is not h11.DONE or self._state.their_state is not h11.DONE:
            return False
        self._state.start_next_cycle()
        return not self._reader.at_eof()

    async def close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                self._writer.close()
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self._writer.transport.abort()

    async def _event(self) -> h11.Event | type[h11.PAUSED]:
        try:
            while (event := self._state.next_event()) is h11.NEED_DATA:
                self._state.receive_data(await self._reader.read(READ_BYTES))
        except h11.RemoteProtocolError as error:
            raise LonglinkError(errors.DISCONNECTED, f"the answer is no HTTP: {error}") from error
        return event  # type: ignore[return-value]


async def open_http(origin: Origin) -> Http:
    """Raises OSError."""
    reader, writer = await asyncio.open_connection(origin.host, origin.port, ssl=origin.tls)
    return Http(origin, reader, writer)
