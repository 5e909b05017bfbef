"""A client that works without a server and forgets nothing when it ends: it posts and reads, all from a file.

Start a server first (`longlink serve`), then: python examples/offline_first.py. Tokens are signed with the key in
./data; in production your own server signs them.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

import longlink
from longlink.access.tokens import Signer

URL = sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:7700"
DATA = Path(sys.argv[2] if len(sys.argv) > 2 else "./data")
NOWHERE = "ws://127.0.0.1:1"


async def main(store: Path) -> None:
    signer = Signer.from_data(DATA)
    async with (
        longlink.connect(URL, token=signer.sign("olga")),
        longlink.connect(URL, token=signer.sign("otto"), store=store) as otto,
    ):
        chat = await otto.direct("olga")
        await chat.send("I am off to the mountains")

    # No server far and wide; the store knows who we are, so there is nothing to wait for.
    async with longlink.connect(NOWHERE, token=signer.sign("otto"), store=store) as otto:
        chat = await otto.direct("olga")
        print("offline:", [message.text async for message in chat.history()])
        await chat.post("What a view!")
        await chat.post("Back on Sunday")

    # Back again: what was posted is sent, once and in order, and each outcome is an event.
    async with longlink.connect(URL, token=signer.sign("otto"), store=store) as otto:
        stored = 0
        async for event in otto:
            if isinstance(event, longlink.Sent):
                stored += 1
                print(f"online:  message {event.seq} is on the server's disk")
            if stored == 2:
                break


with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(Path(folder) / "otto.db"))
