"""Coming back: one bounded answer says what happened while a device was away, and read marks follow the user.

Goals come from SPEC.md sections 6.5 and 6.6 and from the checklist of device sync. Read next: ../storage/test_sync.py.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from longlink import errors
from longlink.config import Storage
from longlink.protocol.frames import (
    Ack,
    Acked,
    Change,
    Content,
    Frame,
    Mark,
    Marked,
    ReadHistory,
    Send,
    Sent,
    Sync,
    Synced,
)
from longlink.storage.base import Append
from longlink.storage.sqlite import open_store
from longlink.testing import RunningServer, run_server

from .people import Couple, Door, Guest, error_of, failures, send_frame
from .raw import Kind

BOTH: Final = True
LARGEST: Final = 48 * 1024
"""Bytes of one answer to Sync, in Protocol Buffers."""
MANY: Final = 10_000


def sync(link: Guest, *, since: int = 0, cursor: str = "", limit: int = 0, messages: int = 0) -> Synced:
    answer = link.ask(Frame(sync=Sync(since=since, cursor=cursor, limit=limit, messages=messages)))
    assert answer.WhichOneof("body") == "synced", answer
    assert answer.ByteSize() <= LARGEST
    return answer.synced


def whole_pass(
    link: Guest, since: int, *, limit: int, meanwhile: Callable[[], None] = lambda: None
) -> tuple[list[Change], int, int]:
    """All changes of a pass, its synced_at, and the number of exchanges; after each something happens meanwhile."""
    changes: list[Change] = []
    cursor, places, exchanges = "", set(), 0
    while not exchanges or cursor:
        page = sync(link, since=since, cursor=cursor, limit=limit)
        changes += page.changes
        places.add(page.synced_at)
        cursor, exchanges = page.next, exchanges + 1
        meanwhile()
    (synced_at,) = places
    return changes, synced_at, exchanges


def seqs(change: Change) -> list[int]:
    return [message.seq for message in change.messages]


def read(link: Guest, conversation: str, seq: int) -> Acked:
    answer = link.ask(Frame(ack=Ack(conversation=conversation, read=seq)))
    assert answer.WhichOneof("body") == "acked", answer
    return answer.acked


@pytest.mark.parametrize("kind", Kind, ids=str)
def test_a_device_that_was_away_gets_what_it_lacks_in_one_exchange(door: Door, kind: Kind) -> None:
    alice, bob = door.enter("alice"), door.enter("bob", kind=kind)
    quiet, busy = alice.direct(alice.user), alice.direct(bob.user)
    alice.say(busy, "before")
    alice.say(quiet, "a note")
    since = sync(bob).synced_at
    bob.close()
    said = [alice.say(busy, f"while away {n}") for n in range(3)]
    bob = door.enter("bob", kind=kind)
    page = sync(bob, since=since)
    (change,) = page.changes
    assert change.conversation.id == busy
    assert (change.conversation.head, change.conversation.unread) == (4, 4)
    assert seqs(change)[-3:] == [one.seq for one in said]
    assert [message.content.text for message in change.messages][-3:] == [f"while away {n}" for n in range(3)]
    assert (page.next, page.complete, change.more) == ("", True, False)
    again = sync(bob, since=page.synced_at)
    assert {one.conversation.head for one in again.changes} <= {4}, "what comes again is the same"


def test_a_new_device_gets_the_newest_first_and_reads_the_rest_between_two_bounds(door: Door) -> None:
    alice, bob = door.enter("alice"), door.enter("bob")
    chats = [alice.direct(peer.user) for peer in (bob, door.enter("carol"), door.enter("dave"))]
    for place, chat in enumerate(chats):
        for n in range(8):
            alice.say(chat, f"{place} {n}")
    page = sync(door.enter("alice", "tablet"), messages=3)
    assert [change.conversation.id for change in page.changes] == chats[::-1]
    assert [(seqs(change), change.more) for change in page.changes] == [([6, 7, 8], True)] * 3
    assert not page.complete
    request = ReadHistory(conversation=chats[0], after=2, before=6)
    history = alice.ask(Frame(read_history=request)).history
    assert ([message.seq for message in history.messages], history.more) == ([3, 4, 5], False)
    request.limit = 2
    history = alice.ask(Frame(read_history=request)).history
    assert ([message.seq for message in history.messages], history.more) == ([3, 4], True)
    request.after = 5
    assert list(alice.ask(Frame(read_history=request)).history.messages) == []


def test_places_that_cannot_be_meant_are_refused_and_nothing_else_happens(door: Door) -> None:
    alice, bob = door.enter("alice"), door.enter("bob")
    for peer in (bob.user, alice.user):
        alice.say(alice.direct(peer), "one")
    now = sync(alice).synced_at
    for since in (now + 3_600_000, 2**53 - 1):
        error = error_of(alice.ask(Frame(sync=Sync(since=since))), errors.SINCE_AHEAD)
        assert str(since) in error.message
    cursor = sync(alice, limit=1).next
    assert cursor
    for link, fields in (
        (bob, {"cursor": cursor}),
        (alice, {"cursor": cursor[:-1]}),
        (alice, {"cursor": alice.conversations(limit=1).next}),
        (alice, {"cursor": "x" * 257}),
        (alice, {"since": -1}),
        (alice, {"since": 2**53}),
        (alice, {"limit": 201}),
        (alice, {"messages": 101}),
    ):
        error_of(link.ask(Frame(sync=Sync(**fields))), errors.FIELD_INVALID)
    assert len(sync(alice, cursor=cursor).changes) == 1
    assert sync(alice, since=now).synced_at == now


def test_the_same_client_id_with_another_text_is_refused_and_stays_what_it_was(door: Door) -> None:
    alice, bob = door.enter("alice"), door.enter("bob")
    chat = alice.direct(bob.user)
    first = alice.say(chat, "yes", "answer")
    error_of(alice.ask(send_frame(chat, "no", "answer")), errors.CONTENT_DIFFERS)
    mentioning = Send(conversation=chat, client_id="answer", content=Content(text="yes", mentions=[bob.user]))
    error_of(alice.ask(Frame(send=mentioning)), errors.CONTENT_DIFFERS)
    assert alice.say(chat, "yes", "answer") == Sent(
        conversation=chat, seq=1, client_id="answer", sent_at=first.sent_at, stamp=first.stamp, duplicate=True
    )
    (change,) = sync(bob).changes
    assert [message.content.text for message in change.messages] == ["yes"]
    assert (change.conversation.unread, change.conversation.mentions) == (1, 0)


def test_a_read_mark_follows_its_user_to_all_devices_and_never_goes_back(door: Door) -> None:
    alice, phone, laptop = door.enter("alice"), door.enter("bob", "phone"), door.enter("bob", "laptop")
    chat = alice.direct(phone.user)
    for n in range(5):
        alice.say(chat, f"{n}")
    for link in (phone, laptop):
        assert link.pending() == ["message"] * 5
        link.events.clear()
    assert read(phone, chat, 3) == Acked(conversation=chat, seq=3, read=3)
    for link in (alice, laptop):
        assert link.pending() == ["read"], "the read mark says what the delivered one would"
        event = link.event().read
        assert (event.conversation, event.user, event.seq) == (chat, phone.user, 3)
    assert phone.pending() == []
    assert read(laptop, chat, 2) == Acked(conversation=chat, seq=3, read=3)
    error_of(laptop.ask(Frame(ack=Ack(conversation=chat, read=6))), errors.SEQ_AHEAD)
    error_of(laptop.ask(Frame(ack=Ack(conversation=chat, seq=6, read=5))), errors.SEQ_AHEAD)
    assert (alice.pending(), phone.pending()) == ([], [])
    (change,) = sync(laptop).changes
    assert change.conversation.unread == 2
    assert {one.user: (one.delivered, one.read) for one in change.conversation.members} == {
        alice.user: (5, 5),
        phone.user: (3, 3),
    }


def test_marks_of_many_conversations_are_one_exchange_in_which_each_stands_for_itself(door: Door) -> None:
    bob, alice, carol = door.enter("bob"), door.enter("alice"), door.enter("carol")
    one, two, foreign = alice.direct(bob.user), carol.direct(bob.user), alice.direct(carol.user)
    for link, chat in ((alice, one), (alice, one), (carol, two), (alice, foreign)):
        link.say(chat, "hello")
    assert carol.pending() == ["message"]
    carol.events.clear()
    asked = [(one, 2, 1), (two, 9, 0), (foreign, 1, 1), ("d_nothing", 1, 0), (two, 1, 1), (one, 1, 0)]
    marks = [Mark(conversation=chat, seq=seq, read=read_) for chat, seq, read_ in asked]
    acked = bob.ask(Frame(ack=Ack(marks=marks))).acked
    assert list(acked.marks) == [
        Marked(conversation=one, seq=2, read=1),
        Marked(conversation=two, code=errors.SEQ_AHEAD.code),
        Marked(conversation=foreign, code=errors.NOT_A_MEMBER.code),
        Marked(conversation="d_nothing", code=errors.CONVERSATION_UNKNOWN.code),
        Marked(conversation=two, seq=1, read=1),
        Marked(conversation=one, seq=2, read=1),
    ]
    assert alice.pending() == ["read", "delivered"]
    assert carol.pending() == ["read"]
    for bad in (Ack(conversation=one, seq=1, marks=marks), Ack(marks=marks * 34), Ack(conversation=one)):
        error_of(bob.ask(Frame(ack=bad)), errors.FIELD_INVALID)


def test_mentions_of_members_are_counted_until_they_are_read(door: Door) -> None:
    alice, bob = door.enter("alice"), door.enter("bob")
    chat = alice.direct(bob.user)
    contents = [
        Content(text="to you", mentions=[bob.user, bob.user, "somebody else"]),
        Content(text="to nobody here", mentions=["somebody else", alice.user]),
        Content(text="to all", mentions_all=True),
    ]
    for n, content in enumerate(contents):
        alice.ask(Frame(send=Send(conversation=chat, client_id=f"{n}", content=content)))
        assert bob.message().content == content, "what was said stays as it was said"
    assert [(one.unread, one.mentions) for one in bob.conversations().conversations] == [(3, 2)]
    read(bob, chat, 1)
    assert [(one.unread, one.mentions) for one in bob.conversations().conversations] == [(2, 1)]
    assert [(one.unread, one.mentions) for one in alice.conversations().conversations] == [(0, 0)]
    for mentions in ([""], ["x" * 65], [bob.user] * 51):
        content = Content(text="?", mentions=mentions)
        send = Frame(send=Send(conversation=chat, client_id="bad", content=content))
        error_of(alice.ask(send), errors.FIELD_INVALID)


@pytest.mark.parametrize(("setting", "told", "shown"), [("delivered", ["delivered"], (1, 0)), ("none", [], (0, 0))])
def test_marks_that_are_private_are_seen_by_the_own_devices_only(
    setting: str, told: list[str], shown: tuple[int, int]
) -> None:
    with run_server(settings={"LONGLINK_RECEIPTS_DIRECT": setting}) as server, Door(server) as door:
        alice, phone, laptop = door.enter("alice"), door.enter("bob", "phone"), door.enter("bob", "laptop")
        chat = alice.direct(phone.user)
        alice.say(chat, "1")
        assert laptop.pending() == ["message"]
        laptop.events.clear()
        read(phone, chat, 1)
        assert (alice.pending(), laptop.pending()) == (told, ["read"])
        for link, seen in ((alice, shown), (laptop, (1, 1))):
            (change,) = sync(link).changes
            marks = {one.user: (one.delivered, one.read) for one in change.conversation.members}
            assert marks[phone.user] == seen


def test_pages_miss_nothing_while_conversations_overtake_them(door: Door) -> None:
    alice = door.enter("alice")
    peers = [door.enter(f"peer{n}", kind=Kind.TCP_BINARY) for n in range(12)]
    chats = [alice.direct(peer.user) for peer in peers]
    heads = dict.fromkeys(chats, 0)
    choice = random.Random(12)
    changes: list[Change] = []
    cursor, pages = "", 0
    while not pages or cursor:
        page = sync(alice, cursor=cursor, limit=3)
        changes += page.changes
        cursor, pages = page.next, pages + 1
        for place in choice.sample(range(12), 2) if pages < 10 and cursor else ():
            heads[chats[place]] = peers[place].say(chats[place], f"{pages}").seq
    assert {change.conversation.id for change in changes} >= heads.keys()
    # What has changed behind its page is left to the next pass.
    changes += sync(alice, since=page.synced_at).changes
    alice.events.clear()
    seen: dict[str, int] = {}
    for change in changes:
        seen[change.conversation.id] = max(seen.get(change.conversation.id, 0), change.conversation.head)
    assert seen == heads


# Many conversations --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server on whose disk alice has 1,000 conversations and bob MANY, two messages in each."""
    folder = tmp_path_factory.mktemp("crowded") / "data"
    asyncio.run(_fill(folder))
    # Two users ask for all pages as fast as they come; what a user may ask for is tested elsewhere.
    with run_server(folder, {"LONGLINK_LIMITS_WORK_RATE": "1000000000"}) as server:
        yield server


