"""`longlink.connect`: every option of the client with its default, in one signature."""

from __future__ import annotations

import ssl as _ssl
from collections.abc import Callable
from pathlib import Path

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
    store: str | Path | None = None,
    keep: int = 1000,
    http: str = "",
    platform: str = "",
    heartbeat: float | None = None,
    fallback: bool = True,
) -> Client:
    """A client for `async with`, which connects on entering. All times are in seconds.

    url: ws://, wss://, tcp:// or tcps://HOST[:PORT], port 7700 unless given.
    token: a signed token, or a function (plain or async) that returns one, called when there is no session to resume.
    device: stable name of this installation, 1 to 64 characters of [A-Za-z0-9._:-]; that of the store, or a random one,
        unless given. A second connection with the same user and device replaces the first.
    encoding: "binary" or "json".
    ssl: TLS context for wss, tcps and https, instead of the system's trust.
    connect_timeout: how long entering may take, None for ever. Later reconnects never give up.
    request_timeout: for direct, chats, history, last, ack, background and logout.
    send_timeout: for send, and for post while there is no room; None for ever.
    resend_after: an unanswered message is written again after this long (F8-9).
    flush_timeout: how long leaving waits for unacknowledged messages.
    dead_after: a connection that answers nothing for this long is replaced.
    max_pending: unacknowledged messages; send waits beyond that.
    max_events: messages queued for the iteration, and as many held while a gap is read. Beyond that they stay on the
        server until there is room.
    replay: begin with the whole history of every conversation instead of what no device of the user has received.
    auto_ack: acknowledge what the iteration has handed out; with False, call `client.ack(message)`.
    on_state: called with Connected, Reconnected and Disconnected, which are events too.
    store: file that keeps what must not be forgotten, made when it is not there: messages to send, how far each
        conversation has got, the session, and messages to read offline. It belongs to one user and one device, and one
        client has it open at a time. Once it knows its user, entering does not wait for a connection.
    keep: messages of each conversation that the store keeps, the newest.
    http: address of the HTTP API for the fallback, http(s)://HOST[:PORT]; port 7701 beside 7700, otherwise that of url.
    platform: kind of device, such as "ios", for servers that allow one of each.
    heartbeat: longest silence on the connection, 0.001 to 86,400; None finds by trying what the network keeps alive,
        30 to 300.
    fallback: when connecting fails twice in a row, receive by server-sent events and send by POST, and come back to the
        WebSocket or TCP connection when it is to be had.

    Raises CONFIG_INVALID for a wrong option, and TOKEN_INVALID for a token that cannot be one. Entering raises
    CONFIG_INVALID for a store of another device, DATA_LOCKED for one that is in use, DATA_NEWER or DATA_UNUSABLE for
    one that cannot be read, DISCONNECTED when no connection came up in time, or what the server answered.
    """
    return Client(
        Options(
            url=url,
            token=token,
            device=device,
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
            store=options.store(store),
            keep=keep,
            http=http,
            platform=platform,
            heartbeat_s=heartbeat,
            fallback=fallback,
        )
    )
