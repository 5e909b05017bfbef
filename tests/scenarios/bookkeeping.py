"""Exact books for a server that is killed again and again: what was sent, answered, pushed and stored.

A Sender sends numbered messages and resends, in order, whatever was not answered; a Receiver keeps its place by seq and
fetches what it lacks. Both run in threads and live through any number of server lives. Read next: test_06_crash.py.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from longlink.protocol.frames import Message, body_name

from .people import Guest
from .raw import ClosedError

WINDOW: Final = 20
"""Messages that a sender has under way at once."""
ACK_EVERY: Final = 7

Enter = Callable[[str, str], Guest]
"""A connected link of a user and a device. Raises OSError or ClosedError when the server is not there."""


@dataclass
class Answer:
    """What the server has said of one message; the first answer is the one that counts for ever."""

    seq: int
    sent_at: int


@dataclass
class Sender:
    """client_id is `device-number`. answers: by number; unanswered: numbers in the order of their sending."""

    user: str
    device: str
    conversation: str
    answers: dict[int, Answer] = field(default_factory=dict)
    unanswered: deque[int] = field(default_factory=deque)
    duplicates: int = 0
    _next: int = 0

    def live(self, enter: Enter, stop: threading.Event) -> None:
        """Send until the link ends, or until stop; after stop, until everything is answered."""
        with enter(self.user, self.device) as link:
            posted = deque((number, self._post(link, number)) for number in self.unanswered)
            while posted or not stop.is_set():
                while len(posted) < WINDOW and not stop.is_set():
                    posted.append((self._new(), self._post(link, self._next - 1)))
                if posted:
                    self._settle(link, *posted.popleft())

    def check_first_answers(self, enter: Enter) -> None:
        """Resend everything: each gets its first answer again."""
        with enter(self.user, self.device) as link:
            for begin in range(0, self._next, 100):
                numbers = range(begin, min(begin + 100, self._next))
                for number, request in [(number, self._post(link, number)) for number in numbers]:
                    sent = link.sent(request)
                    assert sent.duplicate
                    assert Answer(sent.seq, sent.sent_at) == self.answers[number]

    def text(self, number: int) -> str:
        return f"{self.device} says {number}"

    def client_id(self, number: int) -> str:
        return f"{self.device}-{number}"

    def _new(self) -> int:
        number, self._next = self._next, self._next + 1
        self.unanswered.append(number)
        return number

    def _post(self, link: Guest, number: int) -> int:
        return link.post_text(self.conversation, self.text(number), self.client_id(number))

    def _settle(self, link: Guest, number: int, request: int) -> None:
        sent = link.sent(request)
        assert sent.client_id == self.client_id(number)
        assert number not in self.answers
        self.duplicates += sent.duplicate
        self.answers[number] = Answer(sent.seq, sent.sent_at)
        assert self.unanswered.popleft() == number


@dataclass
class Receiver:
    """log: every message by seq, 1, 2, 3, ... without gap; acked: the mark that the server has confirmed."""

    user: str
    device: str
    conversation: str
    log: list[Message] = field(default_factory=list)
    acked: int = 0
    pushed: int = 0

    def live(self, enter: Enter, stop: threading.Event) -> None:
        """Sync, then take pushes until the link ends, or until stop and nothing is missing."""
        with enter(self.user, self.device) as link:
            self._fetch(link)
            while not stop.is_set():
                # A roundtrip that also brings the pushes, so that nobody waits for a push that may not come.
                link.pending()
                while link.events:
                    frame = link.event()
                    if body_name(frame) == "message" and frame.message.conversation == self.conversation:
                        self._take(link, frame.message)
                if len(self.log) - self.acked >= ACK_EVERY:
                    self._ack(link)
            self._fetch(link)
            self._ack(link)

    def _ack(self, link: Guest) -> None:
        if len(self.log) > self.acked:
            self.acked = link.ack(self.conversation, len(self.log)).seq

    def _take(self, link: Guest, message: Message) -> None:
        if message.seq > len(self.log) + 1:
            self._fetch(link)
        if message.seq == len(self.log) + 1:
            self.log.append(message)
            self.pushed += 1
        assert self.log[message.seq - 1] == message, "a push shows what is stored"

    def _fetch(self, link: Guest) -> None:
        more = True
        while more:
            page = link.history(self.conversation, after=len(self.log), limit=200)
            for message in page.messages:
                assert message.seq == len(self.log) + 1, "history has no gap"
                self.log.append(message)
            more = page.more


def survive(work: Callable[[], None]) -> None:
    """Run one life; the end of the link is how most lives end."""
    try:
        work()
    except (ClosedError, OSError):
        return
