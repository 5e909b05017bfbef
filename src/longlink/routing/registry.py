"""The embedded registry: who is where, whose client may come back, and what was handed to each.

Delivery counts here what it hands to a link, and a client that comes back says how many came: so one comparison tells
whether it lacks anything. Events for a detached or background session are not kept; one bit records that there were
some. The clock is handed in, nothing here sends anything. Read next: registrar.py, policy.py.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cmp_to_key
from typing import Final, NamedTuple

from msgspec import Struct

from longlink import config, errors
from longlink.errors import Row
from longlink.ops.metrics import Counts
from longlink.routing.ids import STEPS_PER_S, age
from longlink.routing.policy import POLICIES, why_late, why_replaced, why_surplus
from longlink.routing.sessions import FRESH, Arrival, Session

ANY: Final = -1
"""The link before is not known, because the registry is younger: any older key is taken once."""
NEWER: Final = 600 * STEPS_PER_S
"""A key may name a link that is this much newer than the present one, which its gateway has not announced yet."""
FORGOTTEN: Final = 2_000
"""Users that one step of forgetting looks at: about a millisecond."""


class Record(Struct, gc=False):
    """What is known of a session. session: on its present link, or on its last one.

    sent: events handed to that link; missed: there were others since it began. hears: attached, not in the background.
    before: the link whose key this link was resumed with; ANY if that is not known.
    """

    session: Session
    background: bool
    missed: bool
    attached: bool
    hears: bool
    sent: int
    before: int


class Loser(NamedTuple):
    """A link that must be closed, and why."""

    session: Session
    row: Row
    why: str


class Entered(NamedTuple):
    """What follows from an arrival. missed: events were lost since its client was told that there were none."""

    losers: list[Loser]
    missed: bool = False


class MemorySessions:
    """A user with one device costs one dictionary entry, one record and no container of its own.

    now_s: any monotonic clock.
    """

    def __init__(self, settings: config.Sessions, counts: Counts, now_s: Callable[[], float]) -> None:
        self._settings = settings
        self._rivals = POLICIES[settings.policy]
        self._counts = counts
        self._now_s = now_s
        self._by_user: dict[str, Record | tuple[Record, ...]] = {}
        # Who waits, by session id, longest first, with the end of the wait. In a plain dict the first one would be
        # searched behind the places of all that were taken out.
        self._waiting: OrderedDict[int, tuple[Record, float]] = OrderedDict()

    @property
    def count(self) -> int:
        """How many sessions are attached."""
        return self._counts.sessions_attached

    # Coming -----------------------------------------------------------------------------------------------------------

    def add(self, session: Session, arrival: Arrival = FRESH) -> Entered:
        """Attach a session, new or resumed, to its link. The same link again changes nothing.

        Of two links that resume one session the one stays whose key names the other, or else the newer one.
        """
        record = self.find(session)
        if record is None:
            return self._refuse(session) if arrival.link else self._begin(session, arrival)
        present = record.session.link
        if present == session.link:
            return Entered([])
        if record.attached and arrival.link != present and age(session.link, present) < 0:
            return Entered([_taken_over(session)])
        lacks = has_missed(record, arrival.link, arrival.received) and not arrival.missed
        return Entered(self._move(record, session, arrival, missed=lacks), lacks)

    def restore(self, session: Session, arrival: Arrival = FRESH) -> Entered:
        """As add, for a link that is older than this registry or its trunk: the newest win, and may be here already.

        Where it is not known what was handed to it before, it counts as having missed something.
        """
        record = self.find(session)
        if record is None:
            return self._restore(session, arrival)
        if record.session.link == session.link:
            self._attach(record, arrival)
            return Entered([])
        if age(session.link, record.session.link) < 0:
            return Entered([_taken_over(session)])
        return Entered(self._move(record, session, arrival, missed=True))

    def _begin(self, session: Session, arrival: Arrival) -> Entered:
        here = self._of(session.user)
        rivals = [each for each in here if self._rivals(each.session, session)]
        others = [each for each in here if not self._rivals(each.session, session)]
        surplus = _surplus(others, len(others) + 1 - self._settings.per_user)
        losers = self._replace(rivals, lambda old: why_replaced(self._settings.policy, session, old))
        losers += self._replace(surplus, lambda old: why_surplus(session, old))
        self._enter(session, arrival, missed=False, before=0)
        return Entered(losers)

    def _restore(self, session: Session, arrival: Arrival) -> Entered:
        rivals = [each for each in self._of(session.user) if self._rivals(each.session, session)]
        if any(age(each.session.id, session.id) > 0 for each in rivals):
            return Entered([Loser(session, errors.REPLACED, why_late(session))])
        losers = self._replace(rivals, why_late)
        self._enter(session, arrival, missed=True, before=ANY)
        here = sorted(self._of(session.user), key=cmp_to_key(_by_age))
        self._put(session.user, tuple(here))
        return Entered(losers + self._replace(_surplus(here, len(here) - self._settings.per_user), why_late))

    def _refuse(self, session: Session) -> Entered:
        """It was replaced, ended or waited too long, after its client had been told that it goes on."""
        if any(self._rivals(each.session, session) for each in self._of(session.user)):
            return Entered([Loser(session, errors.REPLACED, why_late(session))])
        return Entered([Loser(session, errors.SESSION_UNKNOWN, "the session ended while it was being resumed")])

    def _move(self, record: Record, session: Session, arrival: Arrival, *, missed: bool) -> list[Loser]:
        losers = [_taken_over(record.session)] if record.attached else []
        self._counts.takeovers += len(losers)
        record.session = session
        record.before = arrival.link or ANY
        record.sent = 0
        record.missed = missed
        self._attach(record, arrival)
        return losers

    def _attach(self, record: Record, arrival: Arrival) -> None:
        if not record.attached:
            del self._waiting[record.session.id]
            record.attached = True
            self._count(1)
        record.background = arrival.background
        record.hears = not arrival.background

    def _enter(self, session: Session, arrival: Arrival, *, missed: bool, before: int) -> None:
        hears = not arrival.background
        record = Record(session, arrival.background, missed, attached=True, hears=hears, sent=0, before=before)
        self._put(session.user, (*self._of(session.user), record))
        self._count(1)

    def _replace(self, records: Iterable[Record], why: Callable[[Session], str]) -> list[Loser]:
        gone = self._drop(records)
        self._counts.sessions_replaced += len(gone)
        return [Loser(each.session, errors.REPLACED, why(each.session)) for each in gone if each.attached]

    # Going ------------------------------------------------------------------------------------------------------------

    def remove(self, session: Session) -> None:
        """This link has ended: the session waits for its client. Another link than the present one is fine."""
        record = self.find(session)
        if record is not None and record.session.link == session.link and record.attached:
            self._detach(record)

    def forget(self, gateway: int) -> Iterator[None]:
        """All links of a gateway have ended; some at each step, so links that come meanwhile may be taken for those."""
        for number, user in enumerate(list(self._by_user), 1):
            for record in self._of(user):
                if record.attached and record.session.gateway == gateway:
                    self._detach(record)
            if number % FORGOTTEN == 0:
                yield

    def end(self, user: str, chosen: Callable[[Session], bool]) -> list[Record]:
        """End these sessions of a user for good; returns them."""
        return self._drop([record for record in self._of(user) if chosen(record.session)])

    def expire(self, most: int) -> float | None:
        """End at most so many sessions that waited long enough. Returns how long the next one still waits, if any."""
        now_s = self._now_s()
        while self._waiting:
            record, until_s = next(iter(self._waiting.values()))
            if until_s > now_s or not most:
                return until_s - now_s
            most -= 1
            self._drop([record])
            self._counts.sessions_expired += 1
        return None

    def _detach(self, record: Record) -> None:
        if not self._settings.detached_ms:
            self._drop([record])
            return
        record.attached = record.hears = False
        self._waiting[record.session.id] = (record, self._now_s() + self._settings.detached_ms / 1000)
        self._count(-1)
        if len(self._waiting) > self._settings.detached:
            self._drop([next(iter(self._waiting.values()))[0]])
            self._counts.sessions_evicted += 1

    def _drop(self, records: Iterable[Record]) -> list[Record]:
        gone = list(records)
        for record in gone:
            user = record.session.user
            self._put(user, tuple(each for each in self._of(user) if each is not record))
            if not record.attached:
                del self._waiting[record.session.id]
            self._count(-record.attached)
        return gone

    # Being there ------------------------------------------------------------------------------------------------------

    async def reach(self, users: Sequence[str], besides: int) -> list[Session]:
        """As sessions.Sessions."""
        here: list[Record] = []
        for user in users:
            records = self._by_user.get(user)
            if isinstance(records, Record):
                here.append(records)
            elif records is not None:
                here += records
        found: list[Session] = []
        for record in here:
            session = record.session
            if session.link == besides:
                continue
            if record.hears:
                record.sent += 1
                found.append(session)
            else:
                record.missed = True
        return found

    def resume(self, session: Session, link: int, received: int) -> bool | None:
        """Whether a client that got so many events of this link lacks any; None when the session has ended."""
        record = self.find(session)
        return None if record is None else has_missed(record, link, received)

    def is_reused(self, session: Session, link: int) -> bool:
        """Whether the key of this link is an old one, which its client has had a newer one for and has used that.

        The key of the present link is good, and so is the one that began it, because the answer may have been lost.
        """
        record = self.find(session)
        if record is None or link in (record.session.link, record.before) or record.before == ANY:
            return False
        return not 0 < age(link, record.session.link) <= NEWER

    def adjust(self, session: Session, *, background: bool) -> bool:
        """Leave out events for this link from now on, or no longer. True: it hears again, and has missed some.

        The bit stays until the next link: nobody tells the registry that the client has heard of it.
        """
        record = self.find(session)
        if record is None or record.session.link != session.link or not record.attached:
            return False
        returns = record.background and not background
        record.background = background
        record.hears = not background
        return returns and record.missed

    def find(self, session: Session) -> Record | None:
        """The session with this id, on whatever link; None when it has ended."""
        for record in self._of(session.user):
            if record.session.id == session.id:
                return None if self._has_expired(record) else record
        return None

    def _has_expired(self, record: Record) -> bool:
        """Whether its time is over, and nobody has said so yet; now it is gone."""
        if record.attached or self._waiting[record.session.id][1] > self._now_s():
            return False
        self._drop([record])
        self._counts.sessions_expired += 1
        return True

    def of(self, user: str) -> list[tuple[Record, float]]:
        """All sessions of a user, the first ones first, with the seconds that each still waits; 0 when attached."""
        return [(record, self._waits_s(record)) for record in self._of(user)]

    def some(self, most: int) -> list[tuple[Record, float]]:
        """As of, for any users, at most so many sessions."""
        everybody = (record for user in self._by_user for record in self._of(user))
        return [(record, self._waits_s(record)) for record in itertools.islice(everybody, most)]

    def _waits_s(self, record: Record) -> float:
        return 0.0 if record.attached else self._waiting[record.session.id][1] - self._now_s()

    def _of(self, user: str) -> tuple[Record, ...]:
        here = self._by_user.get(user, ())
        return (here,) if isinstance(here, Record) else here

    def _put(self, user: str, records: tuple[Record, ...]) -> None:
        if not records:
            del self._by_user[user]
        else:
            self._by_user[user] = records[0] if len(records) == 1 else records

    def _count(self, more: int) -> None:
        """So many more are attached, or fewer."""
        self._counts.sessions_attached += more
        self._counts.sessions_detached = len(self._waiting)


def has_missed(record: Record, link: int, received: int) -> bool:
    """False only when everything that was handed to the present link has come, and nothing was left out."""
    return record.missed or received != record.sent or link != record.session.link


def _surplus(records: Sequence[Record], count: int) -> list[Record]:
    """So many that give way: those that wait for their clients before those that are there, the older ones first."""
    return sorted(records, key=lambda record: record.attached)[: max(0, count)]


def _taken_over(old: Session) -> Loser:
    return Loser(old, errors.RESUMED, "a newer connection has resumed the session")


def _by_age(one: Record, other: Record) -> int:
    return age(one.session.id, other.session.id)
