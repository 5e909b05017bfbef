"""One live trunk: frames in, frames out, over a stream socket. All that one turn of the loop sends leaves in one write.

Never answers, retries or bounds anything by itself: `waiting` says how much the other end has not taken yet, and
whoever sends looks at it. Read next: gateway.py and logic.py, the two ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

import msgspec

from longlink.ops import logs
from longlink.routing.trunk.frames import Reader, TrunkFrame, encode

log = logs.get("trunk")

HIGH_BYTES: Final = 8 * 2**20
"""What may wait for the other end before `easy` turns false; it turns true again at a quarter of it."""


class Stream(asyncio.Protocol):
    """take: called with the frames of each record; lost: called once, when nothing more can come or go.

    holds_back: reads nothing while the other end takes too little, so that answers to it are bounded. Only one end of a
    trunk may, or both could wait for each other.
    """

    def __init__(
        self,
        take: Callable[[Stream, list[TrunkFrame]], None],
        lost: Callable[[Stream], None],
        *,
        holds_back: bool = False,
    ) -> None:
        self._take = take
        self._lost = lost
        self._holds_back = holds_back
        self._reader = Reader()
        self._out: list[TrunkFrame] = []
        self._transport: asyncio.Transport | None = None
        self._easy = asyncio.Event()
        self._easy.set()

    @property
    def waiting(self) -> int:
        """Bytes that the other end has not taken, without what this turn of the loop has brought."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    async def easy(self) -> None:
        """Returns when not much waits, at once if so now."""
        await self._easy.wait()

    def send(self, frame: TrunkFrame) -> None:
        """Behind what was sent before. Nothing happens when the trunk is gone."""
        if self._transport is None:
            return
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(frame)

    def close(self) -> None:
        """Send what is queued, then end."""
        if self._transport is not None:
            self._flush()
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=HIGH_BYTES)

    def data_received(self, data: bytes) -> None:
        try:
            for frames in self._reader.take(data):
                self._take(self, frames)
        except (ValueError, msgspec.DecodeError):
            log.exception("trunk_broken")
            self._abort()

    def pause_writing(self) -> None:
        self._easy.clear()
        if self._holds_back and self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._easy.set()
        if self._holds_back and self._transport is not None:
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._out.clear()
        self._easy.set()
        self._lost(self)

    def _flush(self) -> None:
        frames, self._out = self._out, []
        if frames and self._transport is not None:
            self._transport.write(encode(frames))

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
