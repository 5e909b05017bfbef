"""What `longlink.connect` can be told, checked once, with a default and a bound for everything."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import random
import secrets
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from longlink import errors
from longlink.client.arguments import shown
from longlink.client.events import State
from longlink.client.paths import LOOK_AFTER_S
from longlink.client.transport.address import parse_http, parse_url
from longlink.errors import LonglinkError
from longlink.protocol import limits
from longlink.protocol.codec import Encoding

Token = str | Callable[[], str] | Callable[[], Awaitable[str]]
"""A token, or a function that gives one; it is called whenever there is no session to resume, and
shortly before the token of a connection expires, so a short-lived token stays fresh."""

ENCODINGS: Final = {"binary": Encoding.BINARY, "json": Encoding.TEXT}
TIMES: Final = (
    "connect_timeout",
    "request_timeout",
    "send_timeout",
    "resend_after",
    "flush_timeout",
    "dead_after",
    "heartbeat",
)
ENDLESS: Final = ("connect_timeout", "send_timeout", "heartbeat")
"""Times that may be None: wait for ever, or for the heartbeat find one by trying."""
LEAST_HEARTBEAT_S: Final = 0.001
LONGEST_HEARTBEAT_S: Final = 86_400.0
LONGEST_S: Final = 1e9
DEVICE_BYTES: Final = 8
PREFIX_BYTES: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """See `longlink.connect` for what each one means."""

    url: str
    token: Token = field(repr=False)
    device: str
    encoding: Encoding
    tls: ssl.SSLContext | None
    connect_timeout_s: float | None
    request_timeout_s: float
    send_timeout_s: float | None
    resend_after_s: float
    flush_timeout_s: float
    dead_after_s: float
    max_pending: int
    max_events: int
    replay: bool
    auto_ack: bool
    on_state: Callable[[State], None] | None
    store: Path | None = None
    keep: int = 1000
    http: str = ""
    platform: str = ""
    heartbeat_s: float | None = None
    fallback: bool = True
    random: Callable[[], float] = random.random
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    look_after_s: float = LOOK_AFTER_S

    def __post_init__(self) -> None:
        parse_url(self.url)
        if self.http != "":
            parse_http(self.http)
        _check_token(self.token)
        for name in ("device", "platform"):
            _check_name(name, getattr(self, name))
        for name in ("max_pending", "max_events", "keep"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise _invalid(name, "a whole number from 1", value)
        for name in TIMES:
            _check_time(name, getattr(self, f"{name}_s"))
        tls = self.tls
        if tls is not None and (not isinstance(tls, ssl.SSLContext) or tls.protocol is ssl.PROTOCOL_TLS_SERVER):
            raise _invalid("ssl", "an ssl.SSLContext for a client, or None", tls)
        if self.on_state is not None and not callable(self.on_state):
            raise _invalid("on_state", "a function or None", self.on_state)


def encoding(name: str) -> Encoding:
    """Raises CONFIG_INVALID."""
    if not isinstance(name, str) or name not in ENCODINGS:
        raise _invalid("encoding", " or ".join(ENCODINGS), name)
    return ENCODINGS[name]


def store(path: str | Path | None) -> Path | None:
    """Raises CONFIG_INVALID. A name in the way of SQLite, `:memory:`, would make a file of that name."""
    if path is None:
        return None
    if not isinstance(path, str | Path) or str(path) in ("", ".", ":memory:") or "\0" in str(path):
        raise _invalid("store", "the name of a file, or None", path)
    return Path(path)


def checked_token(token: object) -> str:
    """A token as it can be sent. Raises TOKEN_INVALID, which never repeats any of it."""
    if not isinstance(token, str):
        raise LonglinkError(errors.TOKEN_INVALID, f"token: expected a str, got {type(token).__name__}")
    wrong = next((index for index, each in enumerate(token) if not "!" <= each <= "~"), None)
    if wrong is not None:
        kind = "white space" if token[wrong].isspace() else "a character that is not printable ASCII"
        where = f"at character {wrong + 1} of {len(token)}"
        raise LonglinkError(errors.TOKEN_INVALID, f"token: expected letters, digits, - _ and dots, got {kind} {where}")
    return token


def _check_token(token: object) -> None:
    if isinstance(token, str):
        checked_token(token)
    elif not callable(token):
        raise LonglinkError(
            errors.CONFIG_INVALID, f"token: expected a str or a function that returns one, got {type(token).__name__}"
        )


def _check_name(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise _invalid(name, "a str", value)
    try:
        if name == "platform":
            limits.check_platform(value, name)
        elif value:
            limits.check_device(value, name)
    except LonglinkError as error:
        raise LonglinkError(errors.CONFIG_INVALID, error.message) from None


def _check_time(name: str, value: object) -> None:
    """In seconds. A heartbeat travels in ms, and 0 of them would mean something else."""
    if value is None and name in ENDLESS:
        return
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _invalid(name, "seconds", value)
    if name == "heartbeat" and not LEAST_HEARTBEAT_S <= value <= LONGEST_HEARTBEAT_S:
        raise _invalid(name, f"{LEAST_HEARTBEAT_S} to {LONGEST_HEARTBEAT_S:.0f} seconds", value)
    if not (value > 0 or (value == 0 and name == "flush_timeout")) or LONGEST_S < value < math.inf:
        raise _invalid(name, f"more than 0 and at most {LONGEST_S:.0f} seconds", value)


def _invalid(name: str, expected: str, value: object) -> LonglinkError:
    return LonglinkError(errors.CONFIG_INVALID, f"{name}: expected {expected}, got {shown(value)}")


def random_device() -> str:
    return f"py-{secrets.token_hex(DEVICE_BYTES)}"


def random_prefix() -> str:
    """What begins client_ids, so that no two clients or processes give the same."""
    return f"{secrets.token_hex(PREFIX_BYTES)}-"


def subject(token: str) -> str:
    """The user that a token names, unchecked; empty when it is no JWT. The server is who checks it."""
    try:
        claims = token.split(".")[1]
        user = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"]
    except (IndexError, ValueError, KeyError, TypeError):
        return ""
    return user if isinstance(user, str) else ""
