"""The order of unacknowledged messages, and when each is written again."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from longlink import errors
from longlink.client.outbox import Outbox
from longlink.errors import LonglinkError
from longlink.protocol.frames import Content, Send

BUSY = LonglinkError(errors.OVERLOADED, "full")
FOREIGN = LonglinkError(errors.NOT_A_MEMBER, "no")


def send(conversation: str, client_id: str) -> Send:
    return Send(conversation=conversation, client_id=client_id, content=Content(text=client_id))


def outbox() -> Outbox:
    return Outbox(lambda: 1.0, resend_after_s=10.0)


def due(box: Outbox, now: float) -> list[str]:
    return [pending.client_id for pending in box.due(now)]


def write(box: Outbox, now: float, request: int) -> str:
    pending = box.due(now)[0]
    box.written(pending, request, now)
    return pending.client_id


def test_only_the_oldest_message_of_a_conversation_is_under_way() -> None:
    box = outbox()
    for client_id in ("a1", "a2", "a3"):
        box.add(send("a", client_id))
    assert write(box, 0.0, 1) == "a1"
    assert due(box, 0.0) == []
    box.stored("a", "a1")
    assert due(box, 0.0) == ["a2"]


def test_conversations_do_not_wait_for_each_other() -> None:
    box = outbox()
    for conversation in ("a", "b", "c"):
        box.add(send(conversation, conversation))
    assert due(box, 0.0) == ["a", "b", "c"]


def test_a_message_without_an_answer_is_due_again_after_ten_seconds() -> None:
    box = outbox()
    box.add(send("a", "a1"))
    write(box, 0.0, 1)
    assert box.next_due() == 10.0
    assert (due(box, 9.9), due(box, 10.0)) == ([], ["a1"])


def test_the_answer_to_the_first_attempt_counts_although_a_second_one_is_under_way() -> None:
    box = outbox()
    pending = box.add(send("a", "a1"))
    write(box, 0.0, 1)
    write(box, 10.0, 2)
    assert box.stored("a", "a1") is pending
    assert len(box) == 0


def test_a_refusal_of_an_older_attempt_does_not_disturb_the_newer_one() -> None:
    box = outbox()
    box.add(send("a", "a1"))
    write(box, 0.0, 1)
    write(box, 10.0, 2)
    assert box.failed(1, FOREIGN, 11.0) is None
    assert len(box) == 1


def test_a_retryable_refusal_holds_the_conversation_back_until_it_is_repaired() -> None:
    box = outbox()
    box.add(send("a", "a1"))
    box.add(send("a", "a2"))
    write(box, 0.0, 1)
    assert box.failed(1, LonglinkError(errors.OVERLOADED, "full", retry_after_ms=2000), 0.0) is None
    assert due(box, 2.24) == []
    assert due(box, 2.25) == ["a1"]


def test_refusals_are_retried_with_growing_waits() -> None:
    box = outbox()
    box.add(send("a", "a1"))
    now, waits = 0.0, []
    for request in range(1, 5):
        write(box, now, request)
        box.failed(request, BUSY, now)
        waits.append((box.next_due() or 0.0) - now)
        now = box.next_due() or 0.0
    assert waits == [0.25, 0.5, 1.0, 2.0]


def test_a_final_refusal_gives_the_message_back_and_lets_the_next_one_go() -> None:
    box = outbox()
    first = box.add(send("a", "a1"))
    box.add(send("a", "a2"))
    write(box, 0.0, 1)
    assert box.failed(1, FOREIGN, 0.0) is first
    assert due(box, 0.0) == ["a2"]


def test_a_lost_link_makes_what_was_under_way_due_at_once_and_in_order() -> None:
    box = outbox()
    for conversation, client_id in (("a", "a1"), ("b", "b1"), ("a", "a2")):
        box.add(send(conversation, client_id))
    write(box, 0.0, 1)
    write(box, 0.0, 2)
    box.link_lost()
    assert due(box, 0.0) == ["a1", "b1"]


def test_a_message_that_waits_out_a_refusal_still_waits_after_a_reconnect() -> None:
    box = outbox()
    box.add(send("a", "a1"))
    write(box, 0.0, 1)
    box.failed(1, LonglinkError(errors.OVERLOADED, "full", retry_after_ms=5000), 0.0)
    box.link_lost()
    assert due(box, 4.0) == []


def test_a_message_that_nobody_waits_for_is_forgotten_and_the_next_one_goes() -> None:
    box = outbox()
    first = box.add(send("a", "a1"))
    box.add(send("a", "a2"))
    write(box, 0.0, 1)
    box.remove(first)
    box.remove(first)
    assert first not in box
    assert due(box, 0.0) == ["a2"]
    assert box.stored("a", "a1") is None


def test_one_client_id_in_two_conversations_is_two_messages() -> None:
    box = outbox()
    first, second = box.add(send("a", "order-1")), box.add(send("b", "order-1"))
    assert [first in box, second in box] == [True, True]
    write(box, 0.0, 1)
    write(box, 0.0, 2)
    assert box.stored("b", "order-1") is second
    assert box.stored("a", "order-1") is first
    assert box.next_due() is None


def test_one_client_id_twice_in_one_conversation_is_written_twice_one_after_the_other() -> None:
    box = outbox()
    first, second = box.add(send("a", "order-1")), box.add(send("a", "order-1"))
    write(box, 0.0, 1)
    assert box.stored("a", "order-1") is first
    assert box.stored("a", "order-1") is None, "the second one was not written yet"
    write(box, 0.0, 2)
    assert box.stored("a", "order-1") is second
    assert len(box) == 0


class Sending(RuleBasedStateMachine):
    """A server that stores, refuses, or falls silent, over links that lose what is under way.

    Whatever happens, each conversation's log holds its messages once and in the order of sending.
    """

    def __init__(self) -> None:
        super().__init__()
        self.box = outbox()
        self.now = 0.0
        self.requests = 0
        self.added: dict[str, list[str]] = {"a": [], "b": []}
        self.log: dict[str, list[str]] = {"a": [], "b": []}
        self.uplink: list[tuple[int, str, str]] = []
        self.downlink: list[tuple[int, str, str, bool]] = []

    @rule(conversation=st.sampled_from(["a", "b"]))
    def add(self, conversation: str) -> None:
        client_id = f"{conversation}{len(self.added[conversation])}"
        self.added[conversation].append(client_id)
        self.box.add(send(conversation, client_id))

    @rule(seconds=st.sampled_from([0.0, 0.3, 5.0, 11.0]))
    def write(self, seconds: float) -> None:
        self.now += seconds
        for pending in self.box.due(self.now):
            self.requests += 1
            self.box.written(pending, self.requests, self.now)
            self.uplink.append((self.requests, pending.conversation, pending.client_id))

    @precondition(lambda self: self.uplink)
    @rule(stores=st.booleans())
    def serve(self, stores: bool) -> None:
        request, conversation, client_id = self.uplink.pop(0)
        if stores and client_id not in self.log[conversation]:
            self.log[conversation].append(client_id)
        self.downlink.append((request, conversation, client_id, stores))

    @precondition(lambda self: self.downlink)
    @rule(arrives=st.booleans())
    def answer(self, arrives: bool) -> None:
        request, conversation, client_id, stored = self.downlink.pop(0)
        if arrives and stored:
            self.box.stored(conversation, client_id)
        elif arrives:
            self.box.failed(request, BUSY, self.now)

    @rule(processed=st.integers(0, 5))
    def cut(self, processed: int) -> None:
        for _ in range(min(processed, len(self.uplink))):
            self.serve(True)
        self.uplink.clear()
        self.downlink.clear()
        self.box.link_lost()

    @invariant()
    def the_log_is_a_beginning_of_what_was_sent(self) -> None:
        for conversation, log in self.log.items():
            assert log == self.added[conversation][: len(log)]

    def teardown(self) -> None:
        for _ in range(200):
            self.write(11.0)
            while self.uplink:
                self.serve(True)
            while self.downlink:
                self.answer(True)
        assert self.log == self.added
        assert len(self.box) == 0


Sending.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestSending = Sending.TestCase
