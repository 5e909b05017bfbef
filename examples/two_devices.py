"""One user with two devices, one of them in a tunnel: python examples/two_devices.py [URL [DATA]]

Both devices get every message once and in order, also what the other device wrote, also after being away.
"""

import asyncio
import sys
from pathlib import Path

import longlink
from longlink.access.tokens import Signer

URL = sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:7700"
DATA = Path(sys.argv[2] if len(sys.argv) > 2 else "./data")


async def read(client: longlink.Client, count: int) -> list[str]:
    found: list[str] = []
    async for event in client:
        if isinstance(event, longlink.Message):
            found.append(f"{event.sender}: {event.text}")
            if len(found) == count:
                break
    return found


async def main() -> None:
    signer = Signer.from_data(DATA)
    alice, bob = signer.sign("alice"), signer.sign("bob")
    async with (
        longlink.connect(URL, token=alice, device="phone") as phone,
        longlink.connect(URL, token=bob) as friend,
    ):
        to_alice = await friend.direct("alice")
        async with longlink.connect(URL, token=alice, device="laptop") as laptop:
            await to_alice.send("are you there?")
            print("phone: ", await read(phone, 1))
            print("laptop:", await read(laptop, 1))
            await (await phone.direct("bob")).send("yes, on my phone")
            print("laptop:", await read(laptop, 1))
        print("the laptop is shut")
        await to_alice.send("still there?")
        print("phone: ", await read(phone, 1))
        chat = await phone.direct("bob")
        print("all:   ", [f"{message.seq} {message.sender}: {message.text}" for message in await chat.last(3)])


asyncio.run(main())
