"""A Longlink inside a Python program: start it, talk to it, stop it. Run: python examples/embedded.py"""

import asyncio
import tempfile

import longlink


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        anywhere = "127.0.0.1:0"
        async with (
            longlink.Server(data=f"{folder}/data", listen=anywhere, http=anywhere, operations=anywhere) as server,
            longlink.connect(server.url, token=server.token("alice")) as alice,
        ):
            await server.send("system", "alice", "hello from inside")
            async for event in alice:
                if isinstance(event, longlink.Message):
                    print(f"{event.sender}: {event.text}, stored as message {event.seq}")
                    break


asyncio.run(main())
