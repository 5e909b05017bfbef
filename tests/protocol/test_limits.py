"""The edges of every rule. What lies beyond them is in proto/vectors/malformed.json, under `refused`."""

from __future__ import annotations

import pytest

from longlink import errors
from longlink.errors import LonglinkError
from longlink.protocol import limits
from longlink.protocol.frames import (
    EVENTS,
    REPLIES,
    REQUESTS,
    Ack,
    Connect,
    Content,
    Custom,
    Frame,
    ListConversations,
    OpenDirect,
    ReadHistory,
    Send,
)

TEXT = Content(text="x")
LONGEST = "x" * 64

GOOD = [
    Frame(connect=Connect(version=1, token="t", device="A-z_0.9:x", agent="")),
    Frame(connect=Connect(version=1, token="", device=LONGEST, agent=LONGEST)),
    Frame(open_direct=OpenDirect(user="a")),
    Frame(open_direct=OpenDirect(user="王 Zoë 👋")),
    Frame(open_direct=OpenDirect(user="é" * 32)),
    Frame(send=Send(conversation=LONGEST, client_id=LONGEST, content=TEXT)),
    Frame(send=Send(conversation="c", client_id=" ~", content=Content(text="\x00"))),
    Frame(send=Send(conversation="c", client_id="m", content=Content(custom=Custom(type="y" * 128)))),
    Frame(ack=Ack(conversation="c", seq=1)),
    Frame(ack=Ack(conversation="c", seq=2**53 - 1)),
    Frame(read_history=ReadHistory(conversation="c")),
    Frame(read_history=ReadHistory(conversation="c", after=2**53 - 1, limit=200)),
    Frame(read_history=ReadHistory(conversation="c", before=1, limit=1)),
    Frame(read_history=ReadHistory(conversation="c", after=1, before=2)),
    Frame(read_history=ReadHistory(conversation="c", after=2, before=2)),
    Frame(list_conversations=ListConversations()),
    Frame(list_conversations=ListConversations(since=2**53 - 1, limit=200, cursor="c" * 256)),
]

BAD = [
    (Frame(connect=Connect(version=1, device="")), "connect.device: expected 1 to 64 characters"),
    (Frame(connect=Connect(version=1, device="é")), "connect.device"),
    (Frame(connect=Connect(version=1, device="d\n")), "connect.device"),
    (Frame(connect=Connect(version=1, device="d", agent="é")), "connect.agent"),
    (
        Frame(open_direct=OpenDirect(user="\x85")),
        r"open_direct.user: expected 1 to 64 bytes.*got 1 .*'\\x85'",
    ),
    (Frame(open_direct=OpenDirect(user="\u3000a")), "open_direct.user"),
    (Frame(send=Send(conversation="c\n", client_id="m", content=TEXT)), "send.conversation: expected 1 to 64"),
    (Frame(send=Send(conversation="c", client_id="\x7f", content=TEXT)), "send.client_id: expected 1 to 64"),
    (Frame(send=Send(conversation="c", client_id="m")), "send.content: expected a text or a custom content, got nei"),
    (Frame(ack=Ack(conversation="", seq=1)), "ack.conversation: expected 1 to 64 .* got nothing"),
    (Frame(ack=Ack(conversation="c", seq=2**64 - 1)), "ack.seq: expected 1 to 9007199254740991; got 184467"),
    (Frame(read_history=ReadHistory(conversation="")), "read_history.conversation"),
    (Frame(read_history=ReadHistory(conversation="c", after=2**53)), "read_history.after"),
    (Frame(read_history=ReadHistory(conversation="c", before=2**53)), "read_history.before"),
    (Frame(list_conversations=ListConversations(limit=201)), "list_conversations.limit: expected 0 to 200; got 201"),
    (Frame(list_conversations=ListConversations(cursor="é")), "list_conversations.cursor"),
]


def test_every_request_has_a_rule() -> None:
    assert set(limits.CHECKS) == set(REQUESTS)


@pytest.mark.parametrize("frame", GOOD, ids=str)
def test_values_at_the_edge_pass(frame: Frame) -> None:
    limits.check(frame)


@pytest.mark.parametrize(("frame", "message"), BAD, ids=[message for _, message in BAD])
def test_values_beyond_the_edge_are_named(frame: Frame, message: str) -> None:
    with pytest.raises(LonglinkError, match=message) as caught:
        limits.check(frame)
    assert caught.value.row is errors.FIELD_INVALID


def test_another_version_is_its_own_error() -> None:
    with pytest.raises(LonglinkError, match=r"connect\.version: expected 1, got 2") as caught:
        limits.check(Frame(connect=Connect(version=2, device="d")))
    assert caught.value.row is errors.VERSION_UNSUPPORTED


@pytest.mark.parametrize("name", [*REPLIES, *EVENTS])
def test_frames_that_are_no_requests_are_left_alone(name: str) -> None:
    frame = Frame()
    getattr(frame, name).SetInParent()
    limits.check(frame)


def test_an_error_repeats_at_most_64_characters_of_what_came() -> None:
    with pytest.raises(LonglinkError) as caught:
        limits.check(Frame(open_direct=OpenDirect(user="x" * 60_000)))
    assert "60000 characters" in caught.value.message
    assert len(caught.value.message) < 200
