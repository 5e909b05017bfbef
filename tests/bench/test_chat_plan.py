"""The chat plan against a server that loses, doubles, alters or forgets messages: each is counted as what it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import pytest
from tests.bench.double import Link, double
from tests.bench.test_load import load, until

from longlink._core import Load
from longlink.protocol.frames import Acked, Connect, Connected, Conversation, Frame, Member, Message, Sent

NAMES = ["anna", "bert", "cleo"]
Push = Callable[[Message], list[Message]]


class Post:
    """A server of direct messages in memory; `push` says what a reader gets of a message."""

    def __init__(self, push: Push, forget: bool = False) -> None:
        self._push = push
        self._forget = forget
        self._links: dict[str, Link] = {}
        self._names: dict[Link, str] = {}
        self._heads: dict[str, int] = defaultdict(int)
        self._marks: dict[str, int] = defaultdict(int)

    def __call__(self, link: Link, payload: bytes) -> None:
        frame = Frame.FromString(payload)
        body = frame.WhichOneof("body")
        if body == "connect":
            self._links[frame.connect.device] = link
            self._names[link] = frame.connect.device
            link.say(Frame(id=frame.id, connected=Connected(user=frame.connect.device)).SerializeToString())
        elif body == "open_direct":
            link.say(Frame(id=frame.id, conversation=self._conversation(link, frame)).SerializeToString())
        elif body == "send":
            self._send(link, frame)
        elif body == "ack":
            self._marks[frame.ack.conversation] = frame.ack.seq
            link.say(Frame(id=frame.id, acked=Acked(seq=frame.ack.seq)).SerializeToString())

    def _conversation(self, link: Link, frame: Frame) -> Conversation:
        """Only the first of a pair in the ring writes, so a conversation has one reader."""
        pair = (self._names[link], frame.open_direct.user)
        writer, reader = pair if NAMES[NAMES.index(pair[0]) - 2] == pair[1] else pair[::-1]
        which = f"{writer}>{reader}"
        head = 0 if self._forget else self._heads[which]
        return Conversation(id=which, head=head, members=[Member(user=reader, delivered=self._marks[which])])

    def _send(self, link: Link, frame: Frame) -> None:
        sent = frame.send
        self._heads[sent.conversation] += 1
        seq = self._heads[sent.conversation]
        link.say(Frame(id=frame.id, sent=Sent(seq=seq, client_id=sent.client_id)).SerializeToString())
        message = Message(conversation=sent.conversation, seq=seq, client_id=sent.client_id, content=sent.content)
        for each in self._push(message):
            self._links[sent.conversation.partition(">")[2]].say(Frame(message=each).SerializeToString())

    @property
    def fewest(self) -> int:
        """Messages of the conversation that has the fewest."""
        return min(self._heads.values()) if len(self._heads) == len(NAMES) else 0


def talk(made: Load, post: Post) -> None:
    """Everybody writes at least three messages: that the second was lost is seen by the third."""
    for number, name in enumerate(NAMES, 1):
        made.connect([Frame(id=1, connect=Connect(version=1, device=name)).SerializeToString()])
        until(made, lambda counts, joined=number: counts["joined"] == joined)  # type: ignore[misc]
    made.open([(NAMES[(n + 1) % 3], NAMES[n - 1]) for n in range(3)])
    until(made, lambda counts: counts["opened"] == 3)
    made.talk()
    until(made, lambda counts: counts["acked"] >= 30 and post.fewest >= 3)
    made.halt()
    until(made, lambda counts: counts["acked"] == counts["written"])


def faults(push: Push, forget: bool = False) -> dict[str, int]:
    """What was counted, once the log was looked at."""
    post = Post(push, forget)
    with double(post) as port, load("chat", port) as made:
        talk(made, post)
        until(made, lambda counts: counts["marked"] == counts["written"])
        made.verify()
        counts = until(made, lambda counts: counts["verified"] == 3)
    return {name: counts[name] for name in ("skipped", "repeated", "altered", "unexpected") if counts[name]}


def test_a_server_that_is_right_is_found_right() -> None:
    assert faults(lambda message: [message]) == {}


@pytest.mark.parametrize(
    ("push", "fault"),
    [
        (lambda message: [] if message.seq == 2 else [message], "skipped"),
        (lambda message: [message] * (2 if message.seq == 2 else 1), "repeated"),
        (lambda message: [_changed(message) if message.seq == 2 else message], "altered"),
    ],
    ids=["lost", "doubled", "altered"],
)
def test_what_a_server_does_to_the_second_message_is_found_in_each_conversation(push: Push, fault: str) -> None:
    assert faults(push) == {fault: 3}


def test_a_log_that_forgot_what_it_acknowledged_is_found() -> None:
    assert faults(lambda message: [message], forget=True) == {"skipped": 3}


def _changed(message: Message) -> Message:
    changed = Message()
    changed.CopyFrom(message)
    changed.content.text = message.content.text[:-1] + "?"
    return changed
