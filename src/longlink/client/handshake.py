"""How a link begins: with the key of the session before, or with a token; and what is known about that session.

A key that the server refuses costs one more frame, not another link. It never reconnects. Read next: connection.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from longlink import errors
from longlink.client.connection import Connection, decoded, error_of
from longlink.client.options import Options
from longlink.client.prober import Prober
from longlink.client.transport import Transport
from longlink.errors import LonglinkError
from longlink.protocol.frames import VERSION, Connect, Connected, Error, Frame, body_name
from longlink.protocol.session import KEY_REFUSALS

AGENT: Final = "longlink-python/0.1.0"


@dataclass(slots=True)
class Session:
    """What a next link needs. key: empty when there is no session to resume. received: events that came on the link
    that gave the key. background: whether the application wants no events."""

    key: str = ""
    received: int = 0
    background: bool = False


async def handshake(
    transport: Transport,
    options: Options,
    prober: Prober,
    session: Session,
    token: Callable[[], Awaitable[str]],
    take: Callable[[Frame], None],
) -> Connection:
    """Connect and wait for Connected; the caller sets a deadline. Raises what the server answered, or DISCONNECTED.

    A key that was refused is forgotten; the refusal is raised only where the link does not outlive it.
    """
    connect = Connect(version=VERSION, device=options.device, agent=AGENT, platform=options.platform)
    connect.heartbeat_ms = round(prober.interval_s * 1000)
    connect.background = session.background
    if session.key:
        connect.key, connect.received = session.key, session.received
        answer = await _ask(transport, connect)
        if isinstance(answer, Error) and answer.name in KEY_REFUSALS:
            session.key, connect.key, connect.received = "", "", 0
            if not transport.patient:
                raise error_of(answer)
            connect.token = await token()
            answer = await _ask(transport, connect)
    else:
        connect.token = await token()
        answer = await _ask(transport, connect)
    if isinstance(answer, Error):
        raise error_of(answer)
    transport.admitted(answer)
    connection = Connection(transport, options, prober, answer, take)
    connection.background = session.background
    session.key, session.received = answer.key, 0
    return connection


async def _ask(transport: Transport, connect: Connect) -> Connected | Error:
    await transport.send(transport.encoding.encode(Frame(id=1, connect=connect)))
    while not (data := await transport.receive()):
        pass
    frame = decoded(data, transport.encoding)
    name = body_name(frame)
    if name == "error":
        return frame.error
    if name != "connected":
        raise LonglinkError(errors.DISCONNECTED, f"the server answered {name} to connect, expected connected")
    return frame.connected
