"""broadcast: the operator says something to everybody who is connected. Stored nowhere; no request of a client does it.

Read next: ../access/control.py, through which operators ask for it.
"""

from __future__ import annotations

from typing import NamedTuple

from longlink import errors
from longlink.errors import LonglinkError
from longlink.protocol.codec import encode, encode_text
from longlink.protocol.frames import Content, Frame, Notice
from longlink.protocol.limits import check_content
from longlink.routing.bus.base import Bus
from longlink.routing.registry import MemorySessions


class Handed(NamedTuple):
    """To how many sessions on how many gateways a notice was handed; who reads too slowly still misses it."""

    sessions: int
    gateways: int


def broadcast(text: str, sessions: MemorySessions, bus: Bus, now_ms: int, most_bytes: int) -> Handed:
    """Raises FIELD_INVALID for no text and for what is none in UTF-8, FRAME_TOO_LARGE for one beyond most_bytes."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        # Arguments of a command line may hold any bytes, and come here as halves of surrogate pairs.
        raise LonglinkError(errors.FIELD_INVALID, "notice.text: expected UTF-8, got bytes that are none") from None
    content = Content(text=text)
    check_content(content, "notice")
    if size > most_bytes:
        message = f"expected a notice of at most {most_bytes} bytes (connection.max_message_bytes), got {size}"
        raise LonglinkError(errors.FRAME_TOO_LARGE, message)
    frame = Frame(notice=Notice(content=content, sent_at=now_ms))
    return Handed(sessions.count, bus.broadcast(encode(frame), encode_text(frame)))
