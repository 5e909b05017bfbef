"""Any order of loss, doubling, overtaking, cuts, crashes and deaths: at the end the books balance.

Every step is one that a network, a server or an application may take. 10,000 of them, always the same ones, unless
LONGLINK_EXAMPLES says how many runs of 100 there shall be. Read next: world.py.
"""

from __future__ import annotations

import os
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from longlink.client.inbox import Inbox
from longlink.client.track import Track
from longlink.protocol.frames import Frame, Missed
from longlink.testing import ViolationError

from .disk import Disk
from .world import Line, Memory, World

MEMBERS: Final = {"ab": ("alice", "bob"), "aa": ("alice",)}
DEVICES: Final = (("alice", "phone"), ("alice", "tablet"), ("bob", "phone"))
EXAMPLES: Final = os.environ.get("LONGLINK_EXAMPLES", "")
STEPS: Final = 100

GOING_ON: Final = ("say", "server", "server", "phone", "phone", "look", "time", "connect")
TROUBLE: Final = ("twice", "dropped", "missed", "unanswered", "cut", "replaced", "crash", "death", "refuse")
numbers = st.integers(0, 11)


class ClientWorld(RuleBasedStateMachine):
    """One rule alone, because Hypothesis leaves some rules out of each run, and then nothing would be left to judge."""

    def __init__(self) -> None:
        super().__init__()
        self.world = self.made()
        for phone in self.world.phones:
            self.world.connect(phone)

    def made(self) -> World:
        return World(MEMBERS, DEVICES, Memory(MEMBERS))

    def teardown(self) -> None:
        self.world.end()

    def line(self, number: int) -> Line | None:
        """The link of this phone, or of the next one that has one."""
        number %= len(DEVICES)
        ordered = self.world.phones[number:] + self.world.phones[:number]
        return next((phone.line for phone in ordered if phone.line is not None), None)

    @rule(act=st.sampled_from(3 * GOING_ON + TROUBLE), values=st.tuples(numbers, numbers, numbers))
    def step(self, act: str, values: tuple[int, int, int]) -> None:
        getattr(self, f"_{act}")(*values)
        for phone in self.world.phones:
            phone.work()

    # Going on ---------------------------------------------------------------------------------------------------------

    def _say(self, number: int, which: int, count: int) -> None:
        phone = self.world.phones[number % len(DEVICES)]
        mine = [name for name, users in self.world.members.items() if phone.user in users]
        for _ in range(1 + count % 4):
            phone.say(mine[which % len(mine)])

    def _connect(self, number: int, _: int, __: int) -> None:
        for phone in self.world.phones[number % len(DEVICES) :]:
            if phone.line is None:
                self.world.connect(phone)

    def _server(self, number: int, count: int, _: int) -> None:
        """Frames arrive at the server."""
        line = self.line(number)
        while line is not None and line.up and count:
            self.world.server.take(line)
            count -= 1

    def _phone(self, number: int, place: int, count: int) -> None:
        """Frames arrive at a phone, in any order: SPEC.md promises none between replies, events and conversations."""
        line = self.line(number)
        while line is not None and line.down and count:
            line.phone.take(line.down.pop(place * count % len(line.down)))
            count -= 1

    def _look(self, number: int, count: int, _: int) -> None:
        """An application takes its events."""
        count = 1 + count % 3
        while count and self.world.phones[number % len(DEVICES)].look():
            count -= 1

    def _time(self, which: int, _: int, __: int) -> None:
        self.world.now += (0.01, 0.05, 1.0, 11.0)[which % 4]

    # Trouble ----------------------------------------------------------------------------------------------------------

    def _twice(self, number: int, place: int, _: int) -> None:
        """An event comes twice."""
        line = self.line(number)
        if line is not None and (events := [frame for frame in line.down if not frame.id]):
            line.down.append(events[place % len(events)])

    def _dropped(self, number: int, place: int, said: int) -> None:
        """An event is dropped, in silence or by a server that is too full and says so."""
        line = self.line(number)
        if line is not None and (events := [index for index, frame in enumerate(line.down) if not frame.id]):
            del line.down[events[place % len(events)]]
            if said % 2:
                line.down.append(Frame(missed=Missed(events=1)))

    def _missed(self, number: int, _: int, __: int) -> None:
        """The server does not know whether it dropped anything."""
        if (line := self.line(number)) is not None:
            line.down.append(Frame(missed=Missed()))

    def _unanswered(self, number: int, place: int, _: int) -> None:
        """The answer to a send is lost. A client gives the other answers a deadline; that is exchange.py's business."""
        line = self.line(number)
        answers = [index for index, frame in enumerate(line.down) if frame.HasField("sent")] if line else []
        if line is not None and answers:
            del line.down[answers[place % len(answers)]]

    def _cut(self, number: int, arrive: int, _: int) -> None:
        """A link ends; some of what was on its way up still arrives."""
        if (line := self.line(number)) is not None:
            self.world.cut(line.phone, arrive % 4)

    def _replaced(self, number: int, _: int, __: int) -> None:
        self.world.connect(self.world.phones[number % len(DEVICES)])

    def _crash(self, number: int, _: int, __: int) -> None:
        self.world.crash(self.world.phones[number % len(DEVICES)])

    def _death(self, _: int, __: int, ___: int) -> None:
        self.world.die()

    def _refuse(self, count: int, _: int, __: int) -> None:
        self.world.server.refuse = 1 + count % 3


TestClientWorld = pytest.mark.slow(ClientWorld.TestCase)
TestClientWorld.settings = settings(
    max_examples=int(EXAMPLES or 100),
    stateful_step_count=STEPS,
    derandomize=not EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class DiskWorld(ClientWorld):
    """The same with the real store under it."""

    def made(self) -> World:
        self.disk = Disk((("alice", "bob"), ("alice", "alice")))
        return World(self.disk.members, DEVICES, self.disk)

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            self.disk.close()


TestDiskWorld = pytest.mark.slow(DiskWorld.TestCase)
TestDiskWorld.settings = settings(
    TestClientWorld.settings, max_examples=int(EXAMPLES or 100) // 10, stateful_step_count=50
)


def test_the_world_notices_a_client_that_forgets_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that cannot fail is a defect: the same world with a broken inbox does not balance."""
    world = World(MEMBERS, DEVICES, Memory(MEMBERS))
    offer = Inbox._offer

    def skipping(inbox: Inbox, conversation: str, track: Track, *values: Any) -> None:
        if values[0] == 2:
            track.position = 2
        offer(inbox, conversation, track, *values)

    monkeypatch.setattr(Inbox, "_offer", skipping)
    for phone in world.phones:
        world.connect(phone)
    for _ in range(4):
        world.phones[0].say("ab")
    with pytest.raises(ViolationError, match="in ab at seq 3: expected seq 2, got 3"):
        world.end()
