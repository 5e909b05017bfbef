"""Chapter 14, the client: it dies and comes back, works without a link, and finds a way where there is hardly one.

Everything here runs against a real server. Read next: client_child.py, picky.py; ../client for what one server cannot
be made to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.client.scene import events

import longlink
from longlink import Connected, Disconnected, Message, Read, Reconnected, Sent
from longlink.client.client import Client
from longlink.client.store import open_store
from longlink.testing import RunningServer, run_server

from .people import eventually, metric
from .picky import Picky, picky

CHILD = Path(__file__).with_name("client_child.py")
NOBODY = "ws://127.0.0.1:1"
DEADLINE_S = 60.0


def play(scene: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scene, DEADLINE_S))


@contextlib.asynccontextmanager
async def client(server: RunningServer, user: str, *, url: str = "", **more: Any) -> AsyncIterator[Client]:
    """A client that comes back at once and looks for the long link every moment."""
    made = longlink.connect(url or server.url, token=server.token(user), **more)
    async with Client(replace(made._options, random=lambda: 0.05, look_after_s=0.2)) as one:
        yield one


class Child:
    """A process that is killed, and what it said before."""

    def __init__(self, *words: str) -> None:
        command = [sys.executable, str(CHILD), *words]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def line(self) -> list[str]:
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> list[list[str]]:
        """What it had still said."""
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        self.process.kill()
        said = [line.split() for line in self.process.stdout.read().splitlines()]
        self.process.wait()
        self.process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        return said


@contextlib.contextmanager
def child(*words: str) -> Iterator[Child]:
    one = Child(*words)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.kill()


async def log_of(server: RunningServer, user: str, peer: str) -> list[str]:
    async with client(server, user) as one:
        return [message.text async for message in (await one.direct(peer)).history()]


# kill -9 --------------------------------------------------------------------------------------------------------------


def test_a_message_is_handed_out_again_only_when_its_handling_had_not_ended(
    server: RunningServer, tmp_path: Path
) -> None:
    reading = ("read", server.url, server.token("reader"), str(tmp_path / "reader.db"))

    async def write() -> None:
        async with client(server, "reader"), client(server, "writer") as writer:
            chat = await writer.direct("reader")
            for number in range(1, 31):
                await chat.send(f"m{number}")

    async def delivered() -> int:
        async with client(server, "writer") as writer:
            return (await writer.direct("reader")).delivered("reader")

    with child(*reading) as first:
        assert first.line() == ["ready"]
        first.kill()
    play(write())
    done = 0
    for life in range(6):
        with child(*reading) as one:
            assert one.line() == ["ready"]
            for _ in range(1 + life):
                assert one.line() == ["got", str(done + 1), f"m{done + 1}"]
                one.go_on()
                done += 1
            # It has asked for the next one, so all before are handled; this one is not, however often it dies.
            assert one.line() == ["got", str(done + 1), f"m{done + 1}"]
            one.kill()
        assert asyncio.run(delivered()) <= done
    with child(*reading) as last:
        assert last.line() == ["ready"]
        assert last.line() == ["got", str(done + 1), f"m{done + 1}"]


def test_what_was_posted_before_the_process_died_is_stored_once_and_in_order(
    server: RunningServer, tmp_path: Path
) -> None:
    async def meet() -> str:
        async with client(server, "receiver"), client(server, "poster") as poster:
            return (await poster.direct("receiver")).id

    async def finish(count: int) -> None:
        async with client(server, "poster", store=tmp_path / "poster.db", flush_timeout=20.0) as one:
            await one.chat(name).send("end")
            assert len(one._outgoing.outbox) == 0
        assert await log_of(server, "receiver", "poster") == [*map(str, range(count)), "end"]

    name = asyncio.run(meet())
    count = 0
    for life, url in enumerate([server.url, NOBODY, server.url, NOBODY, server.url]):
        words = ("post", url, server.token("poster"), str(tmp_path / "poster.db"), name, str(count), "40")
        with child(*words) as one:
            said = [one.line() for _ in range(1 + 7 * life)]
            said += one.kill()
        posted = [int(number) for word, _, number in said if word == "posted"]
        assert posted == list(range(count, count + len(posted)))
        count += len(posted)
        # What was on disk although nobody was told is sent as well: the next life begins behind it.
        count += uncounted(tmp_path / "poster.db", count)
    play(finish(count))


def uncounted(path: Path, count: int) -> int:
    """Posts that reached the disk before the process could say so: one at most."""
    store = open_store(path, device="", kept=1000)
    texts = {int(each.send.content.text) for each in store.queued()}
    store.close()
    return 1 if count in texts else 0


# The server goes away -------------------------------------------------------------------------------------------------


def test_a_server_that_is_killed_costs_a_token_and_no_message(tmp_path: Path) -> None:
    async def scene() -> None:
        with run_server() as server:
            async with (
                client(server, "alice", store=tmp_path / "alice.db") as alice,
                client(server, "bob", store=tmp_path / "bob.db") as bob,
            ):
                await events(alice, Connected)
                await events(bob, Connected)
                chat = await alice.direct("bob")
                await chat.send("0")
                await asyncio.to_thread(server.kill)
                await events(alice, Disconnected)
                for number in range(1, 20):
                    await chat.post(str(number))
                await asyncio.to_thread(server.start)
                assert [message.text for message in await events(bob, Message, 20)] == [str(n) for n in range(20)]
                assert [sent.seq for sent in await events(alice, Sent, 19)] == list(range(2, 21))

    play(scene())


def test_resumptions_are_counted_and_fetch_nothing(server: RunningServer) -> None:
    async def scene() -> None:
        async with client(server, "rita") as rita, client(server, "rolf") as rolf:
            chat = await rolf.direct("rita")
            await chat.send("before")
            await events(rita, Message)
            await rita.direct("rolf")
            before = metric(server, 'longlink_resumes_total{outcome="whole"}')
            for _ in range(3):
                assert rita._links.live is not None
                rita._links.live._transport._link.transport.abort()  # type: ignore[attr-defined]
                (again,) = await events(rita, Reconnected)
                assert again.resumed
                assert not rita._inbox.sync_wanted
                await chat.send("now")
                assert [message.text for message in await events(rita, Message)] == ["now"]

            def counted() -> bool:
                return metric(server, 'longlink_resumes_total{outcome="whole"}') - before == 3

            await asyncio.to_thread(eventually, counted, "three resumptions are counted")

    play(scene())


def test_the_next_process_of_a_device_resumes_its_session(server: RunningServer, tmp_path: Path) -> None:
    async def scene() -> None:
        async with client(server, "sara", store=tmp_path / "sara.db") as sara:
            (first,) = await events(sara, Connected)
        async with client(server, "sara", store=tmp_path / "sara.db") as sara:
            (second,) = await events(sara, Connected)
            assert (second.resumed, second.session) == (True, first.session)
            await sara.logout()
        async with client(server, "sara", store=tmp_path / "sara.db") as sara:
            (third,) = await events(sara, Connected)
            assert (third.resumed, third.session == first.session) == (False, False)

    play(scene())


def test_in_the_background_nothing_comes_and_afterwards_everything(server: RunningServer) -> None:
    async def scene() -> None:
        async with client(server, "tom") as tom, client(server, "tina") as tina:
            chat = await tina.direct("tom")
            await chat.send("1")
            await events(tom, Message)
            await tom.background(True)
            await chat.send("2")
            assert (await tom.chat(chat.id).last(1))[0].text == "2"
            assert tom.chat(chat.id).unread == 1
            await tom.background(False)
            assert [message.text for message in await events(tom, Message)] == ["2"]

    play(scene())


# Reading --------------------------------------------------------------------------------------------------------------


def test_two_devices_and_the_other_side_agree_on_what_is_read_and_mentioned(
    server: RunningServer, tmp_path: Path
) -> None:
    async def scene() -> None:
        async with (
            client(server, "uma", device="phone", store=tmp_path / "phone.db") as phone,
            client(server, "uma", device="laptop") as laptop,
            client(server, "vera") as vera,
        ):
            chat = await vera.direct("uma")
            await chat.send("hello")
            await chat.send("are you there?", mentions=["uma"])
            await chat.send("everybody!", mentions_all=True)
            await events(phone, Message, 3)
            (_, second, _) = await events(laptop, Message, 3)
            assert second.mentions == ("uma",)
            here, there = phone.chat(chat.id), laptop.chat(chat.id)
            assert [(each.unread, each.mentions) for each in (here, there)] == [(3, 2), (3, 2)]
            here.read(2)
            assert await events(laptop, Read) == [Read(chat.id, "uma", 2)]
            assert await events(vera, Read) == [Read(chat.id, "uma", 2)]
            assert [(each.unread, each.mentions) for each in (here, there)] == [(1, 1), (1, 1)]
            assert chat.read_by("uma") == 2
        async with client(server, "uma", url=NOBODY, store=tmp_path / "phone.db") as phone:
            chat = await phone.direct("vera")
            assert [message.text for message in await chat.last(2)] == ["are you there?", "everybody!"]
            assert (chat.unread, chat.mentions) == (1, 1)
            chat.read(3)
        async with client(server, "uma", store=tmp_path / "phone.db"), client(server, "vera") as vera:
            chat = await vera.direct("uma")
            if chat.read_by("uma") < 3:
                assert (await events(vera, Read))[-1].seq == 3

    play(scene())


# A proxy that lets no WebSocket pass ----------------------------------------------------------------------------------


async def chatter(proxied: Client, other: Client, peer: str, begin: int) -> None:
    """Ten messages each way, in order and once."""
    there, back = await proxied.direct(peer), await other.direct(proxied.user)
    texts = [str(number) for number in range(begin, begin + 10)]
    reading = asyncio.gather(events(proxied, Message, 10), events(other, Message, 10))
    for text in texts:
        await asyncio.gather(there.send(text), back.send(text))
    for found in await reading:
        assert [message.text for message in found] == texts


def test_where_no_websocket_passes_everything_goes_by_stream_and_comes_back_by_itself(server: RunningServer) -> None:
    async def scene(proxy: Picky) -> None:
        async with (
            client(server, "walt", url=proxy.url) as walt,
            client(server, "xena") as xena,
        ):
            (up,) = await events(walt, Connected)
            assert up.link == "stream"
            assert proxy.refused >= 2
            await chatter(walt, xena, "xena", 0)
            proxy.cut()
            (again,) = await events(walt, Reconnected)
            assert (again.link, again.resumed, again.session) == ("stream", True, up.session)
            await chatter(walt, xena, "xena", 10)
            proxy.refuses = False
            (long,) = await events(walt, Reconnected)
            assert (long.link, long.resumed, long.session) == ("websocket", True, up.session)
            assert not walt._links._paths.streaming
            await chatter(walt, xena, "xena", 20)
            proxy.refuses = True
            proxy.cut()
            (back,) = await events(walt, Reconnected)
            assert (back.link, back.resumed, back.session) == ("stream", True, up.session)
            await chatter(walt, xena, "xena", 30)

    async def through() -> None:
        async with picky(server) as proxy:
            await scene(proxy)

    play(through())


def test_marks_background_and_logout_work_by_stream_too(server: RunningServer) -> None:
    async def scene(proxy: Picky) -> None:
        async with client(server, "yves", url=proxy.url) as yves, client(server, "zoe") as zoe:
            chat = await zoe.direct("yves")
            await chat.send("1")
            (message,) = await events(yves, Message)
            yves.chat(chat.id).read(message)
            assert await events(zoe, Read) == [Read(chat.id, "yves", 1)]
            await yves.background(True)
            await events(yves, Reconnected)
            await chat.send("2")
            await yves.background(False)
            assert [message.text for message in await events(yves, Message)] == ["2"]
            await yves.logout()

    async def through() -> None:
        async with picky(server) as proxy:
            await scene(proxy)

    play(through())


def test_a_stream_whose_session_was_forgotten_begins_anew_with_a_token() -> None:
    async def scene() -> None:
        with run_server() as server:
            async with (
                picky(server) as proxy,
                client(server, "anna", url=proxy.url) as anna,
                client(server, "bert") as bert,
            ):
                await events(anna, Connected)
                await bert.direct("anna")
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)
                (again,) = await events(anna, Reconnected)
                assert (again.link, again.resumed) == ("stream", False)
                await chatter(anna, bert, "bert", 0)

    play(scene())


def test_without_the_fallback_a_refused_upgrade_is_an_error_that_says_so(server: RunningServer) -> None:
    async def scene() -> None:
        async with picky(server) as proxy:
            made = longlink.connect(proxy.url, token=server.token("carl"), fallback=False, connect_timeout=0.5)
            with pytest.raises(longlink.LonglinkError) as caught:
                await made.__aenter__()
            assert "403" in caught.value.message

    play(scene())
