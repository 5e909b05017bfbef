"""`longlink.connect`: every option of the client with its default, in one signature."""

from __future__ import annotations

import ssl as _ssl
from collections.abc import Callable

from longlink.client import options
from longlink.client.client import Client
from longlink.client.events import State
from longlink.client.liveness import DEAD_AFTER_S
from longlink.client.options import Options, Token
from longlink.client.outbox import RESEND_AFTER_S


def connect(
    url: str,
    *,
    token: Token,
    device: str = "",
    encoding: str = "binary",
    ssl: _ssl.SSLContext | None = None,
    connect_timeout: float | None = 10.0,
    request_timeout: float = 10.0,
    send_timeout: float | None = 60.0,
    resend_after: float = RESEND_AFTER_S,
    flush_timeout: float = 5.0,
    dead_after: float = DEAD_AFTER_S,
    max_pending: int = 1000,
    max_events: int = 1000,
    replay: bool = False,
    auto_ack: bool = True,
    on_state: Callable[[State], None] | None = None,
) -> Client:
    """A client for `async with`, which connects on entering. All times are in seconds.

    url: ws://, wss://, tcp:// or tcps://, port 7700 unless given. token: a signed token, or a function (plain or async)
    that gives one, called before every connect. device: stable name of this installation, 1..64 characters of
    [A-Za-z0-9._:-]; a second connection with the same user and device replaces the first; random unless given.
    encoding: "binary" or "json". ssl: for wss and tcps, instead of the system's trust.

    connect_timeout: how long entering may take, None for ever; later reconnects never give up. request_timeout: for
    direct, chats, history, ack. send_timeout: for send, None for ever. resend_after: an unanswered message is written
    again (F8-9). flush_timeout: how long leaving waits for unacknowledged messages. dead_after: a link that answers
    nothing for so long is given up.

    max_pending: unacknowledged messages; send waits beyond that. max_events: messages queued for the iteration, and as
    many held while a gap is read; beyond that they stay on the server until there is room. replay: begin with the whole
    history of every conversation instead of what no device of the user has received. auto_ack: acknowledge what the
    iteration has handed out; with False, call `client.ack(message)`. on_state: called with Connected, Reconnected and
    Disconnected, which are events too.

    Raises CONFIG_INVALID for a wrong option; entering raises DISCONNECTED, or the error of the handshake.
    """
    return Client(
        Options(
            url=url,
            token=token,
            device=device or options.random_device(),
            encoding=options.encoding(encoding),
            tls=ssl,
            connect_timeout_s=connect_timeout,
            request_timeout_s=request_timeout,
            send_timeout_s=send_timeout,
            resend_after_s=resend_after,
            flush_timeout_s=flush_timeout,
            dead_after_s=dead_after,
            max_pending=max_pending,
            max_events=max_events,
            replay=replay,
            auto_ack=auto_ack,
            on_state=on_state,
        )
    )
