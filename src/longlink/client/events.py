"""What the application sees: frozen values, one class a kind of event, made from frames.

Times are `datetime` in UTC with the server's millisecond precision. Nothing here does I/O. Read next: inbox.py, which
decides when an event is due.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from longlink.errors import LonglinkError
from longlink.protocol import frames

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Custom:
    """Content of the application's own. type: a MIME type or any name, 1..128 characters; data: stored untouched."""

    type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """A message of somebody else, or of another device of the same user. text is "" when custom is set.

    mentions: users whom it mentions by name; mentions_all: it mentions every member.
    """

    conversation: str
    seq: int
    sender: str
    client_id: str
    sent_at: datetime
    text: str
    custom: Custom | None
    mentions: tuple[str, ...] = ()
    mentions_all: bool = False

    @property
    def id(self) -> str:
        """Names the message for ever; equal to `Sent.id` on the sender's side."""
        return f"{self.conversation}:{self.seq}"


@dataclass(frozen=True, slots=True)
class Sent:
    """A message of this client is on the server's disk: the answer to a send, and the event after a post.

    duplicate: an earlier try had stored it already.
    """

    conversation: str
    seq: int
    client_id: str
    sent_at: datetime
    duplicate: bool

    @property
    def id(self) -> str:
        """Equal to `Message.id` on the receivers' side."""
        return f"{self.conversation}:{self.seq}"


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that was posted, or of an earlier process, was refused for good; it is not tried again."""

    conversation: str
    client_id: str
    error: LonglinkError


@dataclass(frozen=True, slots=True)
class Delivered:
    """Everything up to seq has reached a device of that user."""

    conversation: str
    user: str
    seq: int


@dataclass(frozen=True, slots=True)
class Read:
    """That user has read everything up to seq, and so received it; also the own one, on another device."""

    conversation: str
    user: str
    seq: int


@dataclass(frozen=True, slots=True)
class Notice:
    """The operator of the server says something to everybody who is connected; it is in no history.

    text is "" when custom is set.
    """

    text: str
    custom: Custom | None
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class Connected:
    """The first link is up. device is the one in use, also when it was chosen at random.

    link: "websocket", "tcp" or, behind a proxy that lets neither pass, "stream". resumed: the session of the link
    before goes on.
    """

    user: str
    device: str
    session: str
    server: str
    link: str = "websocket"
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class Reconnected:
    """A later link is up. What was missed follows as ordinary messages. Fields as in Connected."""

    user: str
    device: str
    session: str
    server: str
    link: str = "websocket"
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The link is down, or an attempt to get it back failed; the next attempt starts in retry_in_s seconds."""

    error: LonglinkError
    retry_in_s: float


State = Connected | Reconnected | Disconnected
Event = Message | Delivered | Read | Notice | Sent | Refused | Connected | Reconnected | Disconnected


def moment(ms: int) -> datetime:
    """ms since the Unix epoch, exactly (a float would round)."""
    return EPOCH + timedelta(milliseconds=ms)


def _custom(content: frames.Content) -> Custom | None:
    return Custom(content.custom.type, content.custom.data) if content.HasField("custom") else None


def message(frame: frames.Message) -> Message:
    return Message(
        conversation=frame.conversation,
        seq=frame.seq,
        sender=frame.sender,
        client_id=frame.client_id,
        sent_at=moment(frame.sent_at),
        text=frame.content.text,
        custom=_custom(frame.content),
        mentions=tuple(frame.content.mentions),
        mentions_all=frame.content.mentions_all,
    )


def notice(frame: frames.Notice) -> Notice:
    return Notice(frame.content.text, _custom(frame.content), moment(frame.sent_at))


def sent(frame: frames.Sent) -> Sent:
    return Sent(frame.conversation, frame.seq, frame.client_id, moment(frame.sent_at), frame.duplicate)
