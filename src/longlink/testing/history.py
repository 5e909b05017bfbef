"""The books of a run: what every device sent, was told, saw and confirmed, and whether the server's log agrees.

Recording is one append and may be done from any thread; all judging is done afterwards. It knows nothing of links or
clients: whoever drives them writes here. Read next: facts.py, judge.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from longlink.testing.facts import Device, Fact, Log, Marks, ViolationError
from longlink.testing.judge import judge

Ends = Mapping[tuple[str, str], Marks]


@dataclass
class History:
    """`device()` gives the book of one; `check(log)` judges them all.

    members: by conversation, who must see it; a conversation that is not named here is looked at where a device
    mentions it. Books of several processes are merged by `add`.
    """

    members: dict[str, tuple[str, ...]] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)

    def device(
        self, user: str, name: str, *, begins: int | None = 1, starts: Mapping[str, int] | None = None
    ) -> Device:
        """The book of one life of a device; name it anew when it has forgotten all (`phone#2`).

        begins: seq of the first message that it must see in each conversation; None: the first one that it sees.
        starts: the same for single conversations. Raises ValueError when the name is taken.
        """
        full = f"{user}/{name}"
        if full in self.devices:
            raise ValueError(f"expected a new device, {full} has a book already")
        made = self.devices[full] = Device(full, user, self.facts, begins, dict(starts or {}))
        return made

    def add(self, other: History) -> None:
        """The books of another process. Raises ValueError when both have the same device."""
        if both := self.devices.keys() & other.devices.keys():
            raise ValueError(f"expected other devices, both have {', '.join(sorted(both))}")
        self.members |= other.members
        self.devices |= other.devices
        self.facts += other.facts

    def check(self, log: Log, marks: Ends | None = None) -> None:
        """Raises the first ViolationError. See `violations`."""
        for violation in self.violations(log, marks):
            raise violation

    def violations(self, log: Log, marks: Ends | None = None) -> Iterator[ViolationError]:
        """Everything that is wrong, when all is quiet: each message told as stored is in the log once, as it was told;
        nobody's view has a gap, a double or another order, and it reaches the end; marks never went back.

        log: what the server has stored. marks: what it says of each (conversation, user) at the end.
        """
        return judge(self.devices, self.facts, self.members, log, marks)
