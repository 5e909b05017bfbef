"""One HTTP connection: its requests are bounded in number and in time, their headers in size.

A header over HEADER_BYTES gets 431. Cut are: as much behind a header that is no body (trailers, extensions of chunks),
and a request that is not there after HEADER_S. There is one request at a time. The next one begins once the peer has
taken enough of the last answer; more than MOST_PIPELINED that wait get 400. So a peer that does not read holds at most
one answer, WRITE_BYTES, and the kernel's buffers (server.py). Read next: places.py.
"""

from __future__ import annotations

import asyncio
import errno
from email.utils import formatdate
from typing import Any, Final

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from longlink import errors
from longlink.access.http.exchange import error_body
from longlink.access.http.places import Places
from longlink.errors import LonglinkError

HEADER_BYTES: Final = 16_384
HEADER_S: Final = 10.0
"""For a request with its body, because no endpoint wants a body that takes longer."""
UNWANTED_BYTES: Final = 2**20
"""Of a body behind its answer, such as one that is too long: less, and the client might not get to read why."""
WRITE_BYTES: Final = 65_536
"""Unsent bytes above which a connection gets no further answer."""
MOST_PIPELINED: Final = 16
"""Requests of one connection that may wait behind the one under way; uvicorn would keep any number."""
SLOW_S: Final = 1.0
"""A peer that has not taken its answer for so long gives way to others when there is no place left."""
TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
CONNECTION: Final = "longlink.connection"
"""The key of a request's scope under which its connection is."""


class HttpConnection(HttpToolsProtocol):
    """address: of the peer. opening: the task that opens it, TLS included."""

    opening: asyncio.Task[None] | None = None
    known = False
    _deadline: asyncio.TimerHandle | None = None
    _reading_header = True
    _header_bytes = 0
    _beside_body = 0
    _stuck_s: float | None = None
    _answered = False
    _made = False

    def __init__(
        self, config: Config, state: ServerState, app_state: dict[str, Any], address: str, places: Places
    ) -> None:
        super().__init__(config, state, app_state)
        self.address = address
        self._places = places
        self._since_s = self.loop.time()

    # The place that it holds ------------------------------------------------------------------------------------------

    def idle_since(self) -> float | None:
        """None while a request is under way, unless its peer does not take the answer."""
        if self._stuck_s is not None:
            return self._stuck_s if self.loop.time() - self._stuck_s >= SLOW_S else None
        return self._since_s if self.cycle is None or self.cycle.response_complete else None

    def give_way(self) -> None:
        if not self._made:
            if self.opening is not None:
                self.opening.cancel()
        elif self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    # As an asyncio protocol -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._made = True
        transport.set_write_buffer_limits(high=WRITE_BYTES)
        self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._places.discard(self)
        if isinstance(exc, OSError) and exc.errno == errno.ETIMEDOUT:
            self._places.cuts["stalled"] += 1
        self._got_request()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._reading_header and self._deadline is None:
            self._expect_request()
        # RFC 9110 section 6.6.1; uvicorn would write it down once a second.
        self.server_state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        while data and not self.transport.is_closing():
            data = self._parse(data)

    def pause_writing(self) -> None:
        self._stuck_s = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stuck_s = None
        super().resume_writing()
        if self._answered:
            self._answered = False
            super().on_response_complete()

    def on_response_complete(self) -> None:
        """The next request waits until the peer has taken this answer, or else each would add another one."""
        self._since_s = self.loop.time()
        self._answered = self.flow.write_paused and not self.transport.is_closing()
        if self._answered:
            self.flow.pause_reading()
        else:
            super().on_response_complete()

    # As what the parser calls -----------------------------------------------------------------------------------------

    def _parse(self, data: bytes) -> bytes:
        """Returns what is left of it. No more than a header may have at once, for what follows may be a body."""
        if not self._reading_header:
            return self._parse_behind_header(data)
        room = HEADER_BYTES - self._header_bytes
        if room:
            self._header_bytes += min(room, len(data))
            super().data_received(data[:room])
        else:
            self.transport.write(TOO_LARGE)
            self.transport.close()
        return data[room:]

    def _parse_behind_header(self, data: bytes) -> bytes:
        """The app bounds the body while it answers. What else comes is bounded here, or the parser would keep it."""
        self._beside_body += len(data[:HEADER_BYTES])
        super().data_received(data[:HEADER_BYTES])
        if self._beside_body > (UNWANTED_BYTES if self.cycle.response_complete else HEADER_BYTES):
            self.transport.abort()
        return data[HEADER_BYTES:]

    def on_header(self, name: bytes, value: bytes) -> None:
        """Fields behind a body are dropped: a proxy may not have looked at them (RFC 9110 section 6.5.1)."""
        if self._reading_header:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        if not self.cycle.response_complete:
            self._beside_body = 0
        super().on_body(body)

    def on_chunk_complete(self) -> None:
        """Only because it is here does the parser tell the last field behind a body now, not with the next request."""

    def send_400_response(self, msg: str) -> None:
        """With an error of the table in place of msg, because a client of another port may be lost here."""
        message = "expected an HTTP/1.1 request; WebSocket, TCP and streams are on another port (listen.address)"
        body = error_body(LonglinkError(errors.FRAME_MALFORMED, message))
        head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
        date = b"".join(b"%s: %s\r\n" % field for field in self.server_state.default_headers)
        self.transport.write(head + date + b"content-length: %d\r\n\r\n" % len(body) + body)
        self.transport.close()

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MOST_PIPELINED:
            # The parser stops at an exception, and uvicorn then answers 400 and closes.
            raise ValueError("too many pipelined requests")
        super().on_message_begin()
        if self._deadline is None:
            self._expect_request()

    def on_headers_complete(self) -> None:
        self._reading_header = False
        self.scope[CONNECTION] = self  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._got_request()
        super().on_message_complete()
        self._reading_header = True
        self._header_bytes = self._beside_body = 0

    def _expect_request(self) -> None:
        self._deadline = self.loop.call_later(HEADER_S, self.transport.abort)

    def _got_request(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
