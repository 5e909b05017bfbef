"""What it costs to hand calls to another process: a Unix stream socket against a ring in shared memory.

    python -m bench.transport [--seconds 1.0] [--rounds 5]

Two processes, each a uvloop, as a gateway and logic would be. The asking side sends batches of calls (about 150 bytes
each, msgpack arrays), the answering side decodes them and sends one answer each. `alone`: one batch under way, so that
every batch pays for two wake-ups; `ahead`: four batches under way, as under load. Ring: one for each direction,
written and read by slices of an mmap, an eventfd wakes the reader, once per batch and only if it sleeps. Shown are the
medians of rounds that take turns: CPU per call on each side and the time until a batch is answered. `nothing` encodes
and decodes the same batches inside one process, so that what is above it is the transport. Read next:
docs/decisions/0011-workers-and-their-link.md.
"""

from __future__ import annotations

import argparse
import asyncio
import mmap
import os
import socket
import statistics
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final, Protocol, cast

import msgspec
import uvloop

BATCHES: Final = (1, 8, 64)
AHEAD: Final = {"alone": 1, "ahead": 4}
FRAME_BYTES: Final = 100
ANSWER_BYTES: Final = 40
RING_BYTES: Final = 1 << 20
_LENGTH: Final = struct.Struct("<I")

Call = tuple[tuple[str, str, int, int], bytes]
Batch = tuple[int, list[Call]]
Answers = tuple[int, list[bytes]]

_encode: Final = msgspec.msgpack.Encoder().encode
_decode_calls: Final = msgspec.msgpack.Decoder(Batch).decode
_decode_answers: Final = msgspec.msgpack.Decoder(Answers).decode


def calls(number: int, size: int) -> Batch:
    """A batch as a gateway would send it: who asks, and a frame."""
    who = ("user-000123", "device-0a1b2c", 1 << 50 | number, 1 << 49 | number)
    return number, [(who, bytes(FRAME_BYTES)) for _ in range(size)]


class End(Protocol):
    """One end of a transport: whole records go in and come out, in order."""

    def start(self, take: Callable[[bytes], None]) -> None: ...
    def send(self, record: bytes) -> None: ...
    def stop(self) -> None: ...


class SocketEnd(asyncio.Protocol):
    """Records with their length before them over a Unix stream socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._rest = b""
        self._transport: asyncio.Transport
        self._take: Callable[[bytes], None]

    def start(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        loop = asyncio.get_running_loop()
        self._opening = loop.create_task(loop.create_unix_connection(lambda: self, sock=self._sock))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        place = 0
        while len(data) - place >= 4:
            end = place + 4 + _LENGTH.unpack_from(data, place)[0]
            if end > len(data):
                break
            self._take(data[place + 4 : end])
            place = end
        self._rest = data[place:]

    def send(self, record: bytes) -> None:
        self._transport.write(_LENGTH.pack(len(record)) + record)

    def stop(self) -> None:
        self._transport.close()


class Ring:
    """One direction: an mmap whose first words are how much was written, how much was read, and whether a reader
    sleeps. One writer and one reader; on x86 stores become visible in their order, which is all that it needs here."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, RING_BYTES + 64)
        self._words = memoryview(self._map)[:64].cast("Q")
        self._bytes = memoryview(self._map)[64:]
        self.bell = os.eventfd(0, os.EFD_NONBLOCK)
        self._words[2] = 1

    def put(self, record: bytes) -> None:
        written = self._words[0]
        assert written + len(record) + 4 - self._words[1] <= RING_BYTES, "the load keeps far below the size of the ring"
        self._copy_in(written, _LENGTH.pack(len(record)) + record)
        self._words[0] = written + len(record) + 4
        if self._words[2]:
            self._words[2] = 0
            os.eventfd_write(self.bell, 1)

    def take(self, use: Callable[[bytes], None]) -> None:
        """Everything that waits. A look after lying down, so that a bell that was not rung is not waited for."""
        os.eventfd_read(self.bell)
        while True:
            read = self._words[1]
            while read < self._words[0]:
                length = _LENGTH.unpack(self._copy_out(read, 4))[0]
                use(self._copy_out(read + 4, length))
                read += 4 + length
                self._words[1] = read
            self._words[2] = 1
            if read == self._words[0]:
                return
            self._words[2] = 0

    def _copy_in(self, at: int, data: bytes) -> None:
        at %= RING_BYTES
        first = min(len(data), RING_BYTES - at)
        self._bytes[at : at + first] = data[:first]
        if first < len(data):
            self._bytes[: len(data) - first] = data[first:]

    def _copy_out(self, at: int, length: int) -> bytes:
        at %= RING_BYTES
        first = min(length, RING_BYTES - at)
        data = bytes(self._bytes[at : at + first])
        return data if first == length else data + bytes(self._bytes[: length - first])


class RingEnd:
    def __init__(self, inward: Ring, outward: Ring) -> None:
        self._inward = inward
        self._outward = outward

    def start(self, take: Callable[[bytes], None]) -> None:
        asyncio.get_running_loop().add_reader(self._inward.bell, self._inward.take, take)

    def send(self, record: bytes) -> None:
        self._outward.put(record)

    def stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self._inward.bell)


