"""What a chat looks like: messages in order with day lines, times, names and marks, wrapped to a width.

Pure: no terminal, no client, no clock of its own. A row is a list of (style class, text). Read next: screen.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from prompt_toolkit.utils import get_cwidth

from longlink.cli import plain
from longlink.client.events import Message, Sent

Row = list[tuple[str, str]]

KEPT: Final = 2_000
"""Messages kept in memory; older ones are in history."""
NAME_WIDTH: Final = 12
NARROW: Final = 44
"""Below this width names and times move out of the way."""
SENDING, STORED, DELIVERED, READ, FAILED = "…", "✓", "✓✓", "✓✓ read", "✗"
MARK_WIDTH: Final = 2 + len(READ)
NARROW_MARK_WIDTH: Final = 2 + len(DELIVERED)


@dataclass(slots=True)
class Said:
    """One message. sender: empty for me, who is not known before the first connection. seq: 0 until it is stored;
    problem: why it never will be."""

    sender: str
    text: str
    at: datetime
    seq: int = 0
    problem: str = ""


class Transcript:
    """One conversation between me and peer."""

    def __init__(self, me: str, peer: str) -> None:
        self.me = me
        self.peer = peer
        self.reached = 0
        self.read = 0
        self.notes: tuple[str, ...] = ()
        self._newest_read = 0
        self._stored: dict[int, Said] = {}
        self._waiting: list[Said] = []

    def __len__(self) -> int:
        return len(self._stored) + len(self._waiting)

    @property
    def oldest(self) -> int:
        """Seq of the oldest message shown; 0 when there is none."""
        return min(self._stored, default=0)

    @property
    def unsent(self) -> int:
        return sum(not said.problem for said in self._waiting)

    def add(self, message: Message) -> None:
        """A message of the peer, of history, or of another device of mine; twice does no harm."""
        text = f"[{message.custom.type}, {len(message.custom.data)} bytes]" if message.custom else message.text
        self._keep(message.seq, Said(message.sender, text, message.sent_at.astimezone(), message.seq))

    def sending(self, text: str, at: datetime) -> Said:
        """A message that I have just written; shown at the end until it is stored."""
        said = Said("", text, at)
        self._waiting.append(said)
        return said

    def stored(self, said: Said, sent: Sent) -> None:
        self._waiting.remove(said)
        said.seq = sent.seq
        said.at = sent.sent_at.astimezone()
        self._keep(sent.seq, said)

    def failed(self, said: Said, problem: str) -> None:
        said.problem = problem

    def delivered(self, seq: int) -> None:
        """Everything up to seq has reached a device of the peer."""
        self.reached = max(self.reached, seq)

    def read_by_peer(self, seq: int) -> None:
        """The peer has read everything up to seq, and so received it."""
        self.read = max(self.read, seq)
        self.delivered(seq)

    @property
    def newest_of_peer(self) -> int:
        """Seq of the newest message of the peer that is shown; 0 when there is none."""
        return max((seq for seq, said in self._stored.items() if said.sender not in ("", self.me)), default=0)

    def rows(self, width: int) -> list[Row]:
        """All rows, oldest first, none wider than width columns."""
        found: list[Row] = []
        day = None
        # The word stands only behind my newest message that the peer has read.
        mine = (seq for seq, said in self._stored.items() if said.sender in ("", self.me) and seq <= self.read)
        self._newest_read = max(mine, default=0)
        for said in [*(self._stored[seq] for seq in sorted(self._stored)), *self._waiting]:
            if said.at.date() != day:
                day = said.at.date()
                found += _day(said.at, width)
            found += self._message(said, width)
        for note in self.notes:
            found += [[("class:hint", f" {line}")] for line in wrap(note, max(8, width - 1))]
        return found

    def _keep(self, seq: int, said: Said) -> None:
        self._stored[seq] = said
        if len(self._stored) > KEPT:
            del self._stored[min(self._stored)]

    def _message(self, said: Said, width: int) -> Iterator[Row]:
        mine = said.sender in ("", self.me)
        sender = said.sender or self.me
        style = "class:me" if mine else "class:peer"
        mark, mark_style = self._mark(said) if mine else ("", "")
        if width < NARROW:
            lead: Row = [("class:time", f"{said.at:%H:%M} "), (style, _fit(sender, width - 6))]
            yield lead
            indent, lead = 2, [("", "  ")]
        else:
            column = min(NAME_WIDTH, max(get_cwidth(plain.line(name)) for name in (self.me, self.peer)))
            name = _pad(_fit(sender, column), column)
            lead = [("class:time", f" {said.at:%H:%M}  "), (style, name), ("", "  ")]
            indent = len(" HH:MM  ") + column + 2
        mark = mark if width >= NARROW else mark[: len(DELIVERED)]
        room = MARK_WIDTH if mine and width >= NARROW else NARROW_MARK_WIDTH
        lines = [
            part for line in plain.block(said.text).split("\n") for part in wrap(line, max(8, width - indent - room))
        ]
        for number, line in enumerate(lines):
            row = [*(lead if number == 0 else [("", " " * indent)]), ("class:text", line)]
            if number == len(lines) - 1 and mark:
                row.append((mark_style, f"  {mark}"))
            yield row
        if said.problem:
            for line in wrap(f"not sent: {said.problem}", max(8, width - indent)):
                yield [("", " " * indent), ("class:problem", line)]

    def _mark(self, said: Said) -> tuple[str, str]:
        if said.problem:
            return FAILED, "class:problem"
        if not said.seq:
            return SENDING, "class:waiting"
        if said.seq <= self.read:
            return (READ if said.seq == self._newest_read else DELIVERED), "class:read"
        return (DELIVERED, "class:delivered") if said.seq <= self.reached else (STORED, "class:stored")


def wrap(line: str, width: int) -> list[str]:
    """A line in pieces of at most width columns, cut at spaces where there are any; wide characters count two."""
    pieces: list[str] = []
    while get_cwidth(line) > width:
        cut = _columns(line, width)
        space = line.rfind(" ", 1, cut + 1)
        cut = space if space > 0 else cut
        pieces.append(line[:cut].rstrip(" "))
        line = line[cut:].lstrip(" ") if space > 0 else line[cut:]
    return [*pieces, line]


def _columns(line: str, width: int) -> int:
    """How many characters fit into width columns; at least one, so that wrapping ends."""
    used = 0
    for number, character in enumerate(line):
        used += get_cwidth(character)
        if used > width:
            return max(1, number)
    return len(line)


def _fit(text: str, width: int) -> str:
    text = plain.line(text)
    return text if get_cwidth(text) <= width else text[: _columns(text, width - 1)] + "…"


def _pad(text: str, width: int) -> str:
    return text + " " * (width - get_cwidth(text))


def _day(at: datetime, width: int) -> list[Row]:
    label = f"{at:%A}, {at.day} {at:%B %Y}"
    label = label if len(label) + 8 <= width else f"{at:%Y-%m-%d}"
    side = max(0, (width - len(label) - 2) // 2)
    line = "─" * min(side, 24)
    return [[], [("", " " * (side - len(line))), ("class:day", f"{line} {label} {line}")], []]
