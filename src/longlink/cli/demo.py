"""`longlink demo`: what `make run` shows. A real server, and two users who exchange a message packet by packet.

The two users are plain WebSocket connections that speak the protocol in the open, so that each of the six packets can
be shown with its time; for a client to build on, see longlink.connect. Read next: ../../../proto/SPEC.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from longlink.access.tokens import Signer
from longlink.cli import plain
from longlink.cli.serve import add_settings, serve
from longlink.config import Config, Data
from longlink.parts import Place
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Ack, Connect, Content, Frame, Logout, OpenDirect, ReadHistory, Send, body_name

SUMMARY = "start a server, show two users exchanging a message, and keep serving"

ANSWER_S: Final = 10.0
TOKEN_DAYS: Final = 1.0
DEFAULT_PORT: Final = 7700
ADA: Final = "demo-ada"
BEN: Final = "demo-ben"
"""Users of the demonstration alone: it must not take messages that wait for anyone else."""
VISITORS: Final = ("alice", "bob")
"""Users whose tokens are printed. They connect once, so that they can be written to whatever users.unknown says."""


def arguments(parser: argparse.ArgumentParser) -> None:
    add_settings(parser)


def run(options: argparse.Namespace) -> int:
    return serve(options, beside=_show)


class Packet(NamedTuple):
    frame: Frame
    at: float


class Person:
    """One user's connection. What comes besides the frame that is waited for is left aside."""

    def __init__(self, user: str, link: ClientConnection) -> None:
        self.user = user
        self._link = link
        self._requests = 0

    async def ask(self, frame: Frame) -> Packet:
        """Send a request and wait for its answer."""
        self._requests += 1
        frame.id = self._requests
        await self._link.send(Encoding.BINARY.encode(frame))
        packet = await self.hear(lambda answer: answer.id == frame.id)
        if body_name(packet.frame) == "error":
            raise RuntimeError(f"{self.user} got {packet.frame.error.name}: {packet.frame.error.message}")
        return packet

    async def hear(self, wanted: Callable[[Frame], bool]) -> Packet:
        async with asyncio.timeout(ANSWER_S):
            while True:
                frame = Encoding.BINARY.decode(await self._link.recv(decode=False))
                if wanted(frame):
                    return Packet(frame, time.perf_counter())


async def _show(server: Place) -> None:
    """A demonstration that fails is told and leaves the server as it is."""
    try:
        if why_not := _why_not(server.config):
            _say(f"\n  No demonstration: {why_not}.")
        else:
            await _demonstrate(server)
    except Exception as error:
        _say(f"\n  The demonstration has ended early: {error or type(error).__name__}.")
    _say(f"\n  Connections  {server.url}\n  HTTP API     {server.http_url}")
    if server.operations_url:
        _say(f"  Operators    {server.operations_url}/readyz /metrics")
    if not server.config.auth.keys:
        _show_next_steps(server)
    _say("\n  Ctrl-C drains and stops the server.\n")


def _why_not(config: Config) -> str:
    if config.auth.keys:
        return "only the keys of auth.keys sign tokens here, and those are yours"
    if config.listen.tls_certificate:
        return "it does not know whose certificates you trust"
    return ""


async def _demonstrate(server: Place) -> None:
    protocols = [Subprotocol(Encoding.BINARY.subprotocol)]
    async with (
        connect(server.url, subprotocols=protocols, compression=None, proxy=None) as first,
        connect(server.url, subprotocols=protocols, compression=None, proxy=None) as second,
    ):
        ada, ben = Person(ADA, first), Person(BEN, second)
        for person in (ben, ada):
            token = _token(server, person.user)
            await person.ask(Frame(connect=Connect(version=1, token=token, device="demo", agent="demo")))
        opened = (await ada.ask(Frame(open_direct=OpenDirect(user=BEN)))).frame.conversation
        if opened.head:
            await _show_past(ada, opened.id, opened.head)
        await _show_packets(ada, ben, opened.id)
    for user in VISITORS:
        async with connect(server.url, subprotocols=protocols, compression=None, proxy=None) as link:
            visitor = Person(user, link)
            token = _token(server, user)
            await visitor.ask(Frame(connect=Connect(version=1, token=token, device="demo", agent="demo")))
            await visitor.ask(Frame(logout=Logout()))


def _token(server: Place, user: str) -> str:
    auth = server.config.auth
    signer = Signer.from_data(server.folder)
    return signer.sign(user, days=TOKEN_DAYS, audience=auth.audience, issuer=auth.issuer)


async def _show_past(ada: Person, conversation: str, head: int) -> None:
    page = (await ada.ask(Frame(read_history=ReadHistory(conversation=conversation, before=head + 1, limit=3)))).frame
    found = f"{head} messages of ada and ben are" if head > 1 else "1 message of ada and ben is"
    _say(f"\n  From before, {found} in the log:")
    for message in page.history.messages:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(message.sent_at / 1000))
        _say(f"    {message.seq:>4}  {when}  {plain.line(message.sender)}: {plain.line(message.content.text)}")


async def _show_packets(ada: Person, ben: Person, conversation: str) -> None:
    _say(f"\n  {ADA} writes to {BEN}; the six packets, and ms since the first:\n")
    text = "hello ben"
    begun = time.perf_counter()
    request = Send(conversation=conversation, client_id=f"demo-{time.time_ns():x}", content=Content(text=text))
    _packet(1, "msg:R", "ada ──► server", f'Send "{text}" with a client_id', begun, begun)
    sent = await ada.ask(Frame(send=request))
    seq = sent.frame.sent.seq
    _packet(2, "msg:A", "ada ◄── server", f"Sent: on disk with seq {seq}", sent.at, begun)
    message = await ben.hear(lambda frame: frame.message.client_id == request.client_id)
    _packet(3, "msg:N", "server ──► ben", f'Message {seq} from ada: "{text}"', message.at, begun)
    asked = time.perf_counter()
    _packet(4, "ack:R", "server ◄── ben", f"Ack: received up to {seq}", asked, begun)
    acked = await ben.ask(Frame(ack=Ack(conversation=conversation, seq=seq)))
    _packet(5, "ack:A", "server ──► ben", f"Acked: the mark {acked.frame.acked.seq} is on disk", acked.at, begun)
    delivered = await ada.hear(lambda frame: frame.delivered.seq >= seq)
    mark = delivered.frame.delivered.seq
    _packet(6, "ack:N", "ada ◄── server", f"Delivered: ben has all up to {mark}", delivered.at, begun)


def _packet(number: int, name: str, way: str, what: str, at: float, begun: float) -> None:
    _say(f"    {number}  {name}  {way}  {(at - begun) * 1000:7.2f} ms  {what}")


def _show_next_steps(server: Place) -> None:
    program = _program()
    where = _where(server)
    _say(f"""
  Chat yourself, from two other terminals:

    {program} chat{where} --as alice bob
    {program} chat{where} --as bob alice

  Tokens for your own clients, valid for a day (more: {program} token USER{_data(server)}):
""")
    for name in VISITORS:
        _say(f"    {name:<6} {_token(server, name)}")


def _program() -> str:
    """How to call this program from here, as short as it works."""
    here = os.path.relpath(os.path.join(os.path.dirname(sys.executable), "longlink"))
    return "longlink" if shutil.which("longlink") else here


def _where(server: Place) -> str:
    return _data(server) + ("" if server.port == DEFAULT_PORT else f" --url {server.url}")


def _data(server: Place) -> str:
    folder = server.config.data.dir
    return "" if folder == Data().dir else f" --data {shlex.quote(folder)}"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
