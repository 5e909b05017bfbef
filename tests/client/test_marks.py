"""What is read, what is unread, what mentions the user; how it converges with the user's other devices."""

from __future__ import annotations

import random

import pytest

from longlink.client import track
from longlink.client.events import Delivered, Event, Message, Read
from longlink.client.inbox import GRACE_S, Inbox
from longlink.client.track import Track
from longlink.protocol import frames
from longlink.protocol.frames import Change, Content, Conversation, History, Member


def entry(seq: int, *, sender: str = "bob", mentions: tuple[str, ...] = (), everybody: bool = False) -> frames.Message:
    content = Content(text=str(seq), mentions=mentions, mentions_all=everybody)
    return frames.Message(conversation="c", seq=seq, sender=sender, client_id=f"{sender}{seq}", content=content)


def listed(head: int, *, mine: int = 0, read: int = 0, bob: int = 0, mentions: int = 0) -> Conversation:
    members = [Member(user="alice", delivered=mine, read=read), Member(user="bob", delivered=bob, read=bob)]
    return Conversation(id="c", head=head, members=members, unread=head - read, mentions=mentions)


def placed(head: int = 0, *, mine: int = 0, read: int = 0, mentions: int = 0, auto_ack: bool = True) -> Inbox:
    box = Inbox("mine-", 100, user="alice", auto_ack=auto_ack)
    box.listed(listed(head, mine=mine, read=read, mentions=mentions), 0.0)
    box.synced(1, 0.0)
    return box


def events(box: Inbox) -> list[Event]:
    found: list[Event] = []
    while (event := box.take(0.0)) is not None:
        found.append(event)
    return found


def seqs(box: Inbox) -> list[int]:
    return [event.seq for event in events(box) if isinstance(event, Message)]


def state(box: Inbox) -> Track:
    found = box.track("c")
    assert found is not None
    return found


# Reading --------------------------------------------------------------------------------------------------------------


def test_what_the_user_has_read_is_told_once_and_says_that_it_was_received() -> None:
    box = placed()
    for seq in (1, 2):
        box.pushed(entry(seq), 0.0)
    events(box)
    box.read("c", 2)
    assert box.acks(9) == [("c", 0, 2)]
    box.acked("c", 2, 2)
    box.read("c", 1)
    assert box.acks(9) == []


def test_what_was_received_beyond_the_read_mark_is_told_with_it() -> None:
    box = placed()
    for seq in (1, 2):
        box.pushed(entry(seq), 0.0)
    events(box)
    box.read("c", 1)
    assert box.acks(9) == [("c", 2, 1)]


def test_without_auto_ack_what_was_read_is_told_all_the_same() -> None:
    box = placed(auto_ack=False)
    box.pushed(entry(1), 0.0)
    events(box)
    assert box.acks(9) == []
    box.read("c", 1)
    assert box.acks(9) == [("c", 0, 1)]


def test_two_devices_converge_on_the_higher_read_mark() -> None:
    box = placed(head=9, mine=9)
    box.read_by(frames.Read(conversation="c", user="alice", seq=7))
    assert events(box) == [Read("c", "alice", 7)]
    assert state(box).unread == 2
    box.read_by(frames.Read(conversation="c", user="alice", seq=5))
    assert events(box) == []
    box.read("c", 6)
    assert (state(box).read, box.acks(9)) == (7, [])


def test_what_another_device_has_read_while_this_one_was_away_comes_with_the_sync() -> None:
    box = placed(head=9, mine=9)
    box.change(Change(conversation=listed(9, mine=9, read=8)), 0.0)
    assert events(box) == [Read("c", "alice", 8)]
    assert (state(box).unread, box.acks(9)) == (1, [])


def test_what_was_read_here_while_the_link_was_down_is_not_undone_by_the_sync() -> None:
    box = placed(head=9, mine=9)
    box.read("c", 8)
    box.change(Change(conversation=listed(9, mine=9, read=3)), 0.0)
    assert (state(box).unread, box.acks(9)) == (1, [("c", 0, 8)])


