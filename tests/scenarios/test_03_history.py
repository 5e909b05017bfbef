"""Chapter 3, history: pages in both directions, and the list of what changed. Read next: test_04_malformed.py."""

from __future__ import annotations

from typing import Final

import pytest

from longlink import errors
from longlink.protocol.frames import Content, Custom, Frame, History, ListConversations, ReadHistory, Send

from .people import Door, Guest, error_of
from .raw import Kind

BOTH: Final = True
SETTINGS: Final = {"LONGLINK_CONNECTION_MESSAGE_RATE": "0", "LONGLINK_LIMITS_WORK_RATE": "0"}
"""So that filling a conversation takes no time."""
COUNT: Final = 230
PAGE_BYTES: Final = 262_144 // 4
"""A page of history fills at most a quarter of connection.queue_bytes."""


def filled(alice: Guest, peer: str, count: int) -> str:
    conversation = alice.direct(peer)
    requests = [alice.post_text(conversation, f"m{n}", f"c{n}") for n in range(1, count + 1)]
    for request in requests:
        alice.sent(request)
    return conversation


def seqs(page: History) -> list[int]:
    return [message.seq for message in page.messages]


@pytest.mark.parametrize("kind", Kind, ids=str)
def test_pages_forward_and_backward_show_every_entry_once(door: Door, kind: Kind) -> None:
    alice = door.enter("alice", kind=kind)
    conversation = filled(alice, alice.user, COUNT)
    forward: list[int] = []
    more = True
    while more:
        page = alice.history(conversation, after=forward[-1] if forward else 0, limit=100)
        assert page.conversation == conversation
        assert page.head == COUNT
        forward += seqs(page)
        more = page.more
    assert forward == list(range(1, COUNT + 1))
    backward: list[int] = []
    more = True
    while more:
        page = alice.history(conversation, before=backward[0] if backward else COUNT + 1, limit=100)
        backward = seqs(page) + backward
        more = page.more
    assert backward == forward


def test_a_page_is_the_same_as_what_was_pushed(door: Door) -> None:
    alice, bob = door.enter("alice"), door.enter("bob")
    conversation = filled(alice, bob.user, 20)
    assert list(alice.history(conversation).messages) == [bob.message() for _ in range(20)]


def test_limits_are_kept_and_zero_means_fifty(door: Door) -> None:
    alice = door.enter("alice")
    conversation = filled(alice, alice.user, COUNT)
    assert seqs(alice.history(conversation)) == list(range(1, 51))
    assert seqs(alice.history(conversation, limit=1)) == [1]
    assert seqs(alice.history(conversation, limit=200)) == list(range(1, 201))
    assert seqs(alice.history(conversation, before=COUNT + 1)) == list(range(COUNT - 49, COUNT + 1))
    assert alice.history(conversation, limit=200).more
    assert not alice.history(conversation, after=COUNT - 50).more
    assert not alice.history(conversation, before=51).more
    assert alice.history(conversation, before=52).more


def test_pages_beyond_the_ends_are_empty(door: Door) -> None:
    alice = door.enter("alice")
    conversation = alice.direct(alice.user)
    for page in (alice.history(conversation), alice.history(conversation, before=1)):
        assert (seqs(page), page.head, page.more) == ([], 0, False)
    alice.say(conversation, "one")
    for page in (alice.history(conversation, after=1), alice.history(conversation, after=2**53 - 1)):
        assert (seqs(page), page.head, page.more) == ([], 1, False)
    assert seqs(alice.history(conversation, before=1)) == []
    page = alice.history(conversation, after=5, before=5)
    assert (seqs(page), page.more) == ([], False)
    assert seqs(alice.history(conversation, before=2**53 - 1)) == [1]


@pytest.mark.parametrize(
    "request_",
    [
        {"limit": 201},
        {"limit": 2**32 - 1},
        {"after": 2**53},
        {"before": 2**64 - 1},
        {"conversation": ""},
        {"conversation": "x" * 65},
    ],
    ids=str,
)
def test_a_page_that_cannot_be_meant_is_refused(door: Door, request_: dict[str, int | str]) -> None:
    alice = door.enter("alice")
    fields = {"conversation": alice.direct(alice.user), **request_}
    error_of(alice.ask(Frame(read_history=ReadHistory(**fields))), errors.FIELD_INVALID)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", Kind, ids=str)
