"""Two users, one message. Start a server first (`longlink serve`), then: python examples/hello.py

Tokens are signed with the key in ./data, which the server has made; in production your own server signs them.
"""

import asyncio
import sys
from pathlib import Path

import longlink
from longlink.access.tokens import Signer

URL = sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:7700"
DATA = Path(sys.argv[2] if len(sys.argv) > 2 else "./data")


async def main() -> None:
    signer = Signer.from_data(DATA)
    async with (
        longlink.connect(URL, token=signer.sign("alice")) as alice,
        longlink.connect(URL, token=signer.sign("bob")) as bob,
    ):
        chat = await alice.direct("bob")
        sent = await chat.send("hello bob")
        print(f"alice: message {sent.seq} is on disk")
        async for event in bob:
            if isinstance(event, longlink.Message) and event.id == sent.id:
                print(f"bob:   {event.sender} says {event.text!r}")
                break
        async for event in alice:
            if isinstance(event, longlink.Delivered) and event.seq >= sent.seq:
                print("alice: bob has it")
                break


asyncio.run(main())
