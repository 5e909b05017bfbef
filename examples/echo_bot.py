"""A bot that answers everybody with their own words: python examples/echo_bot.py [URL [DATA]]

Then, from another terminal: longlink chat --as alice echo

It acknowledges a message only after it has answered it, so a bot that crashes in between sees the message again when it
is started again. The answer's client_id is made of the message's id, so the second answer is recognised as the same one
and stored once.
"""

import asyncio
import contextlib
import sys
from pathlib import Path

import longlink
from longlink.access.tokens import Signer

URL = sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:7700"
DATA = Path(sys.argv[2] if len(sys.argv) > 2 else "./data")


def token() -> str:
    """Called before every connect, so that the bot outlives its token."""
    return Signer.from_data(DATA).sign("echo", days=1)


async def main() -> None:
    async with longlink.connect(URL, token=token, device="bot", auto_ack=False, connect_timeout=None) as bot:
        print("echo is there; Ctrl-C ends it", flush=True)
        async for event in bot:
            if isinstance(event, longlink.Disconnected):
                print(f"offline, again in {event.retry_in_s:.1f} s: {event.error}", flush=True)
            elif isinstance(event, longlink.Message):
                if event.sender != bot.user and event.text:
                    await bot.chat(event.conversation).send(event.text, client_id=f"echo-{event.seq}")
                await bot.ack(event)


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
