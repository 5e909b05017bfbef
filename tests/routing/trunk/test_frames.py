"""Records of the trunk: what goes in comes out, however it was cut on the way."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longlink.protocol.codec import Encoding
from longlink.routing.bus.base import Ending, Parcel
from longlink.routing.calls import Reply
from longlink.routing.sessions import FRESH, Arrival, Session
from longlink.routing.trunk.frames import (
    LARGEST_RECORD,
    Ask,
    Broadcast,
    Calls,
    Came,
    Endings,
    Hello,
    Lost,
    Parcels,
    Reader,
    Replies,
    Told,
    TrunkFrame,
    Welcome,
    Went,
    encode,
)

ALICE = Session("älice", "phone", "ios", 2**52 - 1, 2**52 - 3, 2**52 - 2, Encoding.BINARY)
BOB = Session("bob", "tab", "", 1, 1, 1, Encoding.TEXT)
FRAMES: list[TrunkFrame] = [
    Hello(b"\x00secret", 2**18 - 1, again=True, restarts=3, numbers=b"\x80"),
    Came([(ALICE, Arrival(True, 2**52 - 5, 300, missed=True)), (BOB, FRESH)], again=True),
    Went([ALICE]),
    Calls(1, [(ALICE, b"\x08\x01"), (BOB, b"")]),
    Welcome(),
    Replies(1, [Reply(b"\xff" * 300, 0), Reply(b"", 4010)]),
    Parcels([Parcel((1, 2**52 - 1), b"{}", 1, text=True)]),
    Endings([Ending(7, 8, 4520, "wäy")]),
    Lost(),
    Broadcast(b"frame", b"{}"),
    Ask(3, "numbers"),
    Told(3, b"\x80", 4015),
]


@given(st.lists(st.lists(st.sampled_from(FRAMES), max_size=5), max_size=5), st.data())
def test_what_goes_in_comes_out_however_it_is_cut(records: list[list[TrunkFrame]], data: st.DataObject) -> None:
    sent = b"".join(encode(frames) for frames in records)
    reader, came, place = Reader(), [], 0
    while place < len(sent):
        size = data.draw(st.integers(1, len(sent) - place))
        came += list(reader.take(sent[place : place + size]))
        place += size
    assert came == records


def test_every_frame_survives_byte_for_byte_delivery() -> None:
    reader = Reader()
    came = [frames for byte in encode(FRAMES) for frames in reader.take(bytes([byte]))]
    assert came == [FRAMES]


def test_a_length_that_no_queue_allows_is_no_length() -> None:
    with pytest.raises(ValueError, match=f"expected a record of at most {LARGEST_RECORD} bytes"):
        list(Reader().take(struct.pack("<I", LARGEST_RECORD + 1)))
