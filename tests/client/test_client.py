"""The client against the real server: over every transport and encoding, and through its crashes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

import longlink
from longlink import errors
from longlink.client.client import Client
from longlink.client.events import Connected, Delivered, Message, Reconnected
from longlink.errors import LonglinkError
from longlink.testing import RunningServer, run_server

from .certificate import make_certificate
from .scene import events

DEADLINE_S: Final = 60.0
QUICK_DRAIN: Final = {"LONGLINK_DRAIN_DURATION_MS": "50", "LONGLINK_DRAIN_RECONNECT_AFTER_MS": "10"}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with run_server() as running:
        yield running


def play(scene: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await scene

    asyncio.run(bounded())


def client(server: RunningServer, user: str, scheme: str = "ws", **options: Any) -> Client:
    return longlink.connect(f"{scheme}://127.0.0.1:{server.port}", token=server.token(user), **options)


def impatient(made: Client) -> Client:
    """The same client with a twentieth of the waits between attempts."""
    return Client(replace(made._options, random=lambda: 0.05))


@pytest.mark.parametrize("encoding", ["binary", "json"])
@pytest.mark.parametrize("scheme", ["ws", "tcp"])
def test_two_users_exchange_messages_and_marks(server: RunningServer, scheme: str, encoding: str) -> None:
    me, peer = f"alice-{scheme}-{encoding}", f"bob-{scheme}-{encoding}"

    async def scene() -> None:
        async with (
            client(server, peer, scheme, encoding=encoding) as bob,
            client(server, me, scheme, encoding=encoding) as alice,
        ):
            chat = await alice.direct(peer)
            sent = await chat.send("héllo 中")
            await chat.send_custom("image/png", b"\x00\xff")
            text, picture = await events(bob, Message, 2)
            assert (text.id, text.text, text.sender, text.sent_at) == (sent.id, "héllo 中", me, sent.sent_at)
            assert picture.custom == longlink.Custom("image/png", b"\x00\xff")
            async for event in alice:
                if event == Delivered(chat.id, peer, 2):
                    break
            assert chat.delivered(peer) == 2

    play(scene())


def test_a_user_who_has_never_connected_can_be_written_to(server: RunningServer) -> None:
    async def scene() -> None:
        async with client(server, "early") as early:
            sent = await (await early.direct("newcomer")).send("welcome")
        async with client(server, "newcomer") as newcomer:
            event = await anext(event async for event in newcomer if isinstance(event, longlink.Message))
            assert (event.seq, event.text) == (sent.seq, "welcome")

    play(scene())


def test_a_token_that_the_server_did_not_sign_is_refused_at_once(server: RunningServer) -> None:
    async def scene() -> None:
        with pytest.raises(LonglinkError) as caught:
            async with longlink.connect(server.url, token="not a token"):
                pass
        assert caught.value.row is errors.TOKEN_INVALID

    play(scene())


def test_the_same_device_twice_ends_the_first_one_with_replaced(server: RunningServer) -> None:
    async def scene() -> None:
        async with client(server, "twin", device="phone") as first, client(server, "twin", device="phone"):
            with pytest.raises(LonglinkError) as caught:
                await events(first, Message, 1)
            assert caught.value.row is errors.REPLACED

    play(scene())


def test_two_devices_of_one_user_get_the_same_and_see_what_the_other_one_writes(server: RunningServer) -> None:
    async def scene() -> None:
        async with client(server, "dora") as dora, client(server, "carl") as phone, client(server, "carl") as laptop:
            to_carl = await dora.direct("carl")
            await to_carl.send("hello")
            assert (
                [m.text for m in await events(phone, Message, 1)]
                == [m.text for m in await events(laptop, Message, 1)]
                == ["hello"]
            )
            await (await phone.direct("dora")).send("from my phone")
            (copied,) = await events(laptop, Message, 1)
            assert (copied.sender, copied.text) == ("carl", "from my phone")

    play(scene())


def test_what_came_while_nobody_was_there_is_handed_out_next_time_and_only_once(server: RunningServer) -> None:
    async def scene() -> None:
        async with client(server, "erik"):
            pass
        async with client(server, "fred") as fred:
            chat = await fred.direct("erik")
            for number in range(250):
                await chat.send(str(number))
        async with client(server, "erik") as erik:
            assert [m.text for m in await events(erik, Message, 250)] == [str(number) for number in range(250)]
        async with client(server, "erik") as erik, client(server, "fred") as fred:
            await (await fred.direct("erik")).send("new")
            assert [m.text for m in await events(erik, Message, 1)] == ["new"]

    play(scene())


def test_replay_hands_out_the_whole_history(server: RunningServer) -> None:
    async def scene() -> None:
        async with client(server, "gina") as gina, client(server, "hans") as hans:
            await (await hans.direct("gina")).send("old")
            await events(gina, Message, 1)
        async with client(server, "gina", replay=True) as gina:
            assert [m.text for m in await events(gina, Message, 1)] == ["old"]

    play(scene())


def test_no_message_is_lost_doubled_or_disordered_while_the_server_is_killed_again_and_again() -> None:
    async def write(chat: longlink.Chat, count: int) -> list[int]:
        return [(await chat.send(f"{number}")).seq for number in range(count)]

    async def kill(server: RunningServer, times: int) -> None:
        for _ in range(times):
            await asyncio.sleep(0.3)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)

    async def scene() -> None:
        with run_server() as server:
            states: list[object] = []
            options: dict[str, Any] = {"max_events": 50, "send_timeout": None, "on_state": states.append}
            first, second = client(server, "alice", **options), client(server, "bob", **options)
            async with impatient(second) as bob, impatient(first) as alice:
                there, back = await alice.direct("bob"), await bob.direct("alice")
                reading = asyncio.gather(events(alice, Message, 300), events(bob, Message, 300))
                killing = asyncio.create_task(kill(server, 3))
                await asyncio.gather(write(there, 300), write(back, 300))
                for found in await reading:
                    assert [message.text for message in found] == [str(number) for number in range(300)]
                await killing
                async with client(server, "alice") as later:
                    log = [m.seq async for m in (await later.direct("bob")).history()]
                assert log == list(range(1, 601))
                assert sum(isinstance(state, Reconnected) for state in states) >= 2

    play(scene())


def test_a_server_that_stops_cleanly_is_found_again_when_it_is_back() -> None:
    async def scene() -> None:
        with run_server(settings=QUICK_DRAIN) as server:
            async with client(server, "alice") as alice:
                assert server.stop() == 0
                await asyncio.to_thread(server.start)
                kinds = []
                async for event in alice:
                    kinds.append(type(event))
                    if isinstance(event, Reconnected):
                        break
                assert kinds[0] is Connected

    play(scene())


@pytest.mark.parametrize("scheme", ["wss", "tcps"])
def test_both_transports_speak_tls_and_refuse_a_certificate_that_nobody_vouches_for(
    scheme: str, tmp_path: Path
) -> None:
    certificate, key = make_certificate(tmp_path)
    tls = {"LONGLINK_LISTEN_TLS_CERTIFICATE": str(certificate), "LONGLINK_LISTEN_TLS_KEY": str(key)}

    async def scene(server: RunningServer) -> None:
        async with client(server, "alice", scheme, ssl=ssl.create_default_context(cafile=certificate)) as alice:
            assert alice.user == "alice"
        with pytest.raises(LonglinkError) as caught:
            async with client(server, "alice", scheme, connect_timeout=2.0):
                pass
        assert caught.value.row is errors.DISCONNECTED
        assert "certificate" in caught.value.message.lower()

    with run_server(settings=tls) as server:
        play(scene(server))
