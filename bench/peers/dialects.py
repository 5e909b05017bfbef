"""What a client says to each kind of server to join a room, to get an echo and to publish: bytes, no I/O.

A dialect makes a script for one connection: where it connects, what it says first, and what it says for an echo.
What comes back is told apart by its size only, which `probe.py` finds out by asking the server once. The sources are
MQTT 3.1.1 (OASIS), client.proto of github.com/centrifugal/protocol, and the README of Nchan. Read next: table.py.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

ROOM: Final = "room"


class Script(NamedTuple):
    """One connection. path: of the WebSocket, or "" for plain TCP, where messages are bytes as they are."""

    path: str
    hello: tuple[bytes, ...]
    echo: bytes = b""


class Dialect(Protocol):
    """Numbers are those of connections; every number makes messages of the same size."""

    subprotocol: str
    ping: bytes
    """What keeps a plain TCP connection alive; WebSockets have pings of their own."""

    def member(self, number: int) -> Script:
        """One that is in the room and says nothing more."""

    def alone(self, number: int, payload: bytes) -> Script:
        """One that is not in the room, with what makes the server send the payload back to it."""

    def publisher(self) -> Script: ...

    def publish(self, payload: bytes) -> bytes:
        """Send the payload to all in the room."""


class Room:
    """The protocol of the servers that are written for this comparison, and of ours."""

    ping = b""

    def __init__(self, subprotocol: str = "") -> None:
        self.subprotocol = subprotocol

    def member(self, number: int) -> Script:
        return Script("/", (b"+", b"?"))  # joining has no answer, so one is asked for

    def alone(self, number: int, payload: bytes) -> Script:
        return Script("/", (b"?",), payload)

    def publisher(self) -> Script:
        return Script("/", (b"?",))

    def publish(self, payload: bytes) -> bytes:
        return b"=" + payload


class Nchan:
    """A channel for the room, and one for each connection, on which it publishes to itself."""

    subprotocol = ""
    ping = b""

    def member(self, number: int) -> Script:
        return Script(f"/sub?id={ROOM}", ())

    def alone(self, number: int, payload: bytes) -> Script:
        return Script(f"/own?id={_own(number)}", (), payload)

    def publisher(self) -> Script:
        return Script(f"/pub?id={ROOM}", ())

    def publish(self, payload: bytes) -> bytes:
        return payload


class Centrifugo:
    """Its client protocol in Protocol Buffers, the compact one of its two encodings."""

    subprotocol = "centrifuge-protobuf"
    ping = b""
    _path = "/connection/websocket"

    def member(self, number: int) -> Script:
        return Script(self._path, (self._join(ROOM),))

    def alone(self, number: int, payload: bytes) -> Script:
        return Script(self._path, (self._join(_own(number)),), self._publish(_own(number), payload))

    def publisher(self) -> Script:
        return Script(self._path, (_command(1, _CONNECT, b""),))

    def publish(self, payload: bytes) -> bytes:
        return self._publish(ROOM, payload)

    def _join(self, channel: str) -> bytes:
        return _command(1, _CONNECT, b"") + _command(2, _SUBSCRIBE, _field(1, channel.encode()))

    def _publish(self, channel: str, payload: bytes) -> bytes:
        return _command(3, _PUBLISH, _field(1, channel.encode()) + _field(2, payload))


class Mqtt:
    """MQTT 3.1.1 over TCP, QoS 0, clean sessions. user: named where a server wants one."""

    subprotocol = ""
    ping = b"\xc0\x00"

    def __init__(self, user: str = "") -> None:
        self._user = user

    def member(self, number: int) -> Script:
        return Script("", (self._connect(number), _packet(0x82, b"\0\1" + _text(ROOM) + b"\0")))

    def alone(self, number: int, payload: bytes) -> Script:
        own = _own(number)
        hello = self._connect(number), _packet(0x82, b"\0\1" + _text(own) + b"\0")
        return Script("", hello, _packet(0x30, _text(own) + payload))

    def publisher(self) -> Script:
        return Script("", (self._connect(999_999),))

    def publish(self, payload: bytes) -> bytes:
        return _packet(0x30, _text(ROOM) + payload)

    def _connect(self, number: int) -> bytes:
        keep_alive_s = 600
        who = _text(f"c{number:06}") + (_text(self._user) + _text("any") if self._user else b"")
        flags = 0xC2 if self._user else 0x02
        return _packet(0x10, _text("MQTT") + bytes((4, flags)) + keep_alive_s.to_bytes(2, "big") + who)


_CONNECT: Final = 4
_SUBSCRIBE: Final = 5
_PUBLISH: Final = 7


def _own(number: int) -> str:
    return f"own{number:06}"


def _command(number: int, kind: int, body: bytes) -> bytes:
    """A centrifuge Command, with its length before it as in a stream of them."""
    command = bytes((0x08, number)) + _field(kind, body)
    return _varint(len(command)) + command


def _field(number: int, value: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + _varint(len(value)) + value


def _packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + _varint(len(body)) + body


def _text(text: str) -> bytes:
    return len(text).to_bytes(2, "big") + text.encode()


def _varint(value: int) -> bytes:
    """Seven bits a byte, the least significant first: MQTT and Protocol Buffers write lengths alike."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))
