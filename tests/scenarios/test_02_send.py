"""Chapter 2, send: the six packets, resends, order, and who hears what. Read next: test_03_history.py."""

from __future__ import annotations

import time
from collections import Counter
from typing import Final

import pytest

from longlink import errors
from longlink.protocol.frames import (
    Ack,
    Content,
    Custom,
    Frame,
    ListConversations,
    Message,
    OpenDirect,
    ReadHistory,
    Send,
    Sent,
    body_name,
)

from .people import Door, error_of, send_frame
from .raw import Kind

BOTH: Final = True
PAIRS: Final = [(sender, receiver) for sender in Kind for receiver in Kind]


@pytest.mark.parametrize(("sender", "receiver"), PAIRS, ids=[f"{a}-{b}" for a, b in PAIRS])
def test_the_six_packets_come_in_order_with_their_contents(door: Door, sender: Kind, receiver: Kind) -> None:
    bob, alice = door.enter("bob", kind=receiver), door.enter("alice", kind=sender)
    conversation = alice.direct(bob.user)
    before_ms = time.time_ns() // 1_000_000
    sent = alice.say(conversation, "hello, 世界 \U0001f30d", "first")
    assert sent == Sent(conversation=conversation, seq=1, client_id="first", sent_at=sent.sent_at, stamp=sent.stamp)
    assert sent.stamp > 0
    assert before_ms <= sent.sent_at <= time.time_ns() // 1_000_000
    assert bob.message() == Message(
        conversation=conversation,
        seq=1,
        sender=alice.user,
        client_id="first",
        sent_at=sent.sent_at,
        stamp=sent.stamp,
        content=Content(text="hello, 世界 \U0001f30d"),
    )
    acked = bob.ack(conversation, 1)
    assert (acked.conversation, acked.seq) == (conversation, 1)
    delivered = alice.event()
    assert body_name(delivered) == "delivered"
    assert (delivered.delivered.conversation, delivered.delivered.user) == (conversation, bob.user)
    assert delivered.delivered.seq == 1
    assert (alice.pending(), bob.pending()) == ([], [])


@pytest.mark.parametrize("kind", Kind, ids=str)
def test_custom_content_travels_untouched(door: Door, kind: Kind) -> None:
    bob, alice = door.enter("bob", kind=kind), door.enter("alice", kind=kind)
    conversation = alice.direct(bob.user)
    content = Content(custom=Custom(type="image/png", data=bytes(range(256))))
    request = Frame(send=Send(conversation=conversation, client_id="picture", content=content))
    assert body_name(alice.ask(request)) == "sent"
    assert bob.message().content == content
    assert bob.history(conversation).messages[0].content == content


def test_a_message_goes_to_every_device_of_both_users_but_not_back_to_its_sender(door: Door) -> None:
    bobs = [door.enter("bob", f"device-{kind}", kind) for kind in Kind]
    alices = [door.enter("alice", f"device-{kind}", kind) for kind in Kind]
    stranger = door.enter("carol")
    conversation = alices[0].direct(bobs[0].user)
    alices[0].say(conversation, "to all of us", "one")
    pushed = [link.message() for link in [*bobs, *alices[1:]]]
    assert {message.SerializeToString() for message in pushed} == {pushed[0].SerializeToString()}
    for link in [*bobs, *alices, stranger]:
        assert link.pending() == []


def test_an_ack_is_told_to_the_other_user_once_and_only_when_the_mark_moves(door: Door) -> None:
    phone, laptop = door.enter("bob", "phone"), door.enter("bob", "laptop")
    alice = door.enter("alice")
    conversation = alice.direct(phone.user)
    for text in ("one", "two", "three"):
        alice.say(conversation, text)
    assert phone.ack(conversation, 2).seq == 2
    assert laptop.ack(conversation, 2).seq == 2
    assert laptop.ack(conversation, 1).seq == 2, "going back changes nothing and shows the mark that holds"
    assert phone.ack(conversation, 3).seq == 3
    assert alice.pending() == ["delivered", "delivered"]
    assert [alice.event().delivered.seq for _ in range(2)] == [2, 3]
    members = {member.user: member.delivered for member in alice.conversations().conversations[0].members}
    assert members == {phone.user: 3, alice.user: 3}


