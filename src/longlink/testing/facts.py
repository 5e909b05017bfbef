"""The words of the books: what one device wrote, what the server has, and a promise that was broken.

Read next: history.py, which collects; judge.py, which judges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Kind = Literal["lost", "doubled", "reordered"]
"""What a violation amounts to. Changed content and a mark too high count as lost, a mark that goes back as
reordered."""


class Entry(NamedTuple):
    """A message as the server's log has it, or as somebody saw it."""

    seq: int
    sender: str
    client_id: str
    content: str


class Marks(NamedTuple):
    """Up to where a user has a conversation."""

    delivered: int = 0
    read: int = 0


class Fact(NamedTuple):
    """One line of the books. what: asked, told, saw, confirmed (own mark), heard (of somebody's mark) or stands
    (what it believes of a mark at the end).

    about: for marks "delivered" or "read"; user: whose mark.
    """

    device: str
    what: str
    conversation: str
    seq: int = 0
    client_id: str = ""
    sender: str = ""
    content: str = ""
    about: str = ""
    user: str = ""

    def __str__(self) -> str:
        parts = [f"seq {self.seq}" if self.seq else "", self.client_id and f"client_id {self.client_id}"]
        parts += [self.sender and f"from {self.sender}", self.content and repr(self.content[:40])]
        parts += [self.user and f"{self.about} mark of {self.user}"]
        return f"{self.device} {self.what} " + ", ".join(filter(None, parts))


Log = Mapping[str, Sequence[Entry]]
"""By conversation, in the order in which the server keeps it."""


class ViolationError(AssertionError):
    """A promise that was broken: what it amounts to, who, where, what was expected, what came, what was around it."""

    def __init__(self, kind: Kind, who: str, conversation: str, seq: int, message: str, around: Sequence[str]) -> None:
        shown = "".join(f"\n    {line}" for line in around)
        super().__init__(f"{kind}: {who} in {conversation} at seq {seq}: {message}{shown}")
        self.kind = kind
        self.who = who
        self.conversation = conversation
        self.seq = seq


@dataclass
class Device:
    """One life of one device. present: it is there at the end, so it must have seen everything."""

    full: str
    user: str
    facts: list[Fact] = field(repr=False)
    begins: int | None = 1
    starts: dict[str, int] = field(default_factory=dict)
    present: bool = True

    def asked(self, conversation: str, client_id: str, content: str) -> None:
        """The application sends a message, in this order; a repetition by the client is no new one."""
        self._write("asked", conversation, client_id=client_id, content=content)

    def told(self, conversation: str, client_id: str, seq: int) -> None:
        """msg:A: the message is stored under seq."""
        self._write("told", conversation, seq=seq, client_id=client_id)

    def saw(self, conversation: str, seq: int, sender: str, client_id: str, content: str) -> None:
        """A message was shown to the application."""
        self._write("saw", conversation, seq=seq, sender=sender, client_id=client_id, content=content)

    def confirmed(self, conversation: str, *, delivered: int = 0, read: int = 0) -> None:
        """ack:A: marks of this user that hold now; 0 says nothing."""
        for about, seq in (("delivered", delivered), ("read", read)):
            if seq:
                self._write("confirmed", conversation, seq=seq, about=about, user=self.user)

    def heard(self, conversation: str, user: str, *, delivered: int = 0, read: int = 0) -> None:
        """ack:N or a Read event: a mark of somebody; 0 says nothing."""
        for about, seq in (("delivered", delivered), ("read", read)):
            if seq:
                self._write("heard", conversation, seq=seq, about=about, user=user)

    def stands(self, conversation: str, user: str, *, delivered: int = 0, read: int = 0) -> None:
        """What this device believes of somebody's marks when all is quiet; the user's other devices must agree."""
        self._write("stands", conversation, seq=delivered, about="delivered", user=user)
        self._write("stands", conversation, seq=read, about="read", user=user)

    def left(self) -> None:
        """It is not there at the end, so it need not have seen everything."""
        self.present = False

    def _write(self, what: str, conversation: str, **values: str | int) -> None:
        self.facts.append(Fact(self.full, what, conversation, **values))  # type: ignore[arg-type]
