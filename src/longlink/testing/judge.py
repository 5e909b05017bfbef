"""Whether the books of a run agree with the server's log: the promises of SPEC.md section 6, one function each.

Pure: reads, changes nothing. Each function yields what it finds; the log itself is judged first. Read next: facts.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from longlink.testing.facts import Device, Entry, Fact, Kind, Log, Marks, ViolationError

AROUND: Final = 3
"""Events before and behind a violation that its report shows."""

Ends = Mapping[tuple[str, str], Marks]


@dataclass
class Ledger:
    """The facts, sorted: by device and conversation with their place in the whole, and the log by client_id."""

    devices: Mapping[str, Device]
    written: Sequence[Fact]
    members: Mapping[str, Sequence[str]]
    log: Log
    places: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    asked: dict[tuple[str, str, str], Fact] = field(default_factory=dict)
    stored: dict[tuple[str, str, str], Entry] = field(default_factory=dict)
    """Both by conversation, user, client_id."""

    def __post_init__(self) -> None:
        for place, fact in enumerate(self.written):
            self.places[fact.device, fact.conversation].append(place)
            if fact.what == "asked":
                self.asked.setdefault((fact.conversation, self.devices[fact.device].user, fact.client_id), fact)
        for conversation, entries in self.log.items():
            for entry in entries:
                self.stored.setdefault((conversation, entry.sender, entry.client_id), entry)

    def facts(self, device: str, conversation: str, what: str) -> Iterator[tuple[int, Fact]]:
        """With their places in the whole."""
        for place in self.places.get((device, conversation), ()):
            if self.written[place].what == what:
                yield place, self.written[place]

    def books(self) -> Iterator[tuple[Device, str]]:
        """Every device with every conversation that it must see or of which it says something."""
        for name, device in self.devices.items():
            mine = {conversation: None for conversation, users in self.members.items() if device.user in users}
            mine |= {conversation: None for each, conversation in self.places if each == name}
            yield from ((device, conversation) for conversation in mine)

    def violation(self, kind: Kind, fact: Fact, place: int, message: str) -> ViolationError:
        """One by a fact, with what the same device wrote around it."""
        places = self.places[fact.device, fact.conversation]
        middle = places.index(place)
        near = places[max(0, middle - AROUND) : middle + AROUND + 1]
        around = [f"{'>' if each == place else ' '} #{each} {self.written[each]}" for each in near]
        return ViolationError(kind, fact.device, fact.conversation, fact.seq, message, around)

    def of_log(self, kind: Kind, conversation: str, index: int, message: str) -> ViolationError:
        """One by the log itself."""
        entries = self.log[conversation]
        near = range(max(0, index - AROUND), min(len(entries), index + AROUND + 1))
        around = [f"{'>' if each == index else ' '} log: {_words(entries[each])}" for each in near]
        return ViolationError(kind, "the server's log", conversation, entries[index].seq, message, around)


def judge(
    devices: Mapping[str, Device],
    facts: Sequence[Fact],
    members: Mapping[str, Sequence[str]],
    log: Log,
    marks: Ends | None,
) -> Iterator[ViolationError]:
    """Everything that is wrong."""
    ledger = Ledger(devices, facts, members, log)
    yield from _log_counts(ledger)
    yield from _log_is_what_was_asked(ledger)
    for device, conversation in ledger.books():
        yield from _told_is_stored(ledger, device, conversation)
        yield from _own_order(ledger, device, conversation)
        yield from _view(ledger, device, conversation)
        yield from _marks_rise(ledger, device, conversation)
    yield from _devices_agree(ledger)
    if marks is not None:
        yield from _marks_hold(ledger, marks)


# The log --------------------------------------------------------------------------------------------------------------


def _log_counts(ledger: Ledger) -> Iterator[ViolationError]:
    """1, 2, 3, ... and nothing twice."""
    for conversation, entries in ledger.log.items():
        seen: dict[tuple[str, str], int] = {}
        before = 0
        for index, entry in enumerate(entries):
            if entry.seq != before + 1:
                kind = _step(before, entry.seq)
                yield ledger.of_log(kind, conversation, index, f"expected seq {before + 1}, got {entry.seq}")
            before = entry.seq
            first = seen.setdefault((entry.sender, entry.client_id), entry.seq)
            if first != entry.seq:
                yield ledger.of_log("doubled", conversation, index, f"expected once, it is seq {first} already")


def _log_is_what_was_asked(ledger: Ledger) -> Iterator[ViolationError]:
    users = {device.user for device in ledger.devices.values()}
    for conversation, entries in ledger.log.items():
        for index, entry in enumerate(entries):
            asked = ledger.asked.get((conversation, entry.sender, entry.client_id))
            if asked is None and entry.sender in users:
                yield ledger.of_log("doubled", conversation, index, f"nobody asked {entry.sender} to send it")
            elif asked is not None and asked.content != entry.content:
                message = f"expected {asked.content!r}, got {entry.content!r}"
                yield ledger.of_log("lost", conversation, index, message)


# One device -----------------------------------------------------------------------------------------------------------


def _told_is_stored(ledger: Ledger, device: Device, conversation: str) -> Iterator[ViolationError]:
    """What was acknowledged is in the log, with that seq; the same message always has the same seq."""
    for place, fact in ledger.facts(device.full, conversation, "told"):
        stored = ledger.stored.get((conversation, device.user, fact.client_id))
        if stored is None:
            yield ledger.violation("lost", fact, place, "it was acknowledged, and is not in the log")
        elif stored.seq != fact.seq:
            message = f"it was acknowledged as seq {fact.seq}, and is seq {stored.seq} of the log"
            yield ledger.violation("reordered", fact, place, message)


def _own_order(ledger: Ledger, device: Device, conversation: str) -> Iterator[ViolationError]:
    """What one device sent is stored in the order of its sending."""
    before: Entry | None = None
    for place, fact in ledger.facts(device.full, conversation, "asked"):
        stored = ledger.stored.get((conversation, device.user, fact.client_id))
        if stored is None:
            continue
        if before is not None and stored.seq < before.seq:
            message = f"it is seq {stored.seq}, before {before.client_id} (seq {before.seq}), which was sent earlier"
            yield ledger.violation("reordered", fact, place, message)
        before = stored


def _view(ledger: Ledger, device: Device, conversation: str) -> Iterator[ViolationError]:
    """What a device saw is the log, without a gap, a double or another order, and up to its end.

    Its own messages need not be shown to it.
    """
    entries = {entry.seq: entry for entry in ledger.log.get(conversation, ())}
    shown = {fact.seq for _, fact in ledger.facts(device.full, conversation, "saw")}
    begins = device.starts.get(conversation, device.begins)
    before = None if begins is None else begins - 1
    seen: set[int] = set()
    for place, fact in ledger.facts(device.full, conversation, "saw"):
        yield from _is_stored(ledger, fact, place, entries)
        if before is not None:
            following = _following(ledger, device, conversation, entries, before, fact.seq)
            if fact.seq != following:
                late = fact.seq > following and following in shown
                kind: Kind = (
                    "doubled" if fact.seq in seen else "lost" if fact.seq > following and not late else "reordered"
                )
                yield ledger.violation(kind, fact, place, f"expected seq {following}, got {fact.seq}")
        before = max(before or 0, fact.seq)
        seen.add(fact.seq)
    if device.present and before is not None:
        yield from _reaches_the_end(ledger, device, conversation, entries, before)


def _is_stored(ledger: Ledger, fact: Fact, place: int, entries: dict[int, Entry]) -> Iterator[ViolationError]:
    """What was shown is what the log has there."""
    stored = entries.get(fact.seq)
    if stored is None:
        yield ledger.violation("lost", fact, place, "it was shown, and is not in the log")
    elif Entry(fact.seq, fact.sender, fact.client_id, fact.content) != stored:
        yield ledger.violation("lost", fact, place, f"expected {_words(stored)}")


def _reaches_the_end(
    ledger: Ledger, device: Device, conversation: str, entries: dict[int, Entry], before: int
) -> Iterator[ViolationError]:
    head = max(entries, default=0)
    following = _following(ledger, device, conversation, entries, before, head + 1)
    if following <= head:
        near = [str(ledger.written[place]) for place in ledger.places[device.full, conversation][-AROUND:]]
        message = f"it never saw {_words(entries[following])}; the head is {head}"
        yield ViolationError("lost", device.full, conversation, following, message, near)


def _following(
    ledger: Ledger, device: Device, conversation: str, entries: dict[int, Entry], before: int, until: int
) -> int:
    """The next seq that must be shown: own messages in between are skipped, unless one of them is what was shown."""
    seq = before + 1
    while seq < until and seq in entries and _own(ledger, device, conversation, entries[seq]):
        seq += 1
    return seq


def _own(ledger: Ledger, device: Device, conversation: str, entry: Entry) -> bool:
    asked = ledger.asked.get((conversation, entry.sender, entry.client_id))
    return asked is not None and entry.sender == device.user and asked.device == device.full


# Marks ----------------------------------------------------------------------------------------------------------------


def _marks_rise(ledger: Ledger, device: Device, conversation: str) -> Iterator[ViolationError]:
    """What a device knows of somebody's mark never goes back, and never passes the head."""
    head = max((entry.seq for entry in ledger.log.get(conversation, ())), default=0)
    highest: dict[tuple[str, str, str], int] = defaultdict(int)
    for what in ("confirmed", "heard"):
        for place, fact in ledger.facts(device.full, conversation, what):
            name = (what, fact.about, fact.user)
            if fact.seq < highest[name]:
                message = f"the mark was {highest[name]} before, and went back to {fact.seq}"
                yield ledger.violation("reordered", fact, place, message)
            if fact.seq > head:
                yield ledger.violation("lost", fact, place, f"the mark is beyond the head, which is {head}")
            highest[name] = max(highest[name], fact.seq)


