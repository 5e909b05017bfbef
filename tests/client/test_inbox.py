"""Each message once, in order, none missing, whatever the link and the application do."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from longlink import errors
from longlink.client.events import Connected, Delivered, Disconnected, Event, Message
from longlink.client.inbox import GRACE_S, STATES, Inbox
from longlink.errors import LonglinkError
from longlink.protocol import frames
from longlink.protocol.frames import Content, Conversation, History, Member

PREFIX = "mine-"


def entry(seq: int, *, conversation: str = "c", sender: str = "bob", client_id: str = "x") -> frames.Message:
    return frames.Message(
        conversation=conversation, seq=seq, sender=sender, client_id=client_id, content=Content(text=str(seq))
    )


def listed(head: int, *, conversation: str = "c", mine: int = 0, bob: int = 0) -> Conversation:
    members = [Member(user="alice", delivered=mine), Member(user="bob", delivered=bob)]
    return Conversation(id=conversation, head=head, members=members)


def page(*seqs: int, head: int = 0) -> History:
    return History(conversation="c", messages=[entry(seq) for seq in seqs], head=head or max(seqs, default=0))


def inbox(*, max_events: int = 100, replay: bool = False) -> Inbox:
    return Inbox(PREFIX, max_events, replay, user="alice")


def placed(*, max_events: int = 100, head: int = 0, mine: int = 0) -> Inbox:
    """An inbox that has synced: one conversation, everything up to mine received before."""
    box = inbox(max_events=max_events)
    box.sync_wanted = False
    box.listed(listed(head, mine=mine), 0.0)
    box.synced(1, 0.0)
    return box


def taken(box: Inbox, limit: int = 1000) -> list[Event]:
    found: list[Event] = []
    while len(found) < limit and (event := box.take(0.0)) is not None:
        found.append(event)
    return found


def seqs(box: Inbox, limit: int = 1000) -> list[int]:
    return [event.seq for event in taken(box, limit) if isinstance(event, Message)]


def delivered(box: Inbox) -> int:
    track = box.track("c")
    return track.delivered["bob"] if track else 0


# Order, duplicates, gaps ----------------------------------------------------------------------------------------------


def test_messages_in_order_are_handed_out_in_order() -> None:
    box = placed()
    for seq in (1, 2, 3):
        box.pushed(entry(seq), 0.0)
    assert seqs(box) == [1, 2, 3]


def test_a_message_that_comes_twice_is_handed_out_once() -> None:
    box = placed()
    for seq in (1, 1, 2, 1, 2):
        box.pushed(entry(seq), 0.0)
    assert seqs(box) == [1, 2]


def test_a_message_behind_a_gap_waits_until_the_gap_is_filled_from_history() -> None:
    box = placed()
    box.pushed(entry(3), 0.0)
    assert seqs(box) == []
    assert box.fetches(GRACE_S, 4) == [("c", 0)]
    box.fetched(page(1, 2, head=3), GRACE_S)
    assert seqs(box) == [1, 2, 3]
    assert box.next_fetch() is None


def test_a_gap_is_given_a_moment_to_close_by_itself() -> None:
    box = placed()
    box.pushed(entry(2), 0.0)
    assert box.fetches(0.0, 4) == []
    assert box.next_fetch() == GRACE_S
    box.pushed(entry(1), 0.01)
    assert box.next_fetch() is None
    assert seqs(box) == [1, 2]


def test_one_gap_is_fetched_once_at_a_time() -> None:
    box = placed(head=5)
    assert box.fetches(1.0, 4) == [("c", 0)]
    assert box.fetches(1.0, 4) == []


def test_history_is_read_on_until_the_head_is_reached() -> None:
    box = placed(head=4)
    assert box.fetches(0.0, 4) == [("c", 0)]
    box.fetched(page(1, 2, head=4), 0.0)
    assert box.fetches(0.0, 4) == [("c", 2)]
    box.fetched(page(3, 4), 0.0)
    assert box.fetches(0.0, 4) == []
    assert seqs(box) == [1, 2, 3, 4]


def test_a_page_that_brings_nothing_is_not_asked_for_again_at_once() -> None:
    box = placed(head=5)
    waits = []
    now = 0.0
    for _ in range(7):
        assert box.fetches(now, 4) == [("c", 0)]
        box.fetched(page(head=5), now)
        waits.append((box.next_fetch() or 0.0) - now)
        now = box.next_fetch() or 0.0
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_history_that_is_refused_for_good_is_not_asked_for_until_something_new_comes() -> None:
    box = placed(head=5)
    box.fetches(0.0, 4)
    box.fetch_failed("c", 0.0, retry=False)
    assert box.next_fetch() is None
    box.listed(listed(6), 0.0)
    assert box.fetches(0.0, 4) == [("c", 0)]


def test_a_read_that_died_with_its_link_is_made_again() -> None:
    box = placed(head=5)
    box.fetches(0.0, 4)
    box.link_lost()
    assert box.fetches(0.0, 4) == [("c", 0)]


# Where a client begins ------------------------------------------------------------------------------------------------


def test_a_new_client_begins_behind_what_a_device_of_the_user_has_received() -> None:
    box = placed(head=7, mine=5)
    assert box.fetches(0.0, 4) == [("c", 5)]
    box.fetched(page(6, 7), 0.0)
    assert seqs(box) == [6, 7]


def test_with_replay_a_new_client_begins_at_the_beginning() -> None:
    box = inbox(replay=True)
    box.listed(listed(7, mine=5), 0.0)
    assert box.fetches(0.0, 4) == [("c", 0)]


def test_a_message_pushed_before_the_first_sync_waits_for_it() -> None:
    box = inbox()
    box.sync_wanted = False
    box.pushed(entry(6), 0.0)
    assert box.sync_wanted
    assert seqs(box) == []
    box.listed(listed(6, mine=5), 0.0)
    assert seqs(box) == [6]


def test_a_pushed_message_is_handed_out_although_another_device_has_acknowledged_it_meanwhile() -> None:
    box = inbox()
    box.pushed(entry(6), 0.0)
    box.listed(listed(6, mine=6), 0.0)
    assert seqs(box) == [6]


def test_a_conversation_that_no_sync_lists_begins_with_its_first_message() -> None:
    box = inbox()
    box.pushed(entry(2), 0.0)
    box.synced(9, 0.0)
    assert box.synced_at == 9
    assert box.fetches(0.0, 4) == [("c", 0)]


# Own messages ---------------------------------------------------------------------------------------------------------


def test_an_own_message_is_no_event_and_leaves_no_gap() -> None:
    box = placed()
    box.own("c", 1, 0.0)
    box.pushed(entry(2), 0.0)
    assert seqs(box) == [2]
    assert box.next_fetch() is None


def test_an_own_message_whose_answer_comes_after_a_later_push_closes_the_gap() -> None:
    box = placed()
    box.pushed(entry(2), 0.0)
    box.own("c", 1, 0.01)
    assert box.next_fetch() is None
    assert seqs(box) == [2]


def test_an_own_message_read_from_history_is_recognised_by_its_client_id() -> None:
    box = placed(head=2)
    box.fetches(0.0, 4)
    mine = entry(1, sender="alice", client_id=PREFIX + "1")
    box.fetched(History(conversation="c", messages=[mine, entry(2)], head=2), 0.0)
    assert seqs(box) == [2]


def test_a_message_of_another_device_of_the_same_user_is_an_event() -> None:
    box = placed()
    box.pushed(entry(1, sender="alice", client_id="other-1"), 0.0)
    assert seqs(box) == [1]


def test_a_stranger_cannot_hide_a_message_behind_our_prefix() -> None:
    box = placed()
    box.pushed(entry(1, sender="bob", client_id=PREFIX + "1"), 0.0)
    assert seqs(box) == [1]


def test_own_messages_from_before_the_first_sync_take_no_room_after_it() -> None:
    box = inbox()
    box.pushed(entry(6), 0.0)
    box.own("c", 4, 0.0)
    box.own("c", 5, 0.0)
    box.listed(listed(6, mine=5), 0.0)
    assert seqs(box) == [6]
    assert box._held == 0


# Bounds ---------------------------------------------------------------------------------------------------------------


def test_an_application_that_does_not_read_costs_bounded_memory_and_loses_nothing() -> None:
    box = placed(max_events=10)
    for seq in range(1, 1001):
        box.pushed(entry(seq), 0.0)
    assert box.full
    assert len(box._ready) + box._held <= 20
    assert box.fetches(1.0, 4) == []
    found: list[int] = []
    while len(found) < 1000:
        found += seqs(box, 7)
        for _, after in box.fetches(99.0, 4):
            box.fetched(page(*range(after + 1, min(after + 200, 1000) + 1), head=1000), 99.0)
    assert found == list(range(1, 1001))


def test_what_fills_a_gap_is_taken_even_when_too_much_is_held_behind_it() -> None:
    box = placed(max_events=5)
    for seq in range(3, 30):
        box.pushed(entry(seq), 0.0)
    assert box.fetches(1.0, 4) == [("c", 0)]
    box.fetched(page(1, 2, head=29), 1.0)
    assert seqs(box)[:5] == [1, 2, 3, 4, 5]


def test_one_conversation_with_a_gap_does_not_stop_the_others() -> None:
    box = placed(max_events=3)
    box.listed(listed(0, conversation="d"), 0.0)
    for seq in range(2, 20):
        box.pushed(entry(seq), 0.0)
    box.pushed(entry(1, conversation="d"), 0.0)
    assert [event.id for event in taken(box) if isinstance(event, Message)] == ["d:1"]


def test_marks_that_nobody_takes_are_kept_as_one_number_a_user() -> None:
    box = placed()
    for seq in range(1, 1000):
        box.delivered(frames.Delivered(conversation="c", user="bob", seq=seq))
    assert taken(box) == [Delivered("c", "bob", 999)]


def test_states_that_nobody_takes_are_dropped_oldest_first() -> None:
    box = placed()
    for number in range(STATES + 5):
        box.state(Disconnected(LonglinkError(errors.DISCONNECTED, str(number)), 1.0))
    box.state(Connected("alice", "d", "s", "v"))
    assert len(taken(box)) == STATES
    assert box.take(0.0) is None


# Marks ----------------------------------------------------------------------------------------------------------------


def test_a_mark_that_went_back_or_stayed_is_no_event() -> None:
    box = placed()
    for seq in (3, 3, 2):
        box.delivered(frames.Delivered(conversation="c", user="bob", seq=seq))
    assert taken(box) == [Delivered("c", "bob", 3)]
    assert delivered(box) == 3


def test_marks_that_moved_while_the_link_was_down_are_told_after_the_sync() -> None:
    box = placed()
    box.listed(listed(4, bob=4, mine=4), 0.0)
    assert Delivered("c", "bob", 4) in taken(box)


def test_marks_seen_for_the_first_time_are_known_but_no_event() -> None:
    box = inbox()
    box.listed(listed(4, bob=4, mine=4), 0.0)
    assert taken(box) == []
    assert delivered(box) == 4


def test_neither_messages_nor_marks_starve_each_other() -> None:
    box = placed()
    for seq in (1, 2, 3):
        box.pushed(entry(seq), 0.0)
    box.delivered(frames.Delivered(conversation="c", user="bob", seq=1))
    assert [type(event) for event in taken(box, 2)] == [Message, Delivered]


# Acks -----------------------------------------------------------------------------------------------------------------


def test_nothing_is_acknowledged_before_the_application_has_taken_it() -> None:
    box = placed()
    for seq in (1, 2, 3):
        box.pushed(entry(seq), 0.0)
    assert box.acks(9) == []
    seqs(box, 2)
    assert box.acks(9) == [("c", 2, 0)]


def test_one_ack_is_under_way_and_the_next_one_covers_all_that_gathered() -> None:
    box = placed()
    for seq in (1, 2, 3):
        box.pushed(entry(seq), 0.0)
    seqs(box, 1)
    assert box.acks(9) == [("c", 1, 0)]
    seqs(box)
    assert box.acks(9) == []
    box.acked("c", 1)
    assert box.acks(9) == [("c", 3, 0)]
    box.acked("c", 3)
    assert box.acks(9) == []


def test_an_ack_that_died_with_its_link_is_sent_again() -> None:
    box = placed()
    box.pushed(entry(1), 0.0)
    seqs(box)
    box.acks(9)
    box.link_lost()
    assert box.acks(9) == [("c", 1, 0)]


def test_an_ack_that_was_refused_for_good_is_not_repeated() -> None:
    box = placed()
    box.pushed(entry(1), 0.0)
    seqs(box)
    box.acks(9)
    box.ack_failed("c", retry=False)
    assert box.acks(9) == []


def test_own_messages_move_the_marks_at_the_server_and_need_no_ack() -> None:
    box = placed()
    box.own("c", 1, 0.0)
    assert box.acks(9, final=True) == []
    box.pushed(entry(2), 0.0)
    box.own("c", 3, 0.0)
    seqs(box)
    assert box.acks(9) == [("c", 3, 0)]


def test_a_message_that_is_being_handled_is_not_acknowledged_before_its_end() -> None:
    box = placed()
    box.eager = False
    box.pushed(entry(1), 0.0)
    box.own("c", 2, 0.0)
    seqs(box)
    assert box.acks(9) == []
    assert [message.seq for message in [box.handled()] if message] == [1]
    assert box.acks(9) == [("c", 2, 0)]
    assert box.handled() is None


def test_acks_under_way_are_bounded() -> None:
    box = placed()
    for number in range(10):
        box.listed(listed(0, conversation=f"d{number}"), 0.0)
        box.pushed(entry(1, conversation=f"d{number}"), 0.0)
    seqs(box)
    assert len(box.acks(3)) == 3
    assert box.acks(3) == []


class Receiving(RuleBasedStateMachine):
    """A log that grows, pushes that are lost, doubled and disordered, links that break, an application that dawdles.

    Whatever happens, the application gets every message of the others once, in order, and in the end all of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.box = Inbox(PREFIX, 3, user="alice")
        self.logs: dict[str, list[frames.Message]] = {"c": [], "d": []}
        self.pushes: list[frames.Message] = []
        self.answers: list[tuple[str, int]] = []
        self.seen: dict[str, list[int]] = {"c": [], "d": []}
        self.received = {"c": 0, "d": 0}

    def expected(self, name: str) -> list[int]:
        return [message.seq for message in self.logs[name] if message.sender == "bob"]

    @rule(name=st.sampled_from(["c", "d"]), own=st.booleans(), copies=st.integers(0, 2))
    def append(self, name: str, own: bool, copies: int) -> None:
        seq = len(self.logs[name]) + 1
        sender, client_id = ("alice", f"{PREFIX}{seq}") if own else ("bob", f"b{seq}")
        message = entry(seq, conversation=name, sender=sender, client_id=client_id)
        self.logs[name].append(message)
        if own and copies:
            self.box.own(name, seq, self.now)
        elif not own:
            self.pushes += [message] * copies

    @precondition(lambda self: self.pushes)
    @rule(data=st.data())
    def push(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.pushes) - 1))
        self.box.pushed(self.pushes.pop(index), self.now)

    @rule()
    def sync(self) -> None:
        if not self.box.sync_wanted:
            return
        self.box.sync_wanted = False
        for name, log in self.logs.items():
            if log:
                self.box.listed(listed(len(log), conversation=name, mine=self.received[name]), self.now)
        self.box.synced(1, self.now)

    @rule(seconds=st.sampled_from([0.0, 0.02, 0.05, 40.0]))
    def ask(self, seconds: float) -> None:
        self.now += seconds
        self.answers += self.box.fetches(self.now, 4)

    @precondition(lambda self: self.answers)
    @rule(data=st.data(), limit=st.integers(1, 4), fails=st.booleans())
    def answer(self, data: st.DataObject, limit: int, fails: bool) -> None:
        name, after = self.answers.pop(data.draw(st.integers(0, len(self.answers) - 1)))
        self.reply(name, after, limit, fails)

    def reply(self, name: str, after: int, limit: int, fails: bool = False) -> None:
        if fails:
            self.box.fetch_failed(name, self.now, retry=True)
        else:
            log = self.logs[name]
            found = History(conversation=name, messages=log[after : after + limit], head=len(log))
            self.box.fetched(found, self.now)

    @rule(limit=st.integers(1, 5))
    def take(self, limit: int) -> None:
        for _ in range(limit):
            event = self.box.take(self.now)
            if isinstance(event, Message):
                self.seen[event.conversation].append(event.seq)

    @rule(arrives=st.booleans())
    def acknowledge(self, arrives: bool) -> None:
        for name, seq, _ in self.box.acks(9):
            assert all(mine in self.seen[name] for mine in self.expected(name) if mine <= seq)
            if arrives:
                self.received[name] = max(self.received[name], seq)
                self.box.acked(name, self.received[name])
            else:
                self.box.ack_failed(name, retry=True)

    @rule()
    def cut(self) -> None:
        self.pushes.clear()
        self.answers.clear()
        self.box.link_lost()
        self.box.sync_wanted = True

    @invariant()
    def everything_seen_is_in_order_and_complete_so_far(self) -> None:
        for name, seen in self.seen.items():
            assert seen == self.expected(name)[: len(seen)]

    @invariant()
    def memory_is_bounded(self) -> None:
        assert len(self.box._ready) <= 3
        assert sum(len(track.held) for track in self.box._tracks.values()) == self.box._held <= 3

    def teardown(self) -> None:
        self.cut()
        for _ in range(10 + sum(map(len, self.logs.values()))):
            self.sync()
            self.now += 40.0
            for name, after in self.box.fetches(self.now, 4):
                self.reply(name, after, 4)
            self.take(5)
        assert self.seen == {name: self.expected(name) for name in self.logs}


Receiving.TestCase.settings = settings(max_examples=300, stateful_step_count=50, deadline=None)
TestReceiving = Receiving.TestCase
