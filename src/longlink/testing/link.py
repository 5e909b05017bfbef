"""One connection through the hostile network: two sockets, and what waits between them.

Bytes keep their order; what waits is bounded, since a side whose bytes wait is not read. Read next: framing.py,
losses.py.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Final, Literal, cast

from longlink.errors import LonglinkError
from longlink.testing.framing import Framing, Piece, Shared

if TYPE_CHECKING:
    from longlink.testing.network import HostileNetwork, Weather

Side = Literal["client", "server"]

WAITING_BYTES: Final = 1_048_576
"""What may wait in one direction before its source is left unread."""
SLICES_A_SECOND: Final = 20
"""A slow line passes bytes in portions of this part of a second."""
NO_LINGER: Final = struct.pack("ii", 1, 0)


class Link:
    """near: the socket of the client, far: that of the server. up, down: what is on its way."""

    def __init__(self, network: HostileNetwork) -> None:
        self.network = network
        self.lag_s = network.random.uniform(0, network.reorder_s)
        shared = Shared()
        self.near, self.far = End(self, "client"), End(self, "server")
        self.up = Pipe(self, network.up, self.near, self.far, Framing(shared, up=True))
        self.down = Pipe(self, network.down, self.far, self.near, Framing(shared, up=False))

    def move(self) -> None:
        """Pass on what may pass now."""
        self.up.move()
        self.down.move()

    def cut(self) -> None:
        """FIN on both sides; what was on its way is lost."""
        self._drop()
        for end in (self.near, self.far):
            end.close()

    def reset(self) -> None:
        """RST on both sides; what was on its way is lost."""
        self._drop()
        for end in (self.near, self.far):
            end.reset()

    def half_open(self, told: Side) -> None:
        """A reset for one side alone; the other stays connected to nobody."""
        self._drop()
        (self.near if told == "client" else self.far).reset()

    def black_hole(self) -> None:
        """Everything vanishes from now on, ends too, and both sides still believe in it."""
        self._drop()

    def _drop(self) -> None:
        self.up.swallow()
        self.down.swallow()

    def ended(self) -> None:
        """One of the two sockets is gone."""
        if self.near.gone and self.far.gone:
            self.network.closed(self)


class End(asyncio.Protocol):
    """One of the two sockets. gone: closed, in whatever way."""

    def __init__(self, link: Link, side: Side) -> None:
        self.side = side
        self.transport: asyncio.Transport | None = None
        self.gone = False
        self._link = link
        self._ending = ""

    @property
    def _source(self) -> Pipe:
        return self._link.up if self.side == "client" else self._link.down

    @property
    def _target(self) -> Pipe:
        return self._link.down if self.side == "client" else self._link.up

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._ending:
            (self.close if self._ending == "close" else self.reset)()
        elif self.side == "client":
            self._link.network.opened(self._link)
        else:
            self._link.move()

    def data_received(self, data: bytes) -> None:
        self._source.take(data)

    def eof_received(self) -> bool:
        self._source.end("close")
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self.gone = True
        self._source.end("reset" if error else "close")
        self._target.swallow()
        self._link.ended()

    def pause_writing(self) -> None:
        self._target.stalled = True

    def resume_writing(self) -> None:
        self._target.stalled = False
        self._target.move()

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.gone:
            self.transport.write(data)

    def close(self) -> None:
        """FIN, behind what was written."""
        self._ending = self._ending or "close"
        if self.transport is not None:
            self.transport.close()

    def reset(self) -> None:
        """RST: whatever waits is thrown away, by the kernel too."""
        self._ending = "reset"
        if self.transport is not None and not self.gone:
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            self.transport.abort()


class Pipe:
    """One direction: pieces with the moment at which each is due, and at last perhaps how the source ended."""

    def __init__(self, link: Link, weather: Weather, source: End, target: End, framing: Framing) -> None:
        self.stalled = False
        self._link = link
        self._network = link.network
        self._weather = weather
        self._source = source
        self._target = target
        self._framing = framing
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._bytes = 0
        self._last = 0.0
        self._free_at = 0.0
        self._ending = ""
        self._black = False
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._now = asyncio.get_running_loop().time

    def take(self, data: bytes) -> None:
        """Bytes have come from the source."""
        for piece in self._framing.feed(data) if self._network.frames else (Piece(data),):
            if self._weather.black_hole:
                self.swallow()
            if self._black:
                self._network.swallowed += len(piece.raw)
                continue
            if piece.message and self._network.losses and self._loses(piece.message):
                continue
            self._queue(piece.raw)
        self.move()

    def end(self, how: str) -> None:
        """The source has ended; the target hears of it behind the bytes that are on their way."""
        self._ending = self._ending or how
        if self._network.frames and (rest := self._framing.rest()):
            self._queue(rest)
        self.move()

    def swallow(self) -> None:
        """From now on everything vanishes, and so does what waits."""
        self._black = True
        self._waiting.clear()
        self._bytes = 0
        self._rest()
        self._resume()

    def move(self) -> None:
        """Pass on what is due, and see to it that the rest will be."""
        if self._black or self._weather.hold or self.stalled or self._target.transport is None:
            return
        now = self._now()
        due: list[bytes] = []
        while self._waiting and self._waiting[0][0] <= now:
            due.append(self._waiting.popleft()[1])
        if due:
            data = b"".join(due)
            self._bytes -= len(data)
            self._network.passed += len(data)
            self._target.write(data)
        if self._waiting:
            self._wake_at(self._waiting[0][0])
        elif self._ending:
            (self._target.close if self._ending == "close" else self._target.reset)()
        if self._bytes < WAITING_BYTES // 2:
            self._resume()

    def _queue(self, data: bytes) -> None:
        weather, now = self._weather, self._now()
        late = weather.delay_s + self._link.lag_s
        if weather.jitter_s:
            late += self._network.random.uniform(0, weather.jitter_s)
        self._last = max(self._last, now + late) if late or self._waiting else now
        portion = max(1, int(weather.rate / SLICES_A_SECOND)) if weather.rate else len(data)
        for begin in range(0, len(data), portion):
            part = data[begin : begin + portion]
            if weather.rate:
                self._free_at = max(self._free_at, self._last) + len(part) / weather.rate
                self._last = self._free_at
            self._waiting.append((self._last, part))
        self._bytes += len(data)
        if self._bytes > WAITING_BYTES and not self._paused and self._source.transport is not None:
            self._paused = True
            self._source.transport.pause_reading()

    def _resume(self) -> None:
        if self._paused and self._source.transport is not None and not self._source.gone:
            self._paused = False
            self._source.transport.resume_reading()

    def _wake_at(self, when: float) -> None:
        if self._timer is None or self._timer.when() > when:
            self._rest()
            self._timer = asyncio.get_running_loop().call_at(when, self._woken)

    def _woken(self) -> None:
        self._timer = None
        self.move()

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _loses(self, message: bytes) -> bool:
        try:
            frame = self._framing.shared.encoding.decode(message, strict=False)
        except LonglinkError:
            return False
        for loss in [loss for loss in self._network.losses if not loss.over]:
            if loss.takes(frame):
                if loss.kill:
                    self._link.reset()
                return True
        return False