def _devices_agree(ledger: Ledger) -> Iterator[ViolationError]:
    """At the end all devices of a user believe the same of every mark."""
    first: dict[tuple[str, str, str, str], Fact] = {}
    for place, fact in enumerate(ledger.written):
        if fact.what == "stands":
            user = ledger.devices[fact.device].user
            other = first.setdefault((user, fact.conversation, fact.user, fact.about), fact)
            if other.seq != fact.seq:
                message = f"{other.device} believes {other.seq} of the {fact.about} mark of {fact.user}"
                yield ledger.violation("lost", fact, place, message)


def _marks_hold(ledger: Ledger, marks: Ends) -> Iterator[ViolationError]:
    """The server's marks at the end: read <= delivered <= head, as devices believe, not below what any was told."""
    for (conversation, user), ends in marks.items():
        head = max((entry.seq for entry in ledger.log.get(conversation, ())), default=0)
        if ends.read > ends.delivered or ends.delivered > head:
            message = f"expected read <= delivered <= head {head}, got {ends.read} and {ends.delivered}"
            yield ViolationError("lost", user, conversation, ends.delivered, message, ())
    for place, fact in enumerate(ledger.written):
        if not fact.user or (fact.conversation, fact.user) not in marks:
            continue
        held = getattr(marks[fact.conversation, fact.user], fact.about)
        if held < fact.seq or (fact.what == "stands" and held != fact.seq):
            yield ledger.violation("lost", fact, place, f"the server has {held} at the end")


def _step(before: int, seq: int) -> Kind:
    """What it is when something else than before + 1 comes."""
    if seq > before + 1:
        return "lost"
    return "doubled" if seq == before else "reordered"


def _words(entry: Entry) -> str:
    return f"seq {entry.seq}: {entry.client_id} from {entry.sender}, {entry.content[:40]!r}"