def sockets() -> tuple[End, End]:
    ours, theirs = socket.socketpair()
    return SocketEnd(ours), SocketEnd(theirs)


def rings() -> tuple[End, End]:
    there, back = Ring(), Ring()
    return RingEnd(back, there), RingEnd(there, back)


@dataclass(frozen=True)
class Sample:
    """CPU us per call of the asking and of the answering side; batch_us: median time until a batch is answered."""

    asking_us: float
    answering_us: float
    batch_us: float
    rate: float


class Asking:
    def __init__(self, end: End, size: int, ahead: int) -> None:
        self._end = end
        self._size = size
        self._ahead = ahead
        self._begun: dict[int, float] = {}
        self._times: list[float] = []
        self._next = 0
        self._until = 0.0
        self._over: asyncio.Future[None]

    async def run(self, seconds: float) -> tuple[float, int, float]:
        """CPU s, calls, median us of a batch."""
        self._over = asyncio.get_running_loop().create_future()
        self._end.start(self._answered)
        await asyncio.sleep(0.1)
        cpu = time.process_time()
        self._until = time.perf_counter() + seconds
        for _ in range(self._ahead):
            self._ask()
        await self._over
        return time.process_time() - cpu, len(self._times) * self._size, statistics.median(self._times) * 1e6

    def _ask(self) -> None:
        self._next += 1
        self._begun[self._next] = time.perf_counter()
        self._end.send(_encode(calls(self._next, self._size)))

    def _answered(self, record: bytes) -> None:
        number, answers = _decode_answers(record)
        assert len(answers) == self._size
        now = time.perf_counter()
        self._times.append(now - self._begun.pop(number))
        if now < self._until:
            self._ask()
        elif not self._begun:
            self._over.set_result(None)


async def _answering(end: End, over: int) -> float:
    """Answer until the asking side closes its pipe; returns CPU s."""

    def answer(record: bytes) -> None:
        number, asked = _decode_calls(record)
        end.send(_encode((number, [bytes(ANSWER_BYTES)] * len(asked))))

    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(over, ended.set)
    end.start(answer)
    await asyncio.sleep(0.05)
    cpu = time.process_time()
    await ended.wait()
    end.stop()
    return time.process_time() - cpu


def measure(make: Callable[[], tuple[End, End]], size: int, ahead: int, seconds: float) -> Sample:
    ours, theirs = make()
    life, alive = os.pipe()
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        os.close(alive)
        os.write(tell, struct.pack("<d", uvloop.run(_answering(theirs, life))))
        os._exit(0)
    begun = time.perf_counter()

    async def ask() -> tuple[float, int, float]:
        result = await Asking(ours, size, ahead).run(seconds)
        ours.stop()
        return result

    asking_s, done, batch_us = uvloop.run(ask())
    elapsed = time.perf_counter() - begun
    os.close(alive)
    (answering_s,) = struct.unpack("<d", os.read(told, 8))
    os.waitpid(child, 0)
    for descriptor in (life, told, tell):
        os.close(descriptor)
    return Sample(asking_s / done * 1e6, answering_s / done * 1e6, batch_us, done / elapsed)


def coding_us(size: int, turns: int = 20_000) -> tuple[float, float]:
    """CPU us per call of encoding and decoding alone, on the asking and on the answering side."""
    record, answers = _encode(calls(1, size)), _encode((1, [bytes(ANSWER_BYTES)] * size))
    begun = time.process_time()
    for number in range(turns // size):
        _encode(calls(number, size))
        _decode_answers(answers)
    between = time.process_time()
    for number in range(turns // size):
        _decode_calls(record)
        _encode((number, [bytes(ANSWER_BYTES)] * size))
    scale = 1e6 / (turns // size * size)
    return (between - begun) * scale, (time.process_time() - between) * scale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each round of each variant")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    transports = {"socket": sockets, "ring": rings}
    taken: dict[tuple[int, str, str], list[Sample]] = {}
    for _ in range(options.rounds):
        for size in BATCHES:
            for how, ahead in AHEAD.items():
                for name, make in transports.items():
                    sample = measure(make, size, ahead, options.seconds)
                    taken.setdefault((size, how, name), []).append(sample)
    print(f"Python {sys.version.split()[0]}, uvloop {version('uvloop')}, calls of {len(_encode(calls(1, 1)))} bytes")
    for size in BATCHES:
        asking, answering = coding_us(size)
        print(f"batch {size:3d}         nothing  CPU us/call: asking {asking:6.2f} answering {answering:6.2f}")
        for how in AHEAD:
            for name in transports:
                print(f"batch {size:3d}  {how}  {name:7s}  {_shown(taken[size, how, name])}")


def _shown(samples: list[Sample]) -> str:
    middle = {name: statistics.median(getattr(sample, name) for sample in samples) for name in Sample.__annotations__}
    return (
        f"CPU us/call: asking {middle['asking_us']:6.2f} answering {middle['answering_us']:6.2f}"
        f"  batch answered {middle['batch_us']:7.1f} us  {middle['rate']:8.0f} calls/s"
    )


if __name__ == "__main__":
    main()
