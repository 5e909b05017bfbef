"""The one table of errors: every code that a client, a caller or an operator can meet.

One number space, which is also the space of WebSocket close codes (RFC 6455 section 7.4.2): below 4500 the same request
or connection may succeed later; from 4500 on it fails again until something is changed. Nothing here formats, logs or
sends. docs/reference/errors.md is generated from TABLE. Read next: protocol/session.py, which raises most of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of error: its stable name, its code, its HTTP status and what the reader can do about it."""

    name: str
    code: int
    http: int
    remedy: str

    @property
    def retry(self) -> bool:
        """Whether the same request, or a reconnect, may succeed later without any change."""
        return self.code < 4500


class LonglinkError(Exception):
    """Any error of the table, with its row and a sentence that says what was expected and what was received.

    message: one sentence about this case.
    retry_after_ms: how long the other side asks to wait before a retry, in ms; 0 when it does not say.
    request: id of the request that it answers, if only the code that raised it could read that id; otherwise 0.
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


# Temporary errors: retry ----------------------------------------------------------------------------------------------
DRAINING = _row("draining", 4000, 503, "The server is shutting down. Reconnect after the wait that it names.")
SLOW_CONSUMER = _row(
    "slow_consumer", 4001, 503, "The client read too slowly and events were dropped. Reconnect and sync."
)
IDLE = _row("idle", 4002, 408, "No data arrived for too long. Send heartbeats at the interval that Connected names.")
HANDSHAKE_TIMEOUT = _row("handshake_timeout", 4003, 408, "Connect arrived too late. Reconnect, and send Connect first.")
OVERLOADED = _row("overloaded", 4010, 503, "Too much work is waiting. Retry after a moment.")
STORAGE_UNAVAILABLE = _row("storage_unavailable", 4011, 503, "Nothing was stored. Retry with the same client_id.")
INTERNAL = _row("internal", 4012, 500, "The server has a defect. Retry, and report it.")
UNANSWERED = _row("unanswered", 4013, 504, "No answer arrived in time. Retry with the same client_id.")
DISCONNECTED = _row(
    "disconnected",
    4014,
    503,
    "Check the address, and that the server is running. A connected client reconnects by itself.",
)
LOGIC_UNAVAILABLE = _row("logic_unavailable", 4015, 503, "Part of the server is restarting. Retry the same request.")
RATE_LIMITED = _row("rate_limited", 4016, 429, "Too many requests. Retry after the wait that the error names.")
TOKEN_EARLY = _row(
    "token_early",
    4017,
    401,
    "The token is not valid yet, or its key is being fetched. Retry it after the wait that the error names.",
)

# Permanent errors: do not retry unchanged -----------------------------------------------------------------------------
FRAME_MALFORMED = _row(
    "frame_malformed", 4500, 400, "The data is not a valid frame or request body. See the message for the position."
)
FRAME_UNKNOWN = _row(
    "frame_unknown", 4501, 400, "Use a frame that this version of the server knows. See the message for what there is."
)
FRAME_UNEXPECTED = _row(
    "frame_unexpected", 4502, 409, "This frame is not allowed at this point. See the message for what is."
)
FRAME_TOO_LARGE = _row(
    "frame_too_large", 4503, 413, "Send less in one message, or upload the data elsewhere and send its address."
)
FIELD_INVALID = _row("field_invalid", 4504, 422, "Correct the field that the message names.")
VERSION_UNSUPPORTED = _row(
    "version_unsupported", 4505, 400, "Use a client of a protocol version that the server supports."
)
TOKEN_MISSING = _row(
    "token_missing", 4510, 401, "Send a token: in Connect, or over HTTP as `Authorization: Bearer TOKEN`."
)
TOKEN_INVALID = _row(
    "token_invalid", 4511, 401, "Get a token signed with a key and an algorithm that the server trusts."
)
TOKEN_EXPIRED = _row("token_expired", 4512, 401, "Get a new token, then reconnect.")
TOKEN_FOREIGN = _row(
    "token_foreign", 4513, 401, "Get a token for this server's audience, from its issuer and for the same user."
)
KEY_INVALID = _row("key_invalid", 4514, 401, "Connect with a token: this resume token is not one of this server's.")
KEY_EXPIRED = _row("key_expired", 4515, 401, "Connect with a token: this resume token has expired.")
KEY_FOREIGN = _row("key_foreign", 4516, 401, "Connect with a token: this resume token belongs to another device.")
SESSION_UNKNOWN = _row(
    "session_unknown", 4517, 401, "Connect with a token and sync: the session has ended or was discarded."
)
KEY_REUSED = _row(
    "key_reused",
    4518,
    401,
    "An old key of the session was used, so the session has ended. Connect with a token, and sync.",
)
REPLACED = _row(
    "replaced",
    4520,
    409,
    "A newer connection of the user took over: the same device, or one device too many. Give each "
    "installation its own device name.",
)
RESUMED = _row("resumed", 4521, 409, "The session continues on a newer connection of the same client.")
LOGGED_OUT = _row("logged_out", 4522, 401, "The user has logged out. Connect with a token to start a new session.")
SESSION_ENDED = _row(
    "session_ended", 4523, 401, "The operator ended the session. Connect with a token to start a new one."
)
USER_UNKNOWN = _row(
    "user_unknown",
    4530,
    404,
    "There is no such user yet. Check the spelling; users are created by their first connection.",
)
CONVERSATION_UNKNOWN = _row("conversation_unknown", 4531, 404, "Check the id, or open the conversation first.")
NOT_A_MEMBER = _row("not_a_member", 4532, 403, "Only members can read and write a conversation.")
SEQ_AHEAD = _row("seq_ahead", 4533, 422, "Acknowledge only what was received.")
CONTENT_DIFFERS = _row("content_differs", 4534, 409, "Use a new client_id for a new message.")
SINCE_AHEAD = _row(
    "since_ahead", 4535, 409, "Sync from the beginning: the client has seen what is not in this log (restored data)."
)
PATH_UNKNOWN = _row("path_unknown", 4540, 404, "Check the path. See the message for what there is.")
METHOD_UNKNOWN = _row("method_unknown", 4541, 405, "Use a method that the message names.")

# Local errors: never sent over a connection ---------------------------------------------------------------------------
CONFIG_INVALID = _row("config_invalid", 4900, 500, "Correct the setting or option that the message names.")
DATA_LOCKED = _row(
    "data_locked", 4901, 500, "Another process uses this data. Stop it, or choose another folder or file."
)
DATA_NEWER = _row("data_newer", 4902, 500, "A newer version wrote this data. Use that version or a later one.")
DATA_UNUSABLE = _row(
    "data_unusable", 4903, 500, "Correct what the message says about the folder or file, then start again."
)
PORT_TAKEN = _row("port_taken", 4904, 500, "Another program listens on this port. Stop it, or choose another port.")
INSECURE = _row(
    "insecure",
    4905,
    500,
    "Configure a certificate, listen on loopback, or set listen.behind_proxy if a proxy terminates TLS.",
)
CLIENT_UNUSABLE = _row(
    "client_unusable",
    4910,
    500,
    "Make a new client with longlink.connect, where it is used, and enter it by `async with`.",
)

LOCAL: Final = 4900
"""From here on codes are local to a process, server or client, and are never sent."""
SENT: Final = tuple(row for row in TABLE.values() if row.code < LOCAL and row not in (UNANSWERED, DISCONNECTED))
"""What a server may send. The two that are left out are made by clients."""
