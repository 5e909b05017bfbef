"""The frames under plain names: the generated classes themselves, because every message passes through them.

Three groups of bodies: requests (client to server), replies and events (server to client); the number of a field says
to which group it belongs, as longlink.proto lays down. Never checks a value. Read next: codec.py, session.py.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

from longlink.errors import LonglinkError
from longlink.protocol._pb.longlink_pb2 import (
    Ack,
    Acked,
    Adjust,
    Adjusted,
    Change,
    Closing,
    Connect,
    Connected,
    Content,
    Conversation,
    Conversations,
    Custom,
    Delivered,
    Error,
    Frame,
    History,
    ListConversations,
    LoggedOut,
    Logout,
    Mark,
    Marked,
    Member,
    Message,
    Missed,
    Notice,
    OpenDirect,
    Read,
    ReadHistory,
    Send,
    Sent,
    Sync,
    Synced,
)

__all__ = [
    "EVENTS",
    "REPLIES",
    "REQUESTS",
    "VERSION",
    "Ack",
    "Acked",
    "Adjust",
    "Adjusted",
    "Change",
    "Closing",
    "Connect",
    "Connected",
    "Content",
    "Conversation",
    "Conversations",
    "Custom",
    "Delivered",
    "Error",
    "EventName",
    "Frame",
    "FrameName",
    "History",
    "ListConversations",
    "LoggedOut",
    "Logout",
    "Mark",
    "Marked",
    "Member",
    "Message",
    "Missed",
    "Notice",
    "OpenDirect",
    "Read",
    "ReadHistory",
    "ReplyName",
    "RequestName",
    "Send",
    "Sent",
    "Sync",
    "Synced",
    "body_name",
    "error_frame",
]

VERSION: Final = 1
"""The version of the protocol that this code speaks: Connect.version."""

RequestName: TypeAlias = Literal[
    "connect", "open_direct", "send", "ack", "read_history", "list_conversations", "sync", "adjust", "logout"
]
ReplyName: TypeAlias = Literal[
    "error",
    "connected",
    "conversation",
    "sent",
    "acked",
    "history",
    "conversations",
    "synced",
    "adjusted",
    "logged_out",
]
EventName: TypeAlias = Literal["message", "delivered", "missed", "closing", "notice", "read"]
FrameName: TypeAlias = RequestName | ReplyName | EventName

REQUESTS: Final[tuple[RequestName, ...]] = get_args(RequestName)
REPLIES: Final[tuple[ReplyName, ...]] = get_args(ReplyName)
EVENTS: Final[tuple[EventName, ...]] = get_args(EventName)


def body_name(frame: Frame) -> FrameName | None:
    """Which body is set, by its name in the schema; None when there is none or none that this version knows."""
    return frame.WhichOneof("body")


def error_frame(error: LonglinkError, request: int) -> Frame:
    """The Error reply to a request; request: its id, 0 when it could not be read."""
    row = error.row
    answer = Error(code=row.code, name=row.name, message=error.message, retry_after_ms=error.retry_after_ms)
    return Frame(id=request, error=answer)
