"""`longlink bench serve`: the connection core with an echo or a room behind it, to measure and to test the core alone.

Every message comes back as it went in; with --room some reach everybody who asked for them. There are no users, no
store and no limits on rates: whoever reaches the port may use it, so it is not to be offered to anyone.
Read next: ../_core.pyi, ../../../core/BOUNDARY.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from typing import Final

from longlink import _core, errors
from longlink.errors import LonglinkError
from longlink.protocol.codec import Encoding

SUMMARY = "echo every message, on WebSocket and TCP; with --room, also one room for everybody"

ROOM: Final = 1
"""The topic of the one room."""
SUBSCRIBE: Final = b"+"
"""A binary message that is this and no more; there is no answer."""
PUBLISH: Final = b"="
"""In front of a binary message: what follows goes to everybody in the room, also to the sender if it is there."""
PUBLISH_TOGETHER: Final = b"~"
"""The same, and messages may gather for WINDOW_MS to leave in one write."""
MISSED: Final = b"!"
"""In front of how many messages of the room a slow connection did not get, once it reads again."""
WINDOW_MS: Final = 20

MAX_CONNECTIONS: Final = 1_000_000
QUEUED_MESSAGES: Final = 4
"""Echoes of the largest size that may wait for one connection."""
TOTAL_QUEUE_BYTES: Final = 1 << 30
RING_EVENTS: Final = 65_536
STREAM_HEARTBEAT_MS: Final = 15_000


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=0, help="port to listen on (default: any that is free)")
    parser.add_argument("--threads", type=int, default=1, help="I/O threads (default: %(default)s)")
    parser.add_argument(
        "--max-message-bytes", type=int, default=1 << 20, help="longest message, in bytes (default: %(default)s)"
    )
    parser.add_argument(
        "--header-timeout-ms",
        type=int,
        default=10_000,
        help="how long a client may take for its HTTP header (default: %(default)s)",
    )
    parser.add_argument(
        "--idle-timeout-ms", type=int, default=0, help="close a connection silent for so long, 0 never (default: 0)"
    )
    parser.add_argument(
        "--stall-timeout-ms",
        type=int,
        default=60_000,
        help="drop a connection that takes no bytes for so long (default: %(default)s)",
    )
    parser.add_argument(
        "--room", action="store_true", help="+ enters a room, =TEXT tells everybody in it, ~TEXT tells it together"
    )


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 0xFFFF:
        raise argparse.ArgumentTypeError(f"expected 0 to 65535, got {text!r}")
    return int(text)


def run(options: argparse.Namespace) -> int:
    import uvloop

    uvloop.run(_serve(options))
    return 0


async def _serve(options: argparse.Namespace) -> None:
    """Answer until SIGINT or SIGTERM; SIGUSR1 asks for the core's counters, as a line of JSON.

    Raises LonglinkError CONFIG_INVALID when the core refuses an option.
    """
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    core, port = _open(options)
    loop.add_reader(core.fileno(), room if options.room else echo, core)
    loop.add_signal_handler(signal.SIGUSR1, lambda: _say(json.dumps(core.counters())))
    _say(f"listening on {options.host}:{port}")
    try:
        await ended.wait()
    finally:
        loop.remove_reader(core.fileno())
        core.stop()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _open(options: argparse.Namespace) -> tuple[_core.Core, int]:
    try:
        core = build_core(
            threads=options.threads,
            max_message_bytes=options.max_message_bytes,
            header_timeout_ms=options.header_timeout_ms,
            idle_timeout_ms=options.idle_timeout_ms,
            stall_timeout_ms=options.stall_timeout_ms,
        )
        return core, core.listen(options.host, options.port)
    except (OSError, OverflowError, ValueError) as error:
        raise LonglinkError(errors.CONFIG_INVALID, f"bench serve: {error}") from error


def build_core(
    *, threads: int, max_message_bytes: int, header_timeout_ms: int, idle_timeout_ms: int, stall_timeout_ms: int
) -> _core.Core:
    """A core that admits everyone. Raises ValueError naming the argument that is out of range."""
    return _core.Core(
        threads=threads,
        max_connections=MAX_CONNECTIONS,
        max_message_bytes=max_message_bytes,
        hello_bytes=max_message_bytes,
        header_timeout_ms=header_timeout_ms,
        hello_timeout_ms=0,
        idle_timeout_ms=idle_timeout_ms,
        stall_timeout_ms=stall_timeout_ms,
        stream_heartbeat_ms=STREAM_HEARTBEAT_MS,
        ping_ms=0,
        queue_bytes=QUEUED_MESSAGES * max_message_bytes,
        total_queue_bytes=max(TOTAL_QUEUE_BYTES, QUEUED_MESSAGES * max_message_bytes),
        coalesce_ms=0,
        message_rate=0,
        message_burst=1,
        accept_rate=0,
        accept_burst=1,
        half_open_per_address=MAX_CONNECTIONS,
        ring_events=RING_EVENTS,
        ring_bytes=max(64 << 20, QUEUED_MESSAGES * max_message_bytes),
        subprotocols=[(encoding.subprotocol, encoding is Encoding.TEXT) for encoding in Encoding],
        trusted_proxies=[],
        proxy_protocol=False,
    )


def echo(core: _core.Core) -> None:
    """Send what waits back to where it came from.

    One batch a call, so that a signal is heard under any load: the eventfd stays readable until a poll is empty.
    """
    send, reply, text = core.send, _core.REPLY, _core.TEXT
    for kind, connection, data in core.poll():
        if isinstance(data, bytes):
            send(connection, data, reply, kind == text)
    core.flush()


def room(core: _core.Core) -> None:
    """Like echo, but for the messages to the room."""
    for kind, connection, data in core.poll():
        if kind == _core.MISSED:
            core.send(connection, MISSED + str(data).encode(), _core.REPLY)
        if not isinstance(data, bytes):
            continue
        first = data[:1] if kind == _core.BINARY else b""
        if data == SUBSCRIBE and first:
            core.subscribe(connection, ROOM)
        elif first == PUBLISH:
            core.publish(ROOM, data[1:], _core.EVENT)
        elif first == PUBLISH_TOGETHER:
            core.publish(ROOM, data[1:], _core.EVENT, window_ms=WINDOW_MS)
        else:
            core.send(connection, data, _core.REPLY, text=kind == _core.TEXT)
    core.flush()
