"""What a line that begins with `/` asks for in a chat; `//` begins a text that begins with one `/`.

Pure. Only where a person types: lines of a pipe are sent as they are. Read next: screen.py, lines.py.
"""

from __future__ import annotations

from typing import Final, NamedTuple

HELP: Final = (
    "/help   show this",
    "/quit   leave, as Ctrl-C and Ctrl-D do",
    "//...   send a text that begins with /",
    "Behind your own messages: ✓ stored on the server, ✓✓ delivered to a device of the other user, ✓✓ read",
)


class Asked(NamedTuple):
    """text: what to send; quits: whether to leave; shown: lines to show to the user alone."""

    text: str = ""
    quits: bool = False
    shown: tuple[str, ...] = ()


def asked(line: str) -> Asked:
    if not line.startswith("/"):
        return Asked(text=line)
    if line.startswith("//"):
        return Asked(text=line[1:])
    word = line.split()[0]
    if word in ("/quit", "/exit"):
        return Asked(quits=True)
    if word == "/help":
        return Asked(shown=HELP)
    return Asked(shown=(f"There is no command {word}; /help lists them, and // begins a text with /.",))
