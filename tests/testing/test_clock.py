"""A server whose time passes when the test says so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import longlink
from longlink.access.keys import read_data_key
from longlink.access.tokens import Signer
from longlink.config import Config, Data, Listen
from longlink.testing import Clock


def test_messages_of_a_server_are_sent_when_its_clock_says_so(tmp_path: Path) -> None:
    async def play() -> list[float]:
        clock = Clock()
        listen = Listen(address="127.0.0.1:0", http="127.0.0.1:0", operations="127.0.0.1:0")
        server = longlink.Server(Config(listen=listen, data=Data(dir=str(tmp_path))), now_ms=clock)
        await server.start()
        try:
            token = Signer(read_data_key(tmp_path), lambda: clock() / 1000)
            async with longlink.connect(server.url, token=token.sign("alice")) as alice:
                notes = await alice.direct("alice")
                sent = [(await notes.send("now")).sent_at]
                clock.advance(86_400_000)
                sent.append((await notes.send("a day later")).sent_at)
                return [(at - sent[0]).total_seconds() for at in sent]
        finally:
            await server.stop()

    assert asyncio.run(play()) == [0.0, 86_400.0]
