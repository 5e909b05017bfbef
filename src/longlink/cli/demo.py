"""`longlink demo`: what `make run` shows. A real server, and two users who exchange a message packet by packet.

The two users are plain WebSocket connections that speak the protocol in the open, so that each of the six packets can
be shown with its time; for a client to build on, see longlink.connect. Read next: ../../../proto/SPEC.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import time
from typing import Final, NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from longlink import app
from longlink.access.tokens import Signer
from longlink.cli.serve import add_settings, settings
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Ack, Connect, Content, Frame, OpenDirect, ReadHistory, Send, body_name

SUMMARY = "start a server, let two users exchange a message before your eyes, and keep serving"

ANSWER_S: Final = 10.0
TOKEN_DAYS: Final = 30.0


def arguments(parser: argparse.ArgumentParser) -> None:
    add_settings(parser)


def run(options: argparse.Namespace) -> int:
    return app.serve(settings(options), beside=_show)


class Packet(NamedTuple):
    frame: Frame
    at: float


class Person:
    """One user's connection. The frames that arrive wait in order, with the time of their arrival."""

    def __init__(self, name: str, link: ClientConnection) -> None:
        self.name = name
        self._link = link
        self._requests = 0

    async def ask(self, frame: Frame) -> Packet:
        """Send a request; what comes next on this connection is taken to be the answer."""
        self._requests += 1
        frame.id = self._requests
        await self._link.send(Encoding.BINARY.encode(frame))
        return await self.next()

    async def next(self) -> Packet:
        data = await asyncio.wait_for(self._link.recv(decode=False), ANSWER_S)
        frame = Encoding.BINARY.decode(bytes(data))
        if body_name(frame) == "error":
            raise RuntimeError(f"{self.name} got {frame.error.name}: {frame.error.message}")
        return Packet(frame, time.perf_counter())


async def _show(server: app.Server) -> None:
    signer = Signer.from_data(server.folder)
    auth = server.config.auth
    tokens = {
        name: signer.sign(name, days=TOKEN_DAYS, audience=auth.audience, issuer=auth.issuer)
        for name in ("alice", "bob")
    }
    protocols = [Subprotocol(Encoding.BINARY.subprotocol)]
    async with (
        connect(server.url, subprotocols=protocols, compression=None) as first,
        connect(server.url, subprotocols=protocols, compression=None) as second,
    ):
        alice, bob = Person("alice", first), Person("bob", second)
        for person in (bob, alice):
            await person.ask(Frame(connect=Connect(version=1, token=tokens[person.name], device="demo", agent="demo")))
        opened = (await alice.ask(Frame(open_direct=OpenDirect(user="bob")))).frame.conversation
        if opened.head:
            await _show_past(alice, opened.id, opened.head)
        await _show_packets(alice, bob, opened.id)
    _show_next_steps(server, tokens)


async def _show_past(alice: Person, conversation: str, head: int) -> None:
    page = (await alice.ask(Frame(read_history=ReadHistory(conversation=conversation, before=head + 1, limit=3)))).frame
    _say(f"\n  From before, {head} message{'s' if head > 1 else ''} of alice and bob are in the log; the newest:")
    for message in page.history.messages:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(message.sent_at / 1000))
        _say(f"    {message.seq:>4}  {when}  {message.sender}: {message.content.text}")


async def _show_packets(alice: Person, bob: Person, conversation: str) -> None:
    _say("\n  alice writes to bob; the six packets, and ms since the first:\n")
    text = "hello bob"
    begun = time.perf_counter()
    client_id = f"demo-{time.time_ns():x}"
    _packet(1, "msg:R", "alice ──► server", f'Send "{text}", client_id {client_id}', begun, begun)
    sent = await alice.ask(Frame(send=Send(conversation=conversation, client_id=client_id, content=Content(text=text))))
    _packet(2, "msg:A", "alice ◄── server", f"Sent: on disk with seq {sent.frame.sent.seq}", sent.at, begun)
    message = await bob.next()
    seq = message.frame.message.seq
    _packet(3, "msg:N", "server ──► bob  ", f'Message {seq} from alice: "{text}"', message.at, begun)
    asked = time.perf_counter()
    _packet(4, "ack:R", "server ◄── bob  ", f"Ack: received up to {seq}", asked, begun)
    acked = await bob.ask(Frame(ack=Ack(conversation=conversation, seq=seq)))
    _packet(5, "ack:A", "server ──► bob  ", f"Acked: the mark {acked.frame.acked.seq} is on disk", acked.at, begun)
    delivered = await alice.next()
    mark = delivered.frame.delivered.seq
    _packet(6, "ack:N", "alice ◄── server", f"Delivered: bob has everything up to {mark}", delivered.at, begun)


def _packet(number: int, name: str, way: str, what: str, at: float, begun: float) -> None:
    _say(f"    {number}  {name}  {way}  {(at - begun) * 1000:7.2f} ms  {what}")


def _show_next_steps(server: app.Server, tokens: dict[str, str]) -> None:
    program = _program()
    where = _where(server)
    _say(f"""
  Listening: {server.url} (long link), {server.http_url} (/healthz /readyz /metrics)
  Chat yourself, from two other terminals:

    {program} chat{where} --as alice bob
    {program} chat{where} --as bob alice

  Tokens for your own clients, good for {TOKEN_DAYS:.0f} days (more: {program} token USER --data {server.folder}):
""")
    for name, token in tokens.items():
        _say(f"    {name:<6} {token}")
    _say("\n  Ctrl-C drains and stops the server.\n")


def _program() -> str:
    """How to call this program from here, as short as it works."""
    here = os.path.relpath(os.path.join(os.path.dirname(sys.executable), "longlink"))
    return "longlink" if shutil.which("longlink") else here


def _where(server: app.Server) -> str:
    data = "" if server.config.data.dir == "./data" else f" --data {server.config.data.dir}"
    return data if server.port == 7700 else f"{data} --url {server.url}"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