def test_a_page_is_bounded_in_bytes_and_still_makes_progress(door: Door, kind: Kind) -> None:
    alice = door.enter("alice", kind=kind)
    conversation = alice.direct(alice.user)
    size = 30_000
    for n in range(1, 13):
        content = Content(custom=Custom(type="blob", data=bytes([n]) * size))
        assert alice.ask(Frame(send=Send(conversation=conversation, client_id=f"{n}", content=content))).sent.seq == n
    read: list[int] = []
    while True:
        page = alice.history(conversation, after=len(read), limit=200)
        assert page.ByteSize() <= PAGE_BYTES + size
        assert len(page.messages) >= 1, "each page makes progress"
        read += seqs(page)
        if not page.more:
            break
    assert read == list(range(1, 13))
    newest = alice.history(conversation, before=13, limit=200)
    assert newest.more
    assert seqs(newest)[-1] == 12


def test_the_list_of_conversations_pages_without_gap_or_repeat(door: Door) -> None:
    alice = door.enter("alice")
    opened = [alice.direct(door.enter(f"peer{n}").user) for n in range(25)]
    listed: list[str] = []
    cursor = ""
    while True:
        page = alice.conversations(limit=10, cursor=cursor)
        listed += [conversation.id for conversation in page.conversations]
        cursor = page.next
        if not cursor:
            break
    assert listed == opened, "oldest change first"
    assert page.synced_at > 0


def test_only_what_changed_since_the_last_sync_is_listed_again(door: Door) -> None:
    alice, bob, carol = door.enter("alice"), door.enter("bob"), door.enter("carol")
    with_bob, with_carol = alice.direct(bob.user), alice.direct(carol.user)
    alice.say(with_bob, "one")
    first = alice.conversations()
    assert {conversation.id for conversation in first.conversations} == {with_bob, with_carol}
    bob.say(with_bob, "two")
    bob.ack(with_bob, 1)
    second = alice.conversations(since=first.synced_at)
    changed = {conversation.id: conversation for conversation in second.conversations}
    assert with_bob in changed
    assert changed[with_bob].head == 2
    assert {member.user: member.delivered for member in changed[with_bob].members} == {alice.user: 1, bob.user: 1}
    assert second.synced_at >= first.synced_at
    newest = max(conversation.changed_at for conversation in second.conversations)
    later = alice.conversations(since=newest + 1)
    assert list(later.conversations) == []
    assert later.next == ""


def test_a_sync_that_runs_beside_senders_misses_nothing(door: Door) -> None:
    alice = door.enter("alice")
    peers = [door.enter(f"peer{n}") for n in range(8)]
    conversations = [peer.direct(alice.user) for peer in peers]
    seen: dict[str, int] = {}
    since = 0
    for round_ in range(30):
        posted = [
            peer.post_text(conversation, f"{round_}", f"{round_}")
            for peer, conversation in zip(peers, conversations, strict=True)
        ]
        page = alice.conversations(since=since, limit=200)
        assert page.next == ""
        since = page.synced_at
        seen |= {conversation.id: conversation.head for conversation in page.conversations}
        for peer, request in zip(peers, posted, strict=True):
            peer.sent(request)
    last = alice.conversations(since=since, limit=200)
    seen |= {conversation.id: conversation.head for conversation in last.conversations}
    assert seen == dict.fromkeys(conversations, 30)


@pytest.mark.parametrize(
    "request_",
    [{"limit": 201}, {"since": -1}, {"cursor": "no cursor of yours"}, {"cursor": "x" * 300}, {"cursor": "\x00"}],
    ids=str,
)
def test_a_list_that_cannot_be_meant_is_refused(door: Door, request_: dict[str, int | str]) -> None:
    alice = door.enter("alice")
    error_of(alice.ask(Frame(list_conversations=ListConversations(**request_))), errors.FIELD_INVALID)  # type: ignore[arg-type]
