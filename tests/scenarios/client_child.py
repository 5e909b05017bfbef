"""A client with a store, in a process of its own that is killed at its worst moments. Run by test_14_client.py.

python client_child.py read URL TOKEN STORE            prints `got SEQ TEXT`, handles it when a line comes in
python client_child.py post URL TOKEN STORE CONVERSATION FIRST COUNT    prints `posted CLIENT_ID TEXT` for each
"""

from __future__ import annotations

import asyncio
import sys

import longlink


async def read(url: str, token: str, store: str) -> None:
    loop = asyncio.get_running_loop()
    async with longlink.connect(url, token=token, store=store) as client:
        print("ready", flush=True)
        async for event in client:
            if isinstance(event, longlink.Message):
                print("got", event.seq, event.text, flush=True)
                await loop.run_in_executor(None, sys.stdin.readline)


async def post(url: str, token: str, store: str, conversation: str, first: str, count: str) -> None:
    async with longlink.connect(url, token=token, store=store) as client:
        chat = client.chat(conversation)
        for number in range(int(first), int(first) + int(count)):
            print("posted", await chat.post(str(number)), number, flush=True)
        await asyncio.Event().wait()


asyncio.run(read(*sys.argv[2:]) if sys.argv[1] == "read" else post(*sys.argv[2:]))