def test_a_resend_gets_the_first_answer_and_is_stored_and_pushed_once(door: Door) -> None:
    bob, alice = door.enter("bob"), door.enter("alice")
    conversation = alice.direct(bob.user)
    first = alice.say(conversation, "only once", "the-id")
    alice.say(conversation, "another", "other-id")
    again = alice.say(conversation, "only once", "the-id")
    assert again == Sent(
        conversation=conversation,
        seq=first.seq,
        client_id="the-id",
        sent_at=first.sent_at,
        stamp=first.stamp,
        duplicate=True,
    )
    other = door.enter("alice", "laptop", Kind.TCP_JSON)
    assert other.say(conversation, "only once", "the-id") == again, "from another device too"
    assert [message.seq for message in alice.history(conversation).messages] == [1, 2]
    assert bob.pending() == ["message", "message"]
    assert (alice.pending(), other.pending()) == ([], [])


def test_resends_pipelined_behind_the_first_are_the_same_message(door: Door) -> None:
    bob, alice = door.enter("bob"), door.enter("alice")
    conversation = alice.direct(bob.user)
    requests = [alice.post_text(conversation, "impatient", "the-id") for _ in range(20)]
    answers = [alice.sent(request) for request in requests]
    assert [answer.duplicate for answer in answers] == [False] + [True] * 19
    assert {(answer.seq, answer.sent_at) for answer in answers} == {(1, answers[0].sent_at)}
    assert bob.pending() == ["message"]


def test_the_same_client_id_with_other_content_is_refused(door: Door) -> None:
    bob, alice = door.enter("bob"), door.enter("alice")
    conversation = alice.direct(bob.user)
    alice.say(conversation, "yes", "the-id")
    error_of(alice.ask(send_frame(conversation, "no", "the-id")), errors.CONTENT_DIFFERS)
    assert [message.content.text for message in alice.history(conversation).messages] == ["yes"]
    assert bob.pending() == ["message"]


def test_the_same_client_id_of_another_user_or_conversation_is_another_message(door: Door) -> None:
    bob, carol, alice = door.enter("bob"), door.enter("carol"), door.enter("alice")
    with_bob, with_carol = alice.direct(bob.user), alice.direct(carol.user)
    assert with_bob != with_carol
    assert alice.say(with_bob, "a", "1").seq == 1
    assert alice.say(with_carol, "b", "1").seq == 1
    assert bob.say(with_bob, "c", "1").seq == 2


def test_twenty_senders_at_once_get_seqs_without_gap_and_receivers_see_them_in_order(door: Door) -> None:
    bob = door.enter("bob", "watching")
    senders = [door.enter("alice" if n % 2 else "bob", f"device-{n}", list(Kind)[n % 4]) for n in range(20)]
    conversation = senders[0].direct(door.name("alice"))
    each = 25
    posted = [
        [link.post_text(conversation, f"{n}/{i}", f"{n}-{i}") for i in range(each)] for n, link in enumerate(senders)
    ]
    answers = [[link.sent(request) for request in requests] for link, requests in zip(senders, posted, strict=True)]
    seqs = [answer.seq for of_one in answers for answer in of_one]
    assert sorted(seqs) == list(range(1, 20 * each + 1))
    for of_one in answers:
        assert [answer.seq for answer in of_one] == sorted(answer.seq for answer in of_one)
    pushed = [bob.message() for _ in range(20 * each)]
    assert [message.seq for message in pushed] == list(range(1, 20 * each + 1))
    assert [message.sent_at for message in pushed] == sorted(message.sent_at for message in pushed)
    assert bob.pending() == []
    by_id = {answer.client_id: answer.seq for of_one in answers for answer in of_one}
    assert {message.client_id: message.seq for message in pushed} == by_id


@pytest.mark.parametrize("kind", Kind, ids=str)
def test_pipelined_sends_of_one_connection_keep_their_order(door: Door, kind: Kind) -> None:
    bob, alice = door.enter("bob"), door.enter("alice", kind=kind)
    conversation = alice.direct(bob.user)
    requests = [alice.post_text(conversation, f"{n}", f"{n}") for n in range(300)]
    assert [alice.sent(request).seq for request in requests] == list(range(1, 301))
    assert [bob.message().content.text for _ in range(300)] == [f"{n}" for n in range(300)]


def test_two_users_who_open_each_other_at_once_meet_in_one_conversation(door: Door) -> None:
    alices = [door.enter("alice", f"d{n}") for n in range(5)]
    bobs = [door.enter("bob", f"d{n}") for n in range(5)]
    posted = [
        (link, link.post(Frame(open_direct=OpenDirect(user=peer))))
        for link, peer in [(a, bobs[0].user) for a in alices] + [(b, alices[0].user) for b in bobs]
    ]
    opened = [link.reply(request).conversation for link, request in posted]
    assert len({conversation.id for conversation in opened}) == 1
    assert {member.user for member in opened[0].members} == {alices[0].user, bobs[0].user}


