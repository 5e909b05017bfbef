"""A Longlink inside a Python program: start it, talk to it, stop it. Run: python examples/embedded.py"""

import asyncio
import tempfile

import longlink
from longlink.access.tokens import Signer
from longlink.config import Config, Data, Listen


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = Config(data=Data(dir=folder), listen=Listen(address="127.0.0.1:0", http="127.0.0.1:0"))
        server = longlink.Server(config)
        await server.start()
        try:
            signer = Signer.from_data(server.folder)
            async with (
                longlink.connect(server.url, token=signer.sign("alice", days=1)) as alice,
                longlink.connect(server.url, token=signer.sign("bob", days=1)),
            ):
                chat = await alice.direct("bob")
                sent = await chat.send("hello from inside")
                print(f"stored as message {sent.seq}")
        finally:
            await server.drain()
            await server.stop()


asyncio.run(main())
