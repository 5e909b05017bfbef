"""What travels on a trunk: compact arrays (msgpack), and records of them with their length before them.

    gateway                                      logic
      │  Hello ──────────────────────────────────►│
      │◄───────────────────────────────── Welcome │
      │  Came, Came, ... all its sessions ───────►│   then all that is unanswered, then what is new:
      │  Came · Went · Calls ────────────────────►│
      │◄─────── Replies · Parcels · Endings · ... │   Ask and Told go both ways

Both ends are the same program, so nothing here has versions. Pure: no I/O. Read next: stream.py, unanswered.py.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Struct

from longlink.routing.bus.base import Ending, Parcel
from longlink.routing.calls import Reply
from longlink.routing.sessions import Arrival, Session

LARGEST_RECORD: Final = 2**30
"""Bytes. Every queue behind a record is bounded below this; a length beyond it is no length."""
_LENGTH: Final = struct.Struct("<I")


class Hello(Struct, frozen=True, array_like=True, tag=1):
    """A gateway is there. secret: shared by the processes of one server; again: it has been attached before.

    restarts, hangs: of this gateway; numbers: what it has counted until now (ops.numbers).
    """

    secret: bytes
    gateway: int
    again: bool
    restarts: int
    numbers: bytes
    hangs: int = 0


class Came(Struct, frozen=True, array_like=True, tag=2):
    """Sessions that are there, and how they came. again: they were there before this trunk."""

    sessions: list[tuple[Session, Arrival]]
    again: bool


class Went(Struct, frozen=True, array_like=True, tag=3):
    """Links that have ended."""

    sessions: list[Session]


class Calls(Struct, frozen=True, array_like=True, tag=4):
    """A batch of calls with the same body, in order: who asks, and the request in Protocol Buffers."""

    number: int
    calls: list[tuple[Session, bytes]]


class Welcome(Struct, frozen=True, array_like=True, tag=5):
    """Logic knows nothing of this gateway any more and takes what comes."""


class Replies(Struct, frozen=True, array_like=True, tag=6):
    """The answers to the batch with this number, one for each call, in order."""

    number: int
    replies: list[Reply]


class Parcels(Struct, frozen=True, array_like=True, tag=7):
    """What the bus has for this gateway."""

    parcels: list[Parcel]


class Endings(Struct, frozen=True, array_like=True, tag=8):
    """Links of this gateway that must go."""

    endings: list[Ending]


class Lost(Struct, frozen=True, array_like=True, tag=9):
    """Parcels for this gateway were dropped: its sessions must sync."""


class Ask(Struct, frozen=True, array_like=True, tag=10):
    """A question of one process to the other, answered with Told."""

    number: int
    what: str


class Told(Struct, frozen=True, array_like=True, tag=11):
    """The answer to the question with this number. code: of an error, whose message the answer then is; 0 for none."""

    number: int
    answer: bytes
    code: int


class Broadcast(Struct, frozen=True, array_like=True, tag=12):
    """One frame for every session, in both encodings."""

    binary: bytes
    text: bytes


TrunkFrame = Hello | Came | Went | Calls | Welcome | Replies | Parcels | Endings | Lost | Ask | Told | Broadcast

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[TrunkFrame]).decode


def encode(frames: list[TrunkFrame]) -> bytes:
    """One record."""
    body = _encode(frames)
    return _LENGTH.pack(len(body)) + body


class Reader:
    """Cuts what arrives into records, however it was cut on the way."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def take(self, data: bytes) -> Iterator[list[TrunkFrame]]:
        """The frames of every record that is whole now. Raises ValueError for what no trunk sends."""
        self._waiting += data
        place = 0
        with memoryview(self._waiting) as view:
            while len(view) - place >= _LENGTH.size:
                length = _LENGTH.unpack_from(view, place)[0]
                if length > LARGEST_RECORD:
                    raise ValueError(f"expected a record of at most {LARGEST_RECORD} bytes, got {length}")
                end = place + _LENGTH.size + length
                if end > len(view):
                    break
                yield _decode(view[place + _LENGTH.size : end])
                place = end
        del self._waiting[:place]
