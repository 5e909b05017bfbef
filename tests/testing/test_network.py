"""The hostile network itself: it does what it says, and never changes a byte or the order of a connection's bytes."""

from __future__ import annotations

import asyncio
import random
import socket

import pytest

from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Frame, Send
from longlink.testing import HostileNetwork

from .echo import calling, echo_behind, play


def test_without_weather_bytes_come_as_they_were_sent() -> None:
    async def scene() -> None:
        data = random.Random(1).randbytes(3_000_000)
        async with echo_behind() as (echo, network), calling(network) as caller:
            assert await caller.back(data) == data
            assert network.passed == 2 * len(data)
            assert len(network.links) == 1
            caller.writer.write_eof()
            assert await caller.end() == ""
            await echo.until(lambda: echo.ends == [""])

    play(scene())


@pytest.mark.parametrize("frames", [False, True])
def test_delay_and_jitter_make_bytes_late_and_keep_their_order(frames: bool) -> None:
    async def scene() -> None:
        async with echo_behind(seed=3, frames=frames) as (_, network), calling(network) as caller:
            network.delay(0.1, jitter_s=0.05)
            begun = asyncio.get_running_loop().time()
            parts = [bytes([number]) * 100 for number in range(50)]
            for part in parts:
                caller.writer.write(part)
                await asyncio.sleep(0)
            assert await caller.reader.readexactly(5_000) == b"".join(parts)
            assert asyncio.get_running_loop().time() - begun >= 0.1

    play(scene())


def test_a_slow_line_passes_so_many_bytes_a_second_and_loses_none() -> None:
    async def scene() -> None:
        async with echo_behind() as (_, network), calling(network) as caller:
            network.up.rate = 100_000
            begun = asyncio.get_running_loop().time()
            data = random.Random(2).randbytes(30_000)
            assert await caller.back(data) == data
            assert asyncio.get_running_loop().time() - begun >= 0.3

    play(scene())


def test_a_source_is_left_unread_while_too_much_waits_for_a_slow_line() -> None:
    async def scene() -> None:
        async with echo_behind() as (_, network), calling(network) as caller:
            network.up.hold = True
            caller.writer.transport.set_write_buffer_limits(high=0)
            caller.writer.write(bytes(30_000_000))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await caller.writer.drain()
            assert len(network.links) == 1
            network.hold(False)
            assert len(await caller.reader.readexactly(30_000_000)) == 30_000_000

    play(scene())


def test_what_is_held_comes_when_the_hold_ends_and_nothing_is_lost() -> None:
    async def scene() -> None:
        async with echo_behind() as (echo, network), calling(network) as caller:
            await caller.back(b"before")
            network.hold()
            caller.writer.write(b"during")
            reading = asyncio.create_task(caller.reader.readexactly(6))
            done, _ = await asyncio.wait((reading,), timeout=0.05)
            assert not done
            assert bytes(echo.heard) == b"before"
            network.hold(False)
            assert await reading == b"during"

    play(scene())


def test_a_black_hole_swallows_bytes_and_ends_of_old_connections_for_good_and_new_ones_pass_when_it_is_gone() -> None:
    async def scene() -> None:
        async with echo_behind() as (echo, network), calling(network) as caller:
            await caller.back(b"before")
            network.black_hole()
            caller.writer.write(b"during")
            while network.swallowed < len(b"during"):  # noqa: ASYNC110 - nothing announces what vanishes
                await asyncio.sleep(0)
            network.black_hole(False)
            caller.writer.write(b"behind")
            async with calling(network) as other:
                assert await other.back(b"new") == b"new"
            assert bytes(echo.heard) == b"beforenew"
            caller.writer.close()
            await echo.until(lambda: echo.ends == [""])
            assert echo.connections == 1, "the end of the old one vanished too"

    play(scene())


def test_a_cut_ends_both_sides_in_order_and_a_reset_ends_them_with_an_error() -> None:
    async def scene() -> None:
        async with echo_behind() as (echo, network):
            async with calling(network) as caller:
                await caller.back(b"x")
                network.cut()
                assert await caller.end() == ""
            await echo.until(lambda: echo.ends == [""])
            async with calling(network) as caller:
                await caller.back(b"x")
                network.reset()
                assert await caller.end() == "ConnectionResetError"
            await echo.until(lambda: echo.ends == ["", "ConnectionResetError"])
            assert network.links == []

    play(scene())


def test_half_open_ends_one_side_and_the_other_is_not_told() -> None:
    async def scene() -> None:
        async with echo_behind() as (echo, network), calling(network) as first, calling(network) as second:
            await first.back(b"x")
            await second.back(b"x")
            network.links[0].half_open("client")
            assert await first.end() == "ConnectionResetError"
            network.links[1].half_open("server")
            await echo.until(lambda: echo.ends == ["ConnectionResetError"])
            second.writer.write(b"to nobody")
            reading = asyncio.create_task(second.reader.read(1))
            done, _ = await asyncio.wait((reading,), timeout=0.05)
            assert not done, "it still believes in its connection"
            assert echo.connections == 1, "and so does the server in the other one"
            reading.cancel()

    play(scene())


