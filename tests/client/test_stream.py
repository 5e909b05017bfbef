"""The stream against servers that send too much, or what cannot be used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from longlink import errors
from longlink.client.transport import Transport, open_fallback, stream
from longlink.errors import LonglinkError
from longlink.protocol.frames import Connected

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


@asynccontextmanager
async def serving(*parts: bytes) -> AsyncIterator[Transport]:
    """An opened stream whose server sends these parts and leaves it open."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        for part in (HEAD, *parts):
            writer.write(part)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = await open_fallback(f"ws://127.0.0.1:{port}", "", None)
    try:
        await link.send(b"{}")
        yield link
    finally:
        await link.close(1000)
        for writer in writers:
            writer.close()
        server.close()


async def ended(link: Transport) -> LonglinkError:
    try:
        while True:
            await link.receive()
    except LonglinkError as error:
        return error


@pytest.mark.parametrize(
    "flood",
    [b"x" * 2000, b"data:" + b"x" * 2000, b"data: x\n" * 250, b"data:\n" * 400, b"event: e\ndata: x\n" * 250],
    ids=["a line", "a data line", "data lines", "empty data lines", "with a kind"],
)
def test_an_event_that_never_ends_is_bounded_in_all(flood: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "EVENT_BYTES", 1000)

    async def scene() -> None:
        async with serving(flood) as link:
            error = await ended(link)
            assert (error.row, error.message) == (
                errors.DISCONNECTED,
                "the server sent an event of more than 1000 bytes",
            )

    asyncio.run(asyncio.wait_for(scene(), 10))


def test_many_events_that_end_are_all_received(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "EVENT_BYTES", 1000)

    async def scene() -> None:
        async with serving(b"data: one\ndata: two\n\n" * 100) as link:
            assert [await link.receive() for _ in range(100)] == [b"one\ntwo"] * 100

    asyncio.run(asyncio.wait_for(scene(), 10))


def test_a_resume_token_that_no_header_can_carry_ends_the_stream_instead_of_its_task() -> None:
    async def scene() -> None:
        async with serving() as link:
            link.admitted(Connected(key="\u00fc\n"))
            await link.send(b"{}")
            assert (await ended(link)).row is errors.DISCONNECTED

    asyncio.run(asyncio.wait_for(scene(), 10))


def test_a_close_with_a_code_that_is_no_number_is_a_lost_connection() -> None:
    async def scene() -> None:
        for code in (b"1e999", b"null", b'"x"', b"[]"):
            async with serving(b'event: close\ndata: {"code":' + code + b"}\n\n") as link:
                assert (await ended(link)).row is errors.DISCONNECTED

    asyncio.run(asyncio.wait_for(scene(), 10))
