"""The one table of errors: every code that a client, a caller or an operator can meet.

One number space, which is also the space of WebSocket close codes (RFC 6455 section 7.4.2): below 4500 the same request
or connection may succeed later, from 4500 on it fails again until something is changed. Nothing here formats, logs or
sends. docs/reference/errors.md is generated from TABLE. Read next: protocol/session.py, which raises most of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of error: its stable name, its code, its HTTP status and what to do about it."""

    name: str
    code: int
    http: int
    remedy: str

    @property
    def retry(self) -> bool:
        """Whether the same request, or a reconnect, may succeed later without any change."""
        return self.code < 4500


class LonglinkError(Exception):
    """Any error of the table. Carries the row and a sentence that says what was expected and what came.

    request: id of the request that it answers, where only the raiser could read it; otherwise 0.
    """

    def __init__(self, row: Row, message: str, *, retry_after_ms: int = 0) -> None:
        super().__init__(message)
        self.row = row
        self.message = message
        self.retry_after_ms = retry_after_ms
        self.request = 0

    @property
    def name(self) -> str:
        return self.row.name

    @property
    def code(self) -> int:
        return self.row.code

    @property
    def retry(self) -> bool:
        return self.row.retry

    def __str__(self) -> str:
        return f"{self.row.name} ({self.row.code}): {self.message}"


TABLE: Final[dict[int, Row]] = {}


def _row(name: str, code: int, http: int, remedy: str) -> Row:
    if code in TABLE:
        raise ValueError(f"error code {code} is taken by {TABLE[code].name}, wanted for {name}")
    return TABLE.setdefault(code, Row(name, code, http, remedy))


# Trying again may help -----------------------------------------------------------------------------------------------
DRAINING = _row("draining", 4000, 503, "The server is shutting down; reconnect after the wait it names.")
SLOW_CONSUMER = _row("slow_consumer", 4001, 503, "The client read too slowly; reconnect and sync.")
IDLE = _row("idle", 4002, 408, "Nothing arrived for too long; send heartbeats as often as Connected says.")
HANDSHAKE_TIMEOUT = _row("handshake_timeout", 4003, 408, "The Connect frame came too late; reconnect.")
OVERLOADED = _row("overloaded", 4010, 503, "Too much is waiting; try again after a moment.")
STORAGE_UNAVAILABLE = _row("storage_unavailable", 4011, 503, "Nothing was stored; try again with the same client_id.")
INTERNAL = _row("internal", 4012, 500, "A defect of the server; try again, and report it.")
UNANSWERED = _row("unanswered", 4013, 504, "No answer came in time; try again with the same client_id.")
DISCONNECTED = _row("disconnected", 4014, 503, "The link is down; the client reconnects by itself.")
LOGIC_UNAVAILABLE = _row("logic_unavailable", 4015, 503, "A part of the server is restarting; send the same again.")
RATE_LIMITED = _row("rate_limited", 4016, 429, "Too many requests; try again after the wait it names.")

# The same again fails again ------------------------------------------------------------------------------------------
FRAME_MALFORMED = _row("frame_malformed", 4500, 400, "The bytes are not a frame; mend the client.")
FRAME_UNKNOWN = _row("frame_unknown", 4501, 400, "The frame has no body that this version knows.")
FRAME_UNEXPECTED = _row("frame_unexpected", 4502, 409, "The frame is not allowed in this state.")
FRAME_TOO_LARGE = _row("frame_too_large", 4503, 413, "Send less at once, or upload it and send its address.")
FIELD_INVALID = _row("field_invalid", 4504, 422, "A field has a value that is not allowed; the message names it.")
VERSION_UNSUPPORTED = _row("version_unsupported", 4505, 400, "Use a client of a version that the server speaks.")
TOKEN_MISSING = _row("token_missing", 4510, 401, "Send a token in Connect.")
TOKEN_INVALID = _row("token_invalid", 4511, 401, "Get a token signed with a key and algorithm that the server trusts.")
TOKEN_EXPIRED = _row("token_expired", 4512, 401, "Get a new token, then reconnect.")
TOKEN_FOREIGN = _row("token_foreign", 4513, 401, "The token is for another audience or from another issuer.")
KEY_INVALID = _row("key_invalid", 4514, 401, "The key is not one of this server's; connect with a token.")
KEY_EXPIRED = _row("key_expired", 4515, 401, "The key is no longer good; connect with a token.")
KEY_FOREIGN = _row("key_foreign", 4516, 401, "The key belongs to another device; connect with a token.")
SESSION_UNKNOWN = _row(
    "session_unknown", 4517, 401, "The session has ended or was forgotten; connect with a token, and sync."
)
REPLACED = _row(
    "replaced",
    4520,
    409,
    "A newer connection of the user took this one's place: the same device, or one device too many.",
)
RESUMED = _row("resumed", 4521, 409, "The session goes on over a newer connection of the same client.")
LOGGED_OUT = _row("logged_out", 4522, 401, "The user has logged out; connect with a token to come back.")
SESSION_ENDED = _row("session_ended", 4523, 401, "The operator has ended the session; connect with a token.")
USER_UNKNOWN = _row(
    "user_unknown", 4530, 404, "The user has never connected: check the name, or let him connect once first."
)
CONVERSATION_UNKNOWN = _row("conversation_unknown", 4531, 404, "Open the conversation first.")
NOT_A_MEMBER = _row("not_a_member", 4532, 403, "Only members read and write a conversation.")
SEQ_AHEAD = _row("seq_ahead", 4533, 422, "Acknowledge only what has been received.")
CONTENT_DIFFERS = _row("content_differs", 4534, 409, "Choose a new client_id for a new message.")
SINCE_AHEAD = _row("since_ahead", 4535, 422, "The place is ahead of this server's log; sync from the beginning.")
PATH_UNKNOWN = _row("path_unknown", 4540, 404, "Check the path; the message names those there are.")
METHOD_UNKNOWN = _row("method_unknown", 4541, 405, "Use a method that the message names.")

# The server's own side: never sent to a client ------------------------------------------------------------------------
CONFIG_INVALID = _row("config_invalid", 4900, 500, "Mend the setting that the message names.")
DATA_LOCKED = _row("data_locked", 4901, 500, "Another server uses this data folder; stop it or choose another folder.")
DATA_NEWER = _row("data_newer", 4902, 500, "The data was written by a newer version; use that version or a newer one.")
DATA_UNUSABLE = _row("data_unusable", 4903, 500, "The data folder cannot be used; the message says why.")
PORT_TAKEN = _row("port_taken", 4904, 500, "Another program listens there; stop it or choose another port.")
INSECURE = _row("insecure", 4905, 500, "Give a certificate, listen on loopback, or say that a proxy does TLS.")