def test_a_server_s_side_that_comes_up_behind_the_end_of_the_client_s_is_closed_with_the_network() -> None:
    async def scene() -> None:
        async with echo_behind() as (echo, network):
            network.accepting = False
            async with calling(network) as caller:
                while not network.links:  # noqa: ASYNC110 - nothing announces a connection that is not accepted
                    await asyncio.sleep(0)
                network.half_open("client")
                assert await caller.end() == "ConnectionResetError"
            network.accepting = True
            await echo.until(lambda: echo.connections == 1)
            await network.__aexit__(None, None, None)
            await echo.until(lambda: echo.ends == ["ConnectionResetError"])

    play(scene())


def test_connections_wait_while_none_is_accepted() -> None:
    async def scene() -> None:
        async with echo_behind() as (echo, network):
            network.accepting = False
            async with calling(network) as caller:
                answer = asyncio.create_task(caller.back(b"x"))
                done, _ = await asyncio.wait((answer,), timeout=0.05)
                assert (done, echo.connections) == (set(), 0)
                network.accepting = True
                assert await answer == b"x"

    play(scene())


def test_a_later_connection_overtakes_an_earlier_one() -> None:
    async def scene() -> None:
        async with echo_behind(seed=5) as (echo, network):
            network.reorder_s = 0.2
            async with calling(network) as first, calling(network) as second:
                await echo.until(lambda: echo.connections == 2)
                slow, quick = (first, second) if network.links[0].lag_s > network.links[1].lag_s else (second, first)
                slow.writer.write(b"1")
                await asyncio.sleep(0)
                assert await quick.back(b"2") == b"2"
                assert bytes(echo.heard[:1]) == b"2"
                assert await slow.reader.readexactly(1) == b"1"

    play(scene())


def test_the_same_seed_gives_the_same_weather() -> None:
    async def lags(seed: int) -> list[float]:
        async with echo_behind(seed=seed) as (echo, network):
            network.reorder_s = 0.01
            async with calling(network), calling(network):
                await echo.until(lambda: echo.connections == 2)
                return [link.lag_s for link in network.links]

    async def scene() -> None:
        assert await lags(1) == await lags(1) != await lags(2)

    play(scene())


def test_a_server_that_is_not_there_resets_the_client() -> None:
    async def scene() -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            async with HostileNetwork(unused.getsockname()[1]) as network, calling(network) as caller:
                assert await caller.end() == "ConnectionResetError"

    play(scene())


# Single messages ------------------------------------------------------------------------------------------------------


def said(text: str) -> bytes:
    """A record of the TCP link."""
    data = Encoding.BINARY.encode(Frame(id=1, send=Send(conversation="c", client_id=text)))
    return b"\x00" + len(data).to_bytes(3, "big") + data


def test_exactly_the_message_that_matches_is_lost() -> None:
    async def scene() -> None:
        async with echo_behind(frames=True) as (echo, network), calling(network) as caller:
            echo.answers = False
            caller.writer.write(b"\x00LLP")
            loss = network.lose(lambda frame: frame.send.client_id in "bcd", nth=2)
            caller.writer.write(b"".join(map(said, "abcde"))[:-3])
            caller.writer.write(b"".join(map(said, "abcde"))[-3:])
            await echo.until(lambda: len(echo.heard) >= 4 + 4 * len(said("a")))
            assert (loss.lost, loss.over, loss.happened.is_set()) == (1, True, True)
            caller.writer.write(said("c"))
            await echo.until(lambda: len(echo.heard) >= 4 + 5 * len(said("a")))
            assert bytes(echo.heard) == b"\x00LLP" + b"".join(map(said, "abdec"))

    play(scene())


def test_a_loss_that_kills_resets_the_link_in_place_of_the_message() -> None:
    async def scene() -> None:
        async with echo_behind(frames=True) as (echo, network), calling(network) as caller:
            echo.answers = False
            caller.writer.write(b"\x00LLP" + said("a"))
            await echo.until(lambda: len(echo.heard) == 4 + len(said("a")))
            network.lose("msg:R", nth=1, kill=True)
            caller.writer.write(said("b") + said("c"))
            assert await caller.end() == "ConnectionResetError"
            await echo.until(lambda: len(echo.ends) == 1)
            assert bytes(echo.heard) == b"\x00LLP" + said("a")

    play(scene())


def test_what_is_no_message_passes_also_where_messages_are_told_apart() -> None:
    async def scene() -> None:
        for opening in (b"\x16\x03\x01", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /v1/send", b"\x00xyz", b"\x00LL"):
            async with echo_behind(frames=True) as (echo, network), calling(network) as caller:
                caller.writer.write(opening + b"rest")
                await asyncio.sleep(0)
                caller.writer.write_eof()
                await caller.end()
                await echo.until(lambda echo=echo: echo.ends)
                assert bytes(echo.heard) == opening + b"rest"

    play(scene())


def test_what_cannot_be_lost_is_said() -> None:
    async def scene() -> None:
        async with echo_behind() as (_, network):
            with pytest.raises(RuntimeError, match="frames=True"):
                network.lose("msg:R")
        async with echo_behind(frames=True) as (_, network):
            with pytest.raises(ValueError, match="got 'msg:X'"):
                network.lose("msg:X")

    play(scene())