def test_a_user_can_write_to_himself(door: Door) -> None:
    phone, laptop = door.enter("alice", "phone"), door.enter("alice", "laptop")
    conversation = phone.direct(phone.user)
    assert phone.say(conversation, "note").seq == 1
    assert laptop.message().content.text == "note"
    assert laptop.ack(conversation, 1).seq == 1
    assert laptop.pending() == []


def test_a_message_waits_for_a_user_who_has_never_connected(door: Door) -> None:
    alice = door.enter("alice")
    chat = alice.direct(door.name("newcomer"))
    assert alice.say(chat, "welcome").seq == 1
    newcomer = door.enter("newcomer")
    assert [message.content.text for message in newcomer.history(chat).messages] == ["welcome"]


def _requests(conversation: str) -> list[Frame]:
    return [
        send_frame(conversation, "let me in", "1"),
        Frame(ack=Ack(conversation=conversation, seq=1)),
        Frame(read_history=ReadHistory(conversation=conversation)),
    ]


@pytest.mark.parametrize("kind", Kind, ids=str)
def test_a_conversation_that_is_not_there_is_refused_to_all_verbs(door: Door, kind: Kind) -> None:
    alice = door.enter("alice", kind=kind)
    for request in _requests("d_there_is_no_such_one"):
        error_of(alice.ask(request), errors.CONVERSATION_UNKNOWN)
    assert alice.pending() == []


@pytest.mark.parametrize("kind", Kind, ids=str)
def test_who_is_not_a_member_neither_writes_nor_acks_nor_reads(door: Door, kind: Kind) -> None:
    bob, alice, eve = door.enter("bob"), door.enter("alice"), door.enter("eve", kind=kind)
    conversation = alice.direct(bob.user)
    alice.say(conversation, "between us")
    assert bob.message().seq == 1
    for request in _requests(conversation):
        error_of(eve.ask(request), errors.NOT_A_MEMBER)
    assert len(eve.conversations().conversations) == 0
    assert (alice.pending(), bob.pending()) == ([], [])
    assert alice.history(conversation).head == 1


def test_an_ack_ahead_of_the_head_is_refused_and_moves_nothing(door: Door) -> None:
    bob, alice = door.enter("bob"), door.enter("alice")
    conversation = alice.direct(bob.user)
    alice.say(conversation, "one")
    error_of(bob.ask(Frame(ack=Ack(conversation=conversation, seq=2))), errors.SEQ_AHEAD)
    error_of(bob.ask(Frame(ack=Ack(conversation=conversation, seq=2**53 - 1))), errors.SEQ_AHEAD)
    assert alice.pending() == []
    assert bob.ack(conversation, 1).seq == 1
    assert alice.pending() == ["delivered"]


def test_good_and_bad_sends_in_one_batch_do_not_touch_each_other(door: Door) -> None:
    bob, alice = door.enter("bob"), door.enter("alice")
    conversation = alice.direct(bob.user)
    requests = [alice.post_text(conversation if n % 3 else "d_there_is_no_such_one", f"{n}", f"{n}") for n in range(60)]
    names = Counter(body_name(alice.reply(request)) for request in requests)
    assert names == {"sent": 40, "error": 20}
    kept = [str(n) for n in range(60) if n % 3]
    assert [message.content.text for message in alice.history(conversation, limit=200).messages] == kept
    assert [bob.message().content.text for _ in range(40)] == kept


def test_requests_of_different_kinds_are_all_answered_under_their_ids(door: Door) -> None:
    bob, alice = door.enter("bob"), door.enter("alice")
    conversation = alice.direct(bob.user)
    alice.say(conversation, "one")
    expected = {
        alice.post_text(conversation, "two", "two"): "sent",
        alice.post(Frame(ack=Ack(conversation=conversation, seq=1))): "acked",
        alice.post(Frame(read_history=ReadHistory(conversation=conversation))): "history",
        alice.post(Frame(open_direct=OpenDirect(user=bob.user))): "conversation",
        alice.post(Frame(list_conversations=ListConversations())): "conversations",
        alice.post(Frame(ack=Ack(conversation=conversation, seq=99))): "error",
    }
    assert {request: body_name(alice.reply(request)) for request in expected} == expected
