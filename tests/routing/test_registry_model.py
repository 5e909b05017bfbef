"""Whatever happens, in any order: no client believes that it has everything when an event did not reach it.

Clients that listen, lose their link, come back by key and sync, over two gateways and one registry that may die. Their
own books say what lacks; the registry is never asked for it. Read next: test_registry.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from longlink.routing.registry import Entered
from longlink.routing.sessions import FRESH, Arrival, Session

from .crowd import EAST, WEST, Hall, on, session

Thing = TypeVar("Thing")
DEVICES = ("phone", "tab", "web")
RULES = {"per_user": 2, "detached_ms": 10_000, "detached": 2}
GATEWAYS = st.sampled_from([EAST, WEST])
OFTEN = st.sampled_from([True, True, True, False])
RARELY = st.sampled_from([False, False, False, True])


@dataclass
class Client:
    """What one device knows. key: the last link of which it was told; listens: whether that one is still its link.

    lacks: an event for it did not come, and it has not synced since. The client does not know this; the test does.
    chain: the links that began one from the other, as far as the registry must know; the last one is that of key.
    """

    device: str
    key: Session | None = None
    chain: list[Session] = field(default_factory=list)
    received: int = 0
    listens: bool = False
    lacks: bool = False
    attempt: int = 0


@dataclass
class Attempt:
    """A Connect with a key that was answered and is not attached yet. number: of its client's attempts."""

    client: Client
    link: Session
    arrival: Arrival
    number: int


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.hall = Hall(**RULES)
        self.links: dict[int, tuple[Session, bool]] = {}
        self.clients = [Client(device) for device in DEVICES]
        self.attempts: list[Attempt] = []
        self.number = 0

    # Events -----------------------------------------------------------------------------------------------------------

    @precondition(lambda self: any(client.key for client in self.clients))
    @rule(arrives=OFTEN, cause=st.sampled_from([None, *range(len(DEVICES))]))
    def something_happens(self, arrives: bool, cause: int | None) -> None:
        """An event for the user, which a client may have caused; all of the wire works, or none of it."""
        by = None if cause is None else self.clients[cause]
        besides = by.key.link if by is not None and by.key is not None and by.listens else 0
        reached = {each.link for each in self.hall.reach("alice", besides=besides)}
        for client in self.clients:
            if client.key is None or client.key.link == besides:
                continue
            if arrives and client.listens and client.key.link in reached:
                client.received += 1
            else:
                client.lacks = True

    # Coming -----------------------------------------------------------------------------------------------------------

    @precondition(lambda self: not all(client.key for client in self.clients))
    @rule(who=st.integers(0, 2), gateway=GATEWAYS, background=RARELY)
    def comes_with_a_token(self, who: int, gateway: int, background: bool) -> None:
        client = self._one_of([client for client in self.clients if not client.key], who)
        self.number += 1
        new = session(self.number, client.device, gateway=gateway)
        arrival = Arrival(background)
        self.links[new.link] = (new, background)
        self._settle(self.hall.sessions.add(new, arrival))
        client.attempt += 1
        client.chain = []
        self._is_connected(client, new, synced=True)

    @precondition(lambda self: any(client.key for client in self.clients))
    @rule(
        who=st.integers(0, 2),
        gateway=GATEWAYS,
        background=RARELY,
        meanwhile=st.sampled_from([(), (), (True,), (False, True)]),
        late=RARELY,
        hears=OFTEN,
        hears_missed=st.booleans(),
    )
    def resumes(
        self,
        who: int,
        gateway: int,
        background: bool,
        meanwhile: tuple[bool, ...],
        late: bool,
        hears: bool,
        hears_missed: bool,
    ) -> None:
        """By key. meanwhile: events between the answer and the link; late: whatever else comes between, too."""
        client = self._one_of([client for client in self.clients if client.key], who)
        assert client.key is not None
        self.number += 1
        link = on(client.key, self.number, gateway)
        client.attempt += 1
        client.listens = False
        assert not self.hall.sessions.is_reused(link, client.key.link), "an honest client is taken for a thief"
        missed = self.hall.sessions.resume(link, client.key.link, client.received)
        if missed is None:
            client.key = None
            return
        arrival = Arrival(background, client.key.link, client.received, missed)
        attempt = Attempt(client, link, arrival, client.attempt)
        for arrives in meanwhile:
            self.something_happens(arrives, None)
        if late:
            self.attempts.append(attempt)
        else:
            self._attach(attempt, hears, hears_missed)

    @precondition(lambda self: self.attempts)
    @rule(which=st.integers(0, 5), hears=OFTEN, hears_missed=st.booleans())
    def is_attached_late(self, which: int, hears: bool, hears_missed: bool) -> None:
        attempt = self._one_of(self.attempts, which)
        self.attempts.remove(attempt)
        self._attach(attempt, hears, hears_missed)
        del attempt.client.chain[:-1]

    @precondition(lambda self: any(len(client.chain) > 2 for client in self.clients))
    @rule(who=st.integers(0, 2), older=st.integers(0, 5))
    def a_thief_shows_an_old_key(self, who: int, older: int) -> None:
        """The session ends for the thief and for its owner, who finds it unknown and connects with a token."""
        client = self._one_of([client for client in self.clients if len(client.chain) > 2], who)
        stolen = self._one_of(client.chain[:-2], older)
        if self.hall.sessions.find(stolen) is None:
            return
        assert self.hall.sessions.is_reused(stolen, stolen.link)
        for record in self.hall.sessions.end("alice", lambda each: each.id == stolen.id):
            if record.attached:
                self._close(record.session.link)

    def _attach(self, attempt: Attempt, hears: bool, hears_missed: bool) -> None:
        """hears: whether the answer arrives, unless the client has tried again since."""
        client, link, arrival = attempt.client, attempt.link, attempt.arrival
        self.links[link.link] = (link, arrival.background)
        entered = self.hall.sessions.add(link, arrival)
        self._settle(entered)
        if client.attempt != attempt.number or not hears or link.link not in self.links:
            return
        if not arrival.missed and not entered.missed:
            assert not client.lacks, "it believes that it has everything"
        self._is_connected(client, link, synced=arrival.missed or (entered.missed and hears_missed))

    # Going ------------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.links)
    @rule(which=st.integers(0, 5))
    def a_link_ends(self, which: int) -> None:
        self._close(self._one_of(list(self.links), which))

    @rule(gateway=GATEWAYS)
    def a_gateway_dies(self, gateway: int) -> None:
        for link, (here, _) in list(self.links.items()):
            if here.gateway == gateway:
                del self.links[link]
        for _ in self.hall.sessions.forget(gateway):
            pass

    @rule(gateway=GATEWAYS)
    def a_trunk_breaks_and_is_back(self, gateway: int) -> None:
        for _ in self.hall.sessions.forget(gateway):
            pass
        self._announce(gateway)

    @rule(order=st.booleans())
    def logic_dies(self, order: bool) -> None:
        """All that it knew is gone; gateways announce their links and tell Missed, which may not arrive."""
        self.hall = Hall(**RULES)
        for client in self.clients:
            del client.chain[:-1]
        for gateway in (EAST, WEST) if order else (WEST, EAST):
            self._announce(gateway)

    @precondition(lambda self: self._listening)
    @rule(which=st.integers(0, 2), everywhere=st.booleans())
    def logs_out(self, which: int, everywhere: bool) -> None:
        client = self._one_of(self._listening, which)
        assert client.key is not None
        id_ = client.key.id
        for record in self.hall.sessions.end("alice", lambda each: everywhere or each.id == id_):
            assert self.hall.sessions.resume(record.session, record.session.link, record.sent) is None
            if record.attached:
                self._close(record.session.link)

    @rule(seconds=st.sampled_from([1, 6, 11]))
    def time_passes(self, seconds: int) -> None:
        self.hall.clock.now_s += seconds
        self.hall.sessions.expire(1)

    @precondition(lambda self: self._listening)
    @rule(which=st.integers(0, 2), background=st.booleans(), hears=st.booleans())
    def adjusts(self, which: int, background: bool, hears: bool) -> None:
        client = self._one_of(self._listening, which)
        assert client.key is not None
        self.links[client.key.link] = (client.key, background)
        if self.hall.sessions.adjust(client.key, background=background) and hears:
            client.lacks = False

    # Always -----------------------------------------------------------------------------------------------------------

    @invariant()
    def the_counts_are_true(self) -> None:
        here = self.hall.sessions.of("alice")
        counts = self.hall.counts
        assert counts.sessions_attached == sum(record.attached for record, _ in here)
        assert counts.sessions_detached == sum(not record.attached for record, _ in here) <= RULES["detached"]
        assert len(here) <= RULES["per_user"]
        devices = [record.session.device for record, _ in here]
        assert len(devices) == len(set(devices))

    @invariant()
    def whoever_is_attached_has_a_link(self) -> None:
        assert {each.link for each in self.hall.attached("alice")} == set(self.links)

    @property
    def _listening(self) -> list[Client]:
        return [client for client in self.clients if client.key and client.listens and client.key.link in self.links]

    @staticmethod
    def _one_of(things: list[Thing], number: int) -> Thing:
        return things[number % len(things)]

    def _announce(self, gateway: int) -> None:
        for here, background in list(self.links.values()):
            if here.gateway == gateway and here.link in self.links:
                self._settle(self.hall.sessions.restore(here, Arrival(background) if background else FRESH))

    def _settle(self, entered: Entered) -> None:
        for loser in entered.losers:
            self._close(loser.session.link)

    def _close(self, link: int) -> None:
        """The gateway closes a link, and says so."""
        gone = self.links.pop(link, None)
        if gone is not None:
            self.hall.sessions.remove(gone[0])
        for client in self.clients:
            if client.key is not None and client.key.link == link:
                client.listens = False

    @staticmethod
    def _is_connected(client: Client, link: Session, *, synced: bool) -> None:
        client.key, client.received, client.listens = link, 0, True
        client.chain.append(link)
        if synced:
            client.lacks = False


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)