def test_who_has_read_has_received() -> None:
    box = placed(head=9, mine=9)
    box.delivered(frames.Delivered(conversation="c", user="bob", seq=5))
    box.read_by(frames.Read(conversation="c", user="bob", seq=6))
    assert events(box) == [Read("c", "bob", 6)]
    assert (state(box).delivered["bob"], state(box).reads["bob"]) == (6, 6)


def test_a_delivered_mark_above_the_read_one_is_an_event_of_its_own() -> None:
    box = placed(head=9, mine=9)
    box.delivered(frames.Delivered(conversation="c", user="bob", seq=7))
    box.read_by(frames.Read(conversation="c", user="bob", seq=6))
    assert events(box) == [Delivered("c", "bob", 7), Read("c", "bob", 6)]


# Unread and mentions --------------------------------------------------------------------------------------------------


def test_unread_is_what_lies_above_the_read_mark() -> None:
    box = placed(head=5, mine=5, read=2)
    box.pushed(entry(6), 0.0)
    assert state(box).unread == 4


def test_own_messages_above_an_unread_one_are_not_unread() -> None:
    box = placed()
    box.pushed(entry(1), 0.0)
    for seq in (2, 3, 4):
        box.pushed(entry(seq, sender="alice"), 0.0)
    assert state(box).unread == 1
    box.pushed(entry(5), 0.0)
    assert state(box).unread == 2
    box.read("c", 3)
    assert state(box).unread == 1
    box.read("c", 5)
    assert (state(box).unread, state(box).own_above) == (0, 0)


def test_own_messages_that_only_the_server_has_counted_are_not_unread_either() -> None:
    box = placed()
    counted = listed(9)
    counted.unread = 2
    box.seen(counted)
    assert state(box).unread == 2
    box.pushed(entry(4, sender="alice"), 0.0)
    assert state(box).unread == 2, "it was among those that the server has counted"
    box.pushed(entry(10, sender="alice"), 0.0)
    assert state(box).unread == 2
    box.read("c", 10)
    assert state(box).unread == 0


def test_more_own_messages_than_are_known_one_by_one_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(track, "KNOWN", 2)
    box = placed()
    box.pushed(entry(1), 0.0)
    for seq in range(2, 7):
        box.pushed(entry(seq, sender="alice"), 0.0)
    assert (state(box).unread, len(state(box).own)) == (1, 2)


@pytest.mark.parametrize("seed", range(50))
def test_who_has_seen_every_message_counts_as_the_server_does(seed: int) -> None:
    chance = random.Random(seed)
    box, log, read = placed(), [], 0
    for _ in range(200):
        if chance.random() < 0.7:
            log.append(chance.choice(("alice", "bob")))
            box.pushed(entry(len(log), sender=log[-1]), 0.0)
            if log[-1] == "alice" and read == len(log) - 1:
                read += 1
        elif chance.random() < 0.5:
            read = max(read, chance.randint(0, len(log)))
            box.read("c", read)
        else:
            counted = listed(len(log), read=read)
            counted.unread = sum(sender != "alice" for sender in log[read:])
            box.listed(counted, 0.0)
        assert state(box).unread == sum(sender != "alice" for sender in log[read:])


def test_what_the_user_writes_is_not_unread_on_any_device() -> None:
    here, there = placed(head=5, mine=5, read=5), placed(head=5, mine=5, read=5)
    here.own("c", 6, 0.0)
    there.pushed(entry(6, sender="alice"), 0.0)
    assert (state(here).unread, state(there).unread) == (0, 0)
    assert here.acks(9) == []


def test_writing_does_not_read_what_came_before() -> None:
    box = placed(head=5, mine=5, read=4)
    box.own("c", 6, 0.0)
    assert state(box).unread == 1


