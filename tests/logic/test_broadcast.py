"""broadcast: what the operator says reaches the bus in both encodings, or is refused with the reason."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from longlink import config, errors
from longlink.errors import LonglinkError
from longlink.logic.broadcast import Handed, broadcast
from longlink.ops.metrics import Counts
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Content, Frame, Notice
from longlink.routing.bus.base import Ending, Parcel
from longlink.routing.registry import MemorySessions
from longlink.routing.sessions import Session

NOON_MS = 1_790_000_000_000


class Notebook:
    """A bus of three gateways that writes down what is broadcast."""

    def __init__(self) -> None:
        self.said: list[tuple[bytes, bytes]] = []

    def publish(self, gateway: int, parcels: Sequence[Parcel]) -> None:
        raise AssertionError("a broadcast is no parcel")

    def end(self, gateway: int, endings: Sequence[Ending]) -> None:
        raise AssertionError("a broadcast ends nobody")

    def broadcast(self, binary: bytes, text: bytes) -> int:
        self.said.append((binary, text))
        return 3


def say(text: str, bus: Notebook, most_bytes: int = 100) -> Handed:
    sessions = MemorySessions(config.Sessions(), Counts(), lambda: 0.0)
    for number in range(5):
        sessions.add(Session(f"user-{number}", "phone", "", number + 1, number + 1, number, Encoding.BINARY))
    return broadcast(text, sessions, bus, NOON_MS, most_bytes)


def test_a_notice_goes_out_once_in_each_encoding_with_the_time() -> None:
    bus = Notebook()
    assert say("back at nine", bus) == Handed(sessions=5, gateways=3)
    ((binary, text),) = bus.said
    expected = Frame(notice=Notice(content=Content(text="back at nine"), sent_at=NOON_MS))
    assert Encoding.BINARY.decode(binary) == Encoding.TEXT.decode(text) == expected


def test_nothing_to_say_and_too_much_to_say_are_refused() -> None:
    bus = Notebook()
    for text, row in (
        ("", errors.FIELD_INVALID),
        ("caf\udce9", errors.FIELD_INVALID),
        ("ü" * 51, errors.FRAME_TOO_LARGE),
    ):
        with pytest.raises(LonglinkError) as caught:
            say(text, bus)
        assert caught.value.row is row
    assert bus.said == []
    assert say("ü" * 50, bus).sessions == 5