async def _fill(folder: Path) -> None:
    store = await open_store(folder, Storage(queue=50_000))
    peers = [f"peer-{n}" for n in range(MANY)]
    await store.users.remember(["alice", "bob", *peers])
    for user, number in (("alice", 1_000), ("bob", MANY)):
        for begin in range(0, number, 1_000):
            opened = [store.conversations.open_direct(user, peer) for peer in peers[begin : begin + 1_000]]
            chats = [(await one).conversation.id for one in opened]
            text = Content(text="hello").SerializeToString()
            items = [
                Append(chat, peer, name, text)
                for chat, peer in zip(chats, peers[begin:], strict=False)
                for name in "ab"
            ]
            await store.messages.append(items)
    await store.close()


def test_ten_of_a_thousand_conversations_that_changed_are_one_small_exchange(crowded: RunningServer) -> None:
    with Door(crowded) as door:
        alice = door.open()
        alice.connect("alice", "phone", crowded.token("alice"))
        changes, since, _ = whole_pass(alice, 0, limit=200)
        assert len(changes) == 1_000
        for n in range(10):
            peer = door.open(Kind.TCP_BINARY)
            peer.connect(f"peer-{n * 100}", "phone", crowded.token(f"peer-{n * 100}"))
            chat = peer.direct("alice")
            for m in range(15):
                peer.say(chat, f"message {m} of {n}, about as long as people write on a phone")
        alice.events.clear()
        page = sync(alice, since=since + 1)
        assert (len(page.changes), page.next, page.complete) == (10, "", True)
        assert [seqs(change) for change in page.changes] == [list(range(3, 18))] * 10
        assert Frame(synced=page).ByteSize() <= 50_000


def test_ten_thousand_conversations_are_one_pass_of_bounded_pages_and_others_go_on(crowded: RunningServer) -> None:
    with Door(crowded) as door:
        bob = door.open()
        bob.connect("bob", "phone", crowded.token("bob"))
        couple = Couple(door)
        changes, since, exchanges = whole_pass(bob, 0, limit=200, meanwhile=couple.talk)
        assert len(changes) == MANY
        assert len({change.conversation.id for change in changes}) == MANY
        assert all(change.conversation.unread == 2 for change in changes)
        assert exchanges == MANY // 200
        assert all(seqs(change) in ([], [2], [1, 2]) for change in changes)
        assert sync(bob, since=since).complete
        assert failures(crowded) == []