def test_mentions_are_those_that_the_server_counted_and_those_that_came_since() -> None:
    box = placed(head=5, mine=5, read=2, mentions=2)
    box.pushed(entry(6, mentions=("alice", "carol")), 0.0)
    box.pushed(entry(7, mentions=("carol",)), 0.0)
    box.pushed(entry(8, everybody=True), 0.0)
    box.pushed(entry(9, sender="alice", everybody=True), 0.0)
    assert state(box).mentions == 4
    box.read("c", 6)
    assert state(box).mentions == 1
    box.read("c", 9)
    assert state(box).mentions == 0


def test_after_reading_a_part_of_what_the_server_counted_it_is_still_counted_whole() -> None:
    box = placed(head=5, mine=5, read=0, mentions=2)
    box.read("c", 1)
    assert state(box).mentions == 2
    box.read("c", 4)
    assert state(box).mentions == 1
    box.read("c", 5)
    assert state(box).mentions == 0


def test_a_message_that_comes_twice_mentions_once() -> None:
    box = placed()
    for _ in range(2):
        box.pushed(entry(1, mentions=("alice",)), 0.0)
    assert state(box).mentions == 1


def test_what_the_server_counts_replaces_what_was_counted_here() -> None:
    box = placed()
    box.pushed(entry(1, mentions=("alice",)), 0.0)
    box.change(Change(conversation=listed(2, mine=1, mentions=1)), 0.0)
    assert state(box).mentions == 1


def test_mentions_are_kept_in_bounded_memory() -> None:
    one = Track(position=0, head=5000)
    for seq in range(1, 5001):
        one.saw(seq, mentioned=True)
    assert len(one.mentioned) == track.KNOWN
    assert one.mentions == 5000


# Sync pages -----------------------------------------------------------------------------------------------------------


def test_the_newest_messages_of_a_sync_are_taken_when_nothing_lies_between() -> None:
    box = placed(head=5, mine=5)
    box.change(Change(conversation=listed(7, mine=5), messages=[entry(6), entry(7)]), 0.0)
    assert seqs(box) == [6, 7]
    assert box.next_fetch() is None


def test_messages_that_a_sync_repeats_are_dropped() -> None:
    box = placed(head=5, mine=5)
    box.change(Change(conversation=listed(6, mine=5), messages=[entry(4), entry(5), entry(6)]), 0.0)
    assert seqs(box) == [6]


def test_a_gap_below_the_newest_messages_is_read_and_no_more_than_the_gap() -> None:
    box = placed(head=5, mine=5)
    box.change(Change(conversation=listed(90, mine=5), messages=[entry(89), entry(90)], more=True), 0.0)
    assert seqs(box) == []
    assert box.fetches(GRACE_S, 4) == [("c", 5)]
    assert box.lacking("c") == 83
    box.fetched(History(conversation="c", messages=[entry(seq) for seq in range(6, 89)], head=90), 0.0)
    assert seqs(box) == list(range(6, 91))


# What the next process needs ------------------------------------------------------------------------------------------


def test_what_was_not_handled_is_fetched_by_the_next_process_and_what_was_is_not() -> None:
    box = placed()
    box.eager = False
    for seq in (1, 2, 3):
        box.pushed(entry(seq), 0.0)
    box.take(0.0)
    box.handled()
    box.take(0.0)
    ((name, kept),) = box.changed()
    assert (name, kept.done, kept.head) == ("c", 1, 3)
    later = Inbox("mine-", 100, user="alice", eager=False)
    later.restore({"c": Track(position=kept.done, head=kept.head)}, 1)
    assert not later.sync_wanted
    assert later.fetches(0.0, 4) == [("c", 1)]
    assert later.acks(9) == [("c", 1, 0)]


def test_marks_that_did_not_get_through_are_told_by_the_next_process() -> None:
    later = Inbox("mine-", 100, user="alice")
    later.restore({"c": Track(position=4, head=4, acked=4, read=3, read_acked=1)}, 1)
    assert later.acks(9) == [("c", 0, 3)]


def test_only_what_has_changed_is_kept_again() -> None:
    box = placed()
    box.changed()
    assert box.changed() == []
    box.pushed(entry(1), 0.0)
    assert [name for name, _ in box.changed()] == ["c"]
