"""What `longlink.connect` can be told, checked once, with a default and a bound for everything."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import secrets
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from longlink import errors
from longlink.client.events import State
from longlink.client.paths import LOOK_AFTER_S
from longlink.client.transport import check_http, check_url
from longlink.errors import LonglinkError
from longlink.protocol.codec import Encoding

Token = str | Callable[[], str] | Callable[[], Awaitable[str]]
"""A token, or a function that gives one; it is called whenever there is no session to resume, so a
short-lived token stays fresh."""

ENCODINGS: Final = {"binary": Encoding.BINARY, "json": Encoding.TEXT}
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
        check_url(self.url)
        check_http(self.http)
        for name in ("max_pending", "max_events", "keep"):
            if getattr(self, name) < 1:
                raise LonglinkError(errors.CONFIG_INVALID, f"{name}: expected at least 1, got {getattr(self, name)}")
        for name in (
            "connect_timeout_s",
            "request_timeout_s",
            "send_timeout_s",
            "resend_after_s",
            "dead_after_s",
            "heartbeat_s",
        ):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise LonglinkError(errors.CONFIG_INVALID, f"{name}: expected more than 0 seconds, got {value}")


def encoding(name: str) -> Encoding:
    """Raises CONFIG_INVALID."""
    if name not in ENCODINGS:
        raise LonglinkError(errors.CONFIG_INVALID, f"encoding: expected {' or '.join(ENCODINGS)}, got {name!r}")
    return ENCODINGS[name]


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
