"""Whatever an application passes to the client, and however connecting fails: the error is one of the table."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

import longlink
from longlink import errors
from longlink.client.chat import Chat
from longlink.client.client import Client
from longlink.client.events import EPOCH, Message
from longlink.errors import LonglinkError
from longlink.testing import RunningServer, run_server

from .certificate import make_certificate
from .double import Double, running
from .scene import alice, play

HALF: Final = "a\ud800"
HUGE: Final = 10**5000
"""More digits than Python turns into text."""
FOREIGN: Final = Message(HALF, -1, "", "", EPOCH, "", None)
VALUES: Final[list[Any]] = [
    *("", "a", HALF, "\0", "x" * 100_000, "ünï"),
    *(0, 1, -1, 2**53, 2**63, 2**64, HUGE, -HUGE, 1.5, float("nan"), float("inf")),
    *(None, True, b"", b"\xff", bytearray(b"x"), [], ["bob"], [None], [HALF], {}, {"a": 1}, object(), ValueError),
    *(FOREIGN, Message("c", HUGE, "", "", EPOCH, "", None)),
]
CALLS: Final[dict[str, Callable[[Client, Chat, Any], Any]]] = {
    "direct": lambda client, _, value: client.direct(value),
    "chat.send": lambda client, _, value: client.chat(value).send("x"),
    "chat.unread": lambda client, _, value: client.chat(value).unread,
    "ack": lambda client, _, value: client.ack(value),
    "background": lambda client, _, value: client.background(value),
    "logout": lambda client, _, value: client.logout(everywhere=value) if value is not True else None,
    "send": lambda _, chat, value: chat.send(value),
    "send.mentions": lambda _, chat, value: chat.send("x", mentions=value),
    "send.mentions_all": lambda _, chat, value: chat.send("x", mentions_all=value),
    "send.client_id": lambda _, chat, value: chat.send("x", client_id=value),
    "send_custom.kind": lambda _, chat, value: chat.send_custom(value, b""),
    "send_custom.data": lambda _, chat, value: chat.send_custom("t", value),
    "post": lambda _, chat, value: chat.post(value),
    "post.client_id": lambda _, chat, value: chat.post("x", client_id=value),
    "read": lambda _, chat, value: chat.read(value),
    "history": lambda _, chat, value: _all(chat.history(after=value)),
    "last.count": lambda _, chat, value: chat.last(value),
    "last.before": lambda _, chat, value: chat.last(1, before=value),
    "delivered": lambda _, chat, value: chat.delivered(value),
    "read_by": lambda _, chat, value: chat.read_by(value),
}
ELSEWHERE: Final = {"chats", "close", "user", "device", "connected", "chat", "peer", "unread", "mentions", "members"}
"""Public names that take nothing, or whose argument is looked at when the chat is used."""
INSIDE: Final = {"ask", "track", "offline", "id", "head"}


async def _all(pages: AsyncIterator[Message]) -> list[Message]:
    return [message async for message in pages]


async def outcome(call: Callable[[], Any]) -> BaseException | None:
    try:
        result = call()
        if isinstance(result, Awaitable):
            await result
    except BaseException as error:
        return error
    return None


async def walk(client: Client, chat: Chat) -> dict[str, BaseException]:
    """Every call with every value; what came out that is no error of the table."""
    found = {}
    for name, call in CALLS.items():
        for value in VALUES:
            error = await outcome(lambda call=call, value=value: call(client, chat, value))  # type: ignore[misc]
            if not (error is None or (isinstance(error, LonglinkError) and error.message)):
                found[f"{name}({value!r:.40})" if value not in (HUGE, -HUGE) else name] = error
    return found


def test_every_public_method_is_walked() -> None:
    names = {name for kind in (Client, Chat) for name in vars(kind) if not name.startswith("_")}
    assert names - {name.partition(".")[0] for name in CALLS} - ELSEWHERE == INSIDE


def quick(double: Double) -> contextlib.AbstractAsyncContextManager[Client]:
    return alice(double, request_timeout=0.02, send_timeout=0.02, flush_timeout=0.0, fallback=False)


def test_on_a_connection_that_is_up_every_argument_gives_an_answer_or_an_error_of_the_table() -> None:
    async def scene() -> None:
        async with running() as double, alice(double, send_timeout=0.2, flush_timeout=0.0) as client:
            chat = await client.direct("bob")
            assert await walk(client, chat) == {}

    play(scene())


def test_on_a_dead_connection_too() -> None:
    async def scene() -> None:
        async with running() as double, quick(double) as client:
            chat = client.chat(double.open("alice", "bob"))
            double.deaf = True
            assert await walk(client, chat) == {}

    play(scene())


def test_and_after_the_end_of_the_client_which_says_that_it_is_closed() -> None:
    async def scene() -> None:
        async with running() as double:
            async with alice(double) as client:
                chat = await client.direct("bob")
            assert await walk(client, chat) == {}
            for call in (lambda: chat.send("x"), lambda: client.direct("bob"), client.chats, lambda: chat.read(1)):
                error = await outcome(call)
                assert isinstance(error, LonglinkError)
                assert (error.row, error.message) == (errors.CLIENT_UNUSABLE, "the client is closed")

    play(scene())


def test_before_entering_in_another_loop_and_in_another_thread_it_says_where_the_client_belongs() -> None:
    async def use(client: Client) -> None:
        await client.chat("c").send("x")

    async def scene() -> None:
        async with running() as double:
            client = longlink.connect(double.url, token="alice")
            error = await outcome(lambda: use(client))
            assert isinstance(error, LonglinkError)
            assert "has not been entered" in error.message
            async with client:
                for call in (lambda: asyncio.run(use(client)), lambda: client.chat("c").read(1)):
                    error = await outcome(lambda call=call: asyncio.to_thread(call))  # type: ignore[misc]
                    assert isinstance(error, LonglinkError)
                    assert "the event loop that entered it" in error.message
                error = await outcome(client.__aenter__)
                assert isinstance(error, LonglinkError)
                assert error.row is errors.CLIENT_UNUSABLE

    play(scene())


def test_background_on_a_dead_connection_is_unanswered_and_a_cancelled_call_is_cancelled() -> None:
    async def scene() -> None:
        async with running() as double, alice(double, request_timeout=0.05, flush_timeout=0.0) as client:
            double.deaf = True
            error = await outcome(lambda: client.background(True))
            assert isinstance(error, LonglinkError)
            assert error.row is errors.UNANSWERED
            calling = asyncio.create_task(client.direct("bob"))
            await double.until(lambda: len(double.seen) == 2)
            calling.cancel()
            assert isinstance(await outcome(lambda: calling), asyncio.CancelledError)

    play(scene())


# Options --------------------------------------------------------------------------------------------------------------

OPTIONS: Final = [
    name for name in inspect.signature(longlink.connect).parameters if name not in ("replay", "fallback", "auto_ack")
]


@pytest.mark.parametrize("option", OPTIONS)
def test_a_wrong_option_is_an_error_of_the_table_that_names_it(option: str, tmp_path: Path) -> None:
    taken = {"url": "ws://127.0.0.1:1", "token": "t"}
    for value in [*VALUES, tmp_path]:
        with contextlib.suppress(LonglinkError):
            longlink.connect(**(taken | {option: value}))
            continue
        with pytest.raises(LonglinkError, match=f"\\): {option}: expected ") as caught:
            longlink.connect(**(taken | {option: value}))
        assert caught.value.row in (errors.CONFIG_INVALID, errors.TOKEN_INVALID)


def test_a_tls_context_for_servers_is_refused_because_each_attempt_with_it_would_leak_a_socket() -> None:
    with pytest.raises(LonglinkError, match="ssl: expected"):
        longlink.connect("wss://h", token="t", ssl=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))


ADDRESSES: Final = [
    *(
        "nonsense",
        "127.0.0.1:7700",
        "http://127.0.0.1:7701",
        "ws://",
        "ws://:1",
        "ws://h:0",
        "ws://h:99999",
        "ws://h:x",
    ),
    *("ws://[::1", "ws://h:1\n", " ws://h:1", "ws://a b:1", "ws://a..b:1", f"ws://{'a' * 70}.de:1", "ws://\udcff:1"),
    *("ws://user:pw@h:1", "ws://h:1/#f", "tcp://h:1/path", "ws://h:1/\u00fc", "//h:1", "ws:h"),
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_wrong_address_is_refused_when_the_client_is_made_and_no_password_is_repeated(address: str) -> None:
    with pytest.raises(LonglinkError) as caught:
        longlink.connect(address, token="t")
    assert caught.value.row is errors.CONFIG_INVALID
    assert "pw" not in caught.value.message


@pytest.mark.parametrize(
    "address", ["ws://hö.example:1", "WS://h", "wss://h/path?x=1", "tcp://[::1]:7700", "tcps://h/"]
)
def test_other_addresses_are_accepted(address: str) -> None:
    longlink.connect(address, token="t")


@pytest.mark.parametrize("token", ["eyJ.eyJ.sig\n", "é", "\ud800", "a b"])
def test_a_token_that_cannot_be_one_is_refused_at_once_and_is_not_repeated(token: str) -> None:
    with pytest.raises(LonglinkError) as caught:
        longlink.connect("ws://h", token=token)
    assert caught.value.row is errors.TOKEN_INVALID
    assert "eyJ" not in caught.value.message


def cancels_itself() -> str:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("function", "row"),
    [
        (lambda: None, errors.TOKEN_INVALID),
        (lambda: b"x", errors.TOKEN_INVALID),
        (lambda: "a\n", errors.TOKEN_INVALID),
        (lambda: 1 / 0, errors.DISCONNECTED),
        (cancels_itself, errors.DISCONNECTED),
    ],
)
def test_whatever_a_token_function_does_is_told_as_what_it_is(function: Any, row: errors.Row) -> None:
    async def scene() -> None:
        async with running() as double:
            error = await outcome(longlink.connect(double.url, token=function, connect_timeout=2.0).__aenter__)
            assert isinstance(error, LonglinkError)
            assert (error.row, "token" in error.message) == (row, True)

    play(scene())


# The way to the server ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with run_server() as running_server:
        yield running_server


def entered(url: str, **options: Any) -> LonglinkError:
    """The error of entering a client with this address, after both ways were tried."""

    async def scene() -> BaseException | None:
        made = longlink.connect(url, token="t", connect_timeout=2.0, **options)
        return await outcome(Client(replace(made._options, random=lambda: 0.01)).__aenter__)

    error = asyncio.run(asyncio.wait_for(scene(), 20))
    assert isinstance(error, LonglinkError)
    return error


def test_the_error_is_that_of_the_first_way_and_the_fallback_is_a_note() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = entered(f"ws://127.0.0.1:{port}")
    assert error.message == f"no connection to ws://127.0.0.1:{port}: connection refused"
    assert error.__notes__ == ["The fallback, a stream with POST, failed too: connection refused"]


@pytest.mark.parametrize("scheme", ["ws", "tcp"])
def test_the_http_port_is_named_when_the_connection_was_to_be_there(server: RunningServer, scheme: str) -> None:
    port = server.http.rpartition(":")[2].rstrip("/")
    message = entered(f"{scheme}://127.0.0.1:{port}").message
    assert "connections go to another" in message


def test_a_name_that_nobody_knows_and_a_port_without_tls_are_said(server: RunningServer) -> None:
    assert "cannot resolve the host name 'nobody.invalid'" in entered("ws://nobody.invalid:7700").message
    assert "does not speak TLS" in entered(f"wss://127.0.0.1:{server.port}").message


def test_a_port_with_tls_and_a_certificate_that_nobody_signed_are_said(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    tls = {"LONGLINK_LISTEN_TLS_CERTIFICATE": str(certificate), "LONGLINK_LISTEN_TLS_KEY": str(key)}
    with run_server(settings=tls) as running_server:
        for scheme in ("wss", "tcps"):
            message = entered(f"{scheme}://127.0.0.1:{running_server.port}").message
            assert "certificate was rejected: self" in message, message
        assert "this port speaks TLS" in entered(f"ws://127.0.0.1:{running_server.port}").message


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\nnope", "answered with HTTP 502: nope"),
        (b"SSH-2.0-OpenSSH\r\n", "handshake failed"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://\r\nContent-Length: 0\r\n\r\n", ""),
        (b"", "handshake failed"),
    ],
)
def test_something_else_that_answers_is_a_lost_connection_with_what_it_said(answer: bytes, said: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        writer.close()

    async def scene() -> None:
        other = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"ws://127.0.0.1:{other.sockets[0].getsockname()[1]}"
        error = await outcome(longlink.connect(url, token="t", connect_timeout=0.5).__aenter__)
        other.close()
        assert isinstance(error, LonglinkError)
        assert error.row is errors.DISCONNECTED
        assert said in error.message

    asyncio.run(asyncio.wait_for(scene(), 20))
