"""Chapter 6, crash: kill -9 under load, twenty times. What was acknowledged is never lost, doubled or reordered.

Read next: bookkeeping.py, test_07_storage.py.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

import pytest

from longlink.protocol.frames import Message
from longlink.testing import RunningServer, run_server

from .bookkeeping import Answer, Enter, Receiver, Sender, survive
from .people import Guest, eventually, failures
from .raw import Kind

LIVES: Final = 20
ANSWERS_A_LIFE: Final = 60
SETTINGS: Final = {"LONGLINK_CONNECTION_MESSAGE_RATE": "0", "LONGLINK_CONNECTION_ACCEPT_RATE": "0"}


def _enter(server: RunningServer, tokens: dict[str, str]) -> Enter:
    kinds = list(Kind)

    def enter(user: str, device: str) -> Guest:
        link = Guest(server.port, kinds[sum(device.encode()) % 4])
        try:
            link.connect(user, device, tokens[user])
        except BaseException:
            link.close()
            raise
        return link

    return enter


class Actors:
    """Senders and receivers of two conversations, and the threads that they live in."""

    def __init__(self, server: RunningServer) -> None:
        tokens = {user: server.token(user) for user in ("alice", "bob", "carol")}
        self.enter = _enter(server, tokens)
        with self.enter("bob", "first"), self.enter("carol", "first"), self.enter("alice", "first") as link:
            first, second = link.direct("bob"), link.direct("carol")
        self.senders = [
            Sender("alice", "alice-a", first),
            Sender("alice", "alice-b", first),
            Sender("bob", "bob-a", first),
            Sender("carol", "carol-a", second),
        ]
        self.receivers = [
            Receiver("bob", "bob-watch", first),
            Receiver("alice", "alice-watch", first),
            Receiver("alice", "alice-other", second),
        ]

    @property
    def answered(self) -> int:
        return sum(len(sender.answers) for sender in self.senders)

    @contextmanager
    def acting(self, stop: threading.Event) -> Iterator[None]:
        """Everybody lives once, in a thread each; what one of them finds wrong is raised at the end."""
        with ThreadPoolExecutor(len(self.senders) + len(self.receivers)) as pool:
            actors: list[Sender | Receiver] = [*self.senders, *self.receivers]
            works = [pool.submit(self._live, actor, stop) for actor in actors]
            try:
                yield
            except BaseException:
                stop.set()
                raise
        for work in works:
            work.result()

    def _live(self, actor: Sender | Receiver, stop: threading.Event) -> None:
        survive(lambda: actor.live(self.enter, stop))


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_twenty_kills_under_load_lose_double_and_reorder_nothing_that_was_acknowledged() -> None:
    with run_server(settings=SETTINGS) as server:
        actors = Actors(server)
        for life in range(LIVES):
            target = actors.answered + ANSWERS_A_LIFE + 7 * life
            with actors.acting(threading.Event()):
                eventually(lambda target=target: actors.answered >= target, "answers come", 30)  # type: ignore[misc]
                server.kill()
            server.start()
        stop = threading.Event()
        with actors.acting(stop):
            stop.set()
        assert sum(sender.duplicates for sender in actors.senders) > 0, "no kill came between a commit and its answer"
        assert sum(receiver.pushed for receiver in actors.receivers) > 0
        _check(actors)
        assert failures(server) == []


def _check(actors: Actors) -> None:
    for sender in actors.senders:
        assert not sender.unanswered
        sender.check_first_answers(actors.enter)
    for receiver in actors.receivers:
        with actors.enter(receiver.user, "checking") as link:
            senders = [sender for sender in actors.senders if sender.conversation == receiver.conversation]
            _check_log(receiver.log, senders)
            assert link.history(receiver.conversation, limit=1).head == len(receiver.log), "and nothing else is stored"
            _check_mark(link, receiver)


def _check_log(log: list[Message], senders: list[Sender]) -> None:
    assert [message.seq for message in log] == list(range(1, len(log) + 1))
    assert [message.sent_at for message in log] == sorted(message.sent_at for message in log)
    assert len(log) == sum(len(sender.answers) for sender in senders)
    for sender in senders:
        own = [message for message in log if message.client_id.startswith(f"{sender.device}-")]
        expected = [(sender.client_id(number), sender.text(number)) for number in range(len(sender.answers))]
        assert [(message.client_id, message.content.text) for message in own] == expected, "each once, in order"
        answers = [sender.answers[number] for number in range(len(own))]
        assert [Answer(message.seq, message.sent_at) for message in own] == answers


def _check_mark(link: Guest, receiver: Receiver) -> None:
    listed = {conversation.id: conversation for conversation in link.conversations().conversations}
    marks = {member.user: member.delivered for member in listed[receiver.conversation].members}
    assert marks[receiver.user] >= receiver.acked
