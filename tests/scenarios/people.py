"""Users of the scenarios: a link with a name, the requests in one line each, and what to expect of errors.

Read next: conftest.py, which opens the door and closes every link behind a test.
"""

from __future__ import annotations

import itertools
import ssl
import time
import urllib.request
from collections.abc import Callable
from typing import Final, Protocol

from longlink.errors import TABLE, Row
from longlink.protocol.frames import (
    Ack,
    Acked,
    Connect,
    Connected,
    Content,
    Conversations,
    Error,
    Frame,
    History,
    ListConversations,
    Message,
    OpenDirect,
    ReadHistory,
    Send,
    Sent,
    body_name,
)
from longlink.testing.server import RunningServer

from .raw import ANSWER_S, ClosedError, Kind, Link

_numbers: Final = itertools.count(1)


def connect_frame(token: str, device: str = "phone", version: int = 1) -> Frame:
    return Frame(connect=Connect(version=version, token=token, device=device, agent="scenarios/1"))


def send_frame(conversation: str, text: str, client_id: str) -> Frame:
    return Frame(send=Send(conversation=conversation, client_id=client_id, content=Content(text=text)))


class Guest(Link):
    """A link of one user. The requests fail the test when they are answered with an error."""

    user: str = ""
    device: str = ""
    session: str = ""

    def connect(self, user: str, device: str, token: str) -> Connected:
        self.user, self.device = user, device
        connected = _body(self.ask(connect_frame(token, device)), "connected").connected
        self.session = connected.session
        return connected

    def direct(self, peer: str) -> str:
        """The id of the direct conversation with this user."""
        return _body(self.ask(Frame(open_direct=OpenDirect(user=peer))), "conversation").conversation.id

    def post_text(self, conversation: str, text: str, client_id: str) -> int:
        return self.post(send_frame(conversation, text, client_id))

    def say(self, conversation: str, text: str, client_id: str = "") -> Sent:
        return self.sent(self.post_text(conversation, text, client_id or f"c-{next(_numbers)}"))

    def sent(self, request: int) -> Sent:
        """The answer to a send that was posted."""
        return _body(self.reply(request), "sent").sent

    def ack(self, conversation: str, seq: int) -> Acked:
        return _body(self.ask(Frame(ack=Ack(conversation=conversation, seq=seq))), "acked").acked

    def history(self, conversation: str, *, after: int = 0, before: int = 0, limit: int = 0) -> History:
        request = ReadHistory(conversation=conversation, after=after, before=before, limit=limit)
        return _body(self.ask(Frame(read_history=request)), "history").history

    def conversations(self, *, since: int = 0, limit: int = 0, cursor: str = "") -> Conversations:
        request = ListConversations(since=since, limit=limit, cursor=cursor)
        return _body(self.ask(Frame(list_conversations=request)), "conversations").conversations

    def message(self) -> Message:
        """The next event, which is a message."""
        return _body(self.event(), "message").message

    def pending(self) -> list[str | None]:
        """The names of all events that the server has queued for this link until now.

        The answer to a request comes behind the events that were queued before it, so no wait is needed.
        """
        self.conversations(limit=1)
        return [body_name(frame) for frame in self.events]

    def __enter__(self) -> Guest:
        return self


class Reachable(Protocol):
    """A server that can be visited, in whatever process."""

    @property
    def port(self) -> int: ...
    @property
    def pid(self) -> int: ...
    @property
    def http(self) -> str: ...
    @property
    def operations(self) -> str: ...
    def token(self, user: str, days: float = 1.0) -> str: ...


class Door:
    """Opens links to one server and closes them all at the end. Each door has users of its own."""

    def __init__(self, server: Reachable) -> None:
        self.server = server
        self._prefix = next(_numbers)
        self._links: list[Guest] = []

    def name(self, user: str) -> str:
        """The full name of this door's user."""
        return f"{user}.{self._prefix}"

    def open(self, kind: Kind = Kind.WS_BINARY, *, receive_buffer: int = 0, tls: ssl.SSLContext | None = None) -> Guest:
        """A link whose user nobody knows yet."""
        link = Guest(self.server.port, kind, receive_buffer=receive_buffer, tls=tls)
        self._links.append(link)
        return link

    def enter(
        self,
        user: str,
        device: str = "phone",
        kind: Kind = Kind.WS_BINARY,
        *,
        receive_buffer: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> Guest:
        """A connected link of this door's user."""
        link = self.open(kind, receive_buffer=receive_buffer, tls=tls)
        link.connect(self.name(user), device, self.server.token(self.name(user)))
        return link

    def close(self) -> None:
        for link in self._links:
            link.close()

    def __enter__(self) -> Door:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Couple:
    """Two users who talk: the others, whom nothing that one client does may disturb."""

    def __init__(self, door: Door) -> None:
        self._bob = door.enter("watching-bob", kind=Kind.TCP_BINARY)
        self._alice = door.enter("watching-alice", kind=Kind.WS_JSON)
        self.conversation = self._alice.direct(self._bob.user)
        self._said = 0

    def talk(self) -> None:
        """One message goes through, as the next one and at once; whatever else happens, nothing else comes."""
        self._said += 1
        assert self._alice.say(self.conversation, f"line {self._said}").seq == self._said
        message = self._bob.message()
        assert (message.seq, message.content.text) == (self._said, f"line {self._said}")
        assert (self._alice.pending(), self._bob.pending()) == ([], [])


def metric(server: Reachable, name: str) -> float:
    """One number of /metrics, by its full name."""
    with urllib.request.urlopen(f"{server.operations}/metrics", timeout=ANSWER_S) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
    raise AssertionError(f"/metrics has no {name}")


def eventually(holds: Callable[[], bool], what: str, seconds: float = ANSWER_S) -> None:
    """Wait until it holds; the test fails when it does not in time."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, f"not in {seconds} s: {what}"
        time.sleep(0.01)


def failures(server: RunningServer) -> list[dict[str, object]]:
    """What the server's log says of its own defects: errors, and lines that are no events at all."""
    return [entry for entry in server.log if entry.get("level") not in ("debug", "info", "warning")]


def error_of(frame: Frame, row: Row) -> Error:
    """The error of an answer, which is this row of the table."""
    assert body_name(frame) == "error", frame
    assert (frame.error.name, frame.error.code) == (row.name, row.code), frame.error
    assert frame.error.message, "an error says what was expected and what came"
    return frame.error


def ends_with(link: Link, row: Row) -> ClosedError:
    """The link ends with this row: its code, and the same code in an error or a closing event before."""
    closed = link.end()
    assert closed.code == row.code, (closed, list(link.events))
    assert TABLE[closed.code].retry == (closed.code < 4500)
    return closed


def refuses(link: Link, request: int, row: Row) -> ClosedError:
    """This request is answered with the row, and the link ends with its code."""
    error_of(link.reply(request), row)
    return ends_with(link, row)


def _body(frame: Frame, name: str) -> Frame:
    assert body_name(frame) == name, f"expected {name}, got {frame}"
    return frame


def ready(server: Reachable) -> tuple[int, str]:
    """Status and body of /readyz."""
    try:
        with urllib.request.urlopen(f"{server.operations}/readyz", timeout=ANSWER_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def check_stored(link: Guest, conversation: str, expected: list[str]) -> None:
    """The conversation holds exactly the messages with these client_ids, in this order."""
    read: list[str] = []
    more = True
    while more:
        page = link.history(conversation, after=len(read), limit=200)
        read += [message.client_id for message in page.messages]
        more = page.more
    assert read == expected
