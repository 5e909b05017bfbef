"""The HTTP server on real sockets: its bounds, its errors at the start, and how it stops."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import shutil
import signal
import socket
import ssl
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from longlink import errors
from longlink.access.http import HttpServer, Places, connection, serve_http, server, server_context
from longlink.errors import LonglinkError
from longlink.routing.rates import Rate

DEADLINE_S = 10.0
ANY = Places(512, 512, Rate(0, 1, float), Counter())
REQUEST = b"GET /x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


@contextlib.asynccontextmanager
async def serving(
    application: Callable[..., Awaitable[None]] = app,
    *,
    tls: tuple[str, str] | None = None,
    most: int = 512,
    share: int = 512,
    stall_ms: int = 30_000,
    cuts: Counter[str] | None = None,
) -> AsyncIterator[HttpServer]:
    context = server_context(*tls) if tls else None
    places = Places(most, share, Rate(0, 1, float), Counter() if cuts is None else cuts)
    http = await serve_http(application, "127.0.0.1", 0, places, tls=context, stall_ms=stall_ms)
    try:
        yield http
    finally:
        await http.close()


async def exchange(port: int, data: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    """Send, and read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    try:
        writer.write(data)
        return await asyncio.wait_for(reader.read(), DEADLINE_S)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def test_an_app_is_served_on_the_port_that_the_system_gave() -> None:
    async def run() -> None:
        async with serving() as http:
            answer = await exchange(http.port, REQUEST)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"/x" in answer
            assert b"server:" not in answer

    asyncio.run(run())


@pytest.mark.parametrize("request_", [REQUEST, b"no HTTP at all\r\n\r\n"])
def test_every_answer_tells_when_it_was_made(request_: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(["first", "second"])
    monkeypatch.setattr(connection, "formatdate", lambda usegmt: next(clock))

    async def run() -> None:
        async with serving() as http:
            assert b"\r\ndate: first\r\n" in await exchange(http.port, request_)
            assert b"\r\ndate: second\r\n" in await exchange(http.port, request_)

    asyncio.run(run())


def test_a_header_above_the_bound_gets_431() -> None:
    async def run() -> None:
        async with serving() as http:
            head = b"GET / HTTP/1.1\r\nx: " + b"y" * (connection.HEADER_BYTES + 1)
            assert (await exchange(http.port, head)).startswith(b"HTTP/1.1 431 ")

    asyncio.run(run())


def test_a_header_is_measured_without_the_body_that_comes_with_it() -> None:
    async def run() -> None:
        async with serving(length_app) as http:
            size = 3 * connection.HEADER_BYTES
            whole = b"POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size + b"b" * size
            reader, writer = await asyncio.open_connection("127.0.0.1", http.port)
            for _ in range(2):
                writer.write(whole)
                assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE_S)
                assert str(size).encode() in await asyncio.wait_for(reader.readuntil(b"\r\n0\r\n\r\n"), DEADLINE_S)
            writer.close()

    asyncio.run(run())


async def fields_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the header, once the body is there."""
    while (await receive())["more_body"]:
        pass
    told = b",".join(name for name, _ in scope["headers"])
    await app({**scope, "path": f"[{told.decode()}]"}, receive, send)


CHUNKED = b"POST /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


def test_fields_behind_a_body_are_in_no_header_neither_this_nor_the_next_one() -> None:
    async def run() -> None:
        async with serving(fields_app) as http:
            whole = CHUNKED + b"2\r\n{}\r\n0\r\nauthorization: y\r\nlonglink-device: z\r\n\r\n"
            answers = await exchange(http.port, whole + REQUEST)
        assert b"[host,transfer-encoding]" in answers
        assert b"[host,connection]" in answers

    asyncio.run(run())


@pytest.mark.parametrize(
    "endless", [b"0\r\n" + b"x: y\r\n" * 50_000, b"0\r\nx: " + b"y" * 300_000, b"2;" + b"y" * 300_000]
)
def test_what_comes_behind_a_header_and_is_no_body_is_bounded_too(endless: bytes) -> None:
    async def run() -> None:
        async with serving(length_app) as http:
            reader, writer = await asyncio.open_connection("127.0.0.1", http.port)
            writer.write(CHUNKED)
            for _ in range(30):
                writer.write(endless)
            assert await ended(reader)
            writer.transport.abort()

    asyncio.run(run())


def test_a_body_that_nobody_wants_is_read_for_a_while_so_that_the_answer_arrives_and_no_longer() -> None:
    async def run() -> None:
        async with serving() as http:
            reader, writer = await asyncio.open_connection("127.0.0.1", http.port)
            some, many = connection.UNWANTED_BYTES // 2, 64 * connection.UNWANTED_BYTES
            for size in (some, some, many):
                writer.write(b"POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size)
                await asyncio.wait_for(reader.readuntil(b"\r\n0\r\n\r\n"), DEADLINE_S)
                writer.write(bytes(min(size, many - 1)))
            assert await ended(reader)
            writer.transport.abort()

    asyncio.run(run())


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether the server ends the connection without an answer, and long before it would cut it for being slow."""
    try:
        return await asyncio.wait_for(reader.read(), connection.HEADER_S / 2) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def test_a_body_in_many_chunks_is_not_taken_for_something_else() -> None:
    async def run() -> None:
        async with serving(length_app) as http:
            chunks = b"1;a=b\r\nx\r\n" * connection.HEADER_BYTES
            end = b"0\r\n\r\n"
            assert str(connection.HEADER_BYTES).encode() in await exchange(http.port, CHUNKED + chunks + end + REQUEST)

    asyncio.run(run())


async def length_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the length of the body."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message["body"]), message["more_body"]
    await app({**scope, "path": str(size)}, receive, send)


def test_a_header_that_does_not_come_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEADER_S", 0.05)

    async def run() -> None:
        async with serving() as http:
            for beginning in (b"", b"GET / HT"):
                with contextlib.suppress(ConnectionError):
                    assert await exchange(http.port, beginning) == b""

    asyncio.run(run())


def test_a_body_that_does_not_come_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEADER_S", 0.05)

    async def run() -> None:
        async with serving() as http:
            with contextlib.suppress(ConnectionError):
                await exchange(http.port, b"POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\na")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("second", "end"),
    [
        (b"GET / HT", b""),
        (b"\r\n", b""),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * (connection.HEADER_BYTES + 1), b"HTTP/1.1 431 "),
        (b"GET /" + b"y" * (connection.HEADER_BYTES + 1) + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 431 "),
    ],
)
def test_the_second_header_of_a_connection_is_bounded_like_the_first(
    monkeypatch: pytest.MonkeyPatch, second: bytes, end: bytes
) -> None:
    monkeypatch.setattr(connection, "HEADER_S", 0.05)

    async def run() -> None:
        async with serving() as http:
            reader, writer = await asyncio.open_connection("127.0.0.1", http.port)
            writer.write(REQUEST.replace(b"connection: close\r\n", b""))
            await asyncio.wait_for(reader.readuntil(b"\r\n0\r\n\r\n"), DEADLINE_S)
            writer.write(second)
            rest = b""
            with contextlib.suppress(ConnectionError):
                rest = await asyncio.wait_for(reader.read(), DEADLINE_S)
            assert rest.startswith(end)
            writer.close()

    asyncio.run(run())


class Slow:
    """An app whose answers wait until they may go on."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.go_on = asyncio.Event()
        self._came = asyncio.Condition()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._came:
            self.begun.append(scope["path"])
            self._came.notify_all()
        await self.go_on.wait()
        await app(scope, receive, send)

    async def came(self, number: int) -> None:
        async with self._came:
            await asyncio.wait_for(self._came.wait_for(lambda: len(self.begun) >= number), DEADLINE_S)


def test_connections_above_the_bound_are_cut_while_the_others_are_busy() -> None:
    async def run() -> None:
        slow, cuts = Slow(), Counter[str]()
        async with serving(slow, most=1, cuts=cuts) as http:
            _, first = await asyncio.open_connection("127.0.0.1", http.port)
            first.write(REQUEST)
            await slow.came(1)
            assert await answer(http.port) == b""
            assert cuts == {"full": 1}
            slow.go_on.set()
            first.close()
            async with asyncio.timeout(DEADLINE_S):
                while not (await answer(http.port)).startswith(b"HTTP/1.1 200 "):
                    pass

    asyncio.run(run())


@pytest.mark.parametrize("run_loop", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("beginning", [b"", b"GET / HT", REQUEST.replace(b"connection: close\r\n", b"")])
def test_a_connection_without_a_request_under_way_gives_way_when_there_is_no_place(
    run_loop: Callable[[Coroutine[Any, Any, None]], None], beginning: bytes
) -> None:
    async def run() -> None:
        cuts = Counter[str]()
        async with serving(most=1, cuts=cuts) as http:
            reader, writer = await silent(http.port, beginning)
            if beginning.endswith(b"\r\n\r\n"):
                await asyncio.wait_for(reader.readuntil(b"\r\n0\r\n\r\n"), DEADLINE_S)
            assert (await answer(http.port)).startswith(b"HTTP/1.1 200 ")
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), DEADLINE_S) == b""
            assert cuts == {"evicted": 1}
            writer.close()

    run_loop(run())


@pytest.mark.parametrize("run_loop", [asyncio.run, uvloop.run])
def test_one_address_cannot_have_all_places(run_loop: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    async def run() -> None:
        slow, cuts = Slow(), Counter[str]()
        async with serving(slow, share=2, cuts=cuts) as http:
            held = [await asyncio.open_connection("127.0.0.1", http.port) for _ in range(2)]
            for _, writer in held:
                writer.write(REQUEST)
            await slow.came(2)
            assert await answer(http.port) == b""
            assert cuts == {"share": 1}
            slow.go_on.set()
            for _, writer in held:
                writer.close()

    run_loop(run())


class Watched(Counter[str]):
    """Counts that say when one of them moves."""

    def __init__(self) -> None:
        super().__init__()
        self.moved = asyncio.Event()

    def __setitem__(self, name: str, count: int) -> None:
        super().__setitem__(name, count)
        self.moved.set()


LARGE = b"x" * 300_000
MANY = REQUEST.replace(b"connection: close\r\n", b"") * connection.MOST_PIPELINED


@pytest.mark.parametrize("run_loop", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("kind", ["", "tls"])
def test_a_peer_that_takes_no_byte_is_cut_and_has_got_no_more_than_a_few_answers(
    tmp_path: Path, run_loop: Callable[[Coroutine[Any, Any, None]], None], kind: str
) -> None:
    begun: list[str] = []

    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        begun.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": LARGE})

    async def run() -> None:
        cuts = Watched()
        tls = make_certificate(tmp_path, "one.test") if kind else None
        async with serving(large, tls=tls, cuts=cuts, stall_ms=500) as http:
            peer = socket.socket()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            await asyncio.get_running_loop().run_in_executor(None, ask_and_read_nothing, peer, http.port, kind)
            await asyncio.wait_for(cuts.moved.wait(), DEADLINE_S)
            assert cuts == {"stalled": 1}
            assert 1 <= len(begun) <= 3
            peer.close()

    run_loop(run())


def ask_and_read_nothing(peer: socket.socket, port: int, kind: str) -> None:
    peer.connect(("127.0.0.1", port))
    if kind:
        peer = unverified().wrap_socket(peer)
    peer.sendall(MANY)
    if kind:
        peer.detach()


def test_requests_behind_a_large_answer_are_answered_once_it_is_read() -> None:
    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": LARGE})

    async def run() -> None:
        async with serving(large) as http:
            whole = await exchange(http.port, MANY[: -len(MANY) // 2] + REQUEST)
            assert whole.count(b"HTTP/1.1 200 ") == connection.MOST_PIPELINED // 2 + 1
            assert whole.count(LARGE) == connection.MOST_PIPELINED // 2 + 1

    asyncio.run(run())


async def answer(port: int, tls: ssl.SSLContext | None = None) -> bytes:
    """What a request gets; nothing when the connection is cut."""
    try:
        return await exchange(port, REQUEST, tls)
    except ConnectionError:
        return b""


def unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def silent(port: int, beginning: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection whose TLS handshake does not end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(beginning)
    return reader, writer


HALF_A_HELLO = b"\x16\x03\x01\x02\x00\x01"


@pytest.mark.parametrize("run_loop", [asyncio.run, uvloop.run])
def test_a_tls_handshake_that_does_not_end_has_a_place_from_its_accept_and_gives_it_to_others(
    tmp_path: Path, run_loop: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    async def run() -> None:
        cuts = Counter[str]()
        async with serving(tls=make_certificate(tmp_path, "one.test"), most=2, cuts=cuts) as http:
            held = [await silent(http.port, beginning) for beginning in (b"", HALF_A_HELLO)]
            for n in range(1, 3):
                assert (await answer(http.port, unverified())).startswith(b"HTTP/1.1 200 ")
                assert cuts["evicted"] <= n
            reader, _ = held[0]
            assert await asyncio.wait_for(reader.read(), DEADLINE_S) == b""
            assert cuts["evicted"] >= 1
            for _, writer in held:
                writer.close()

    run_loop(run())


@pytest.mark.parametrize("run_loop", [asyncio.run, uvloop.run])
def test_a_tls_handshake_that_does_not_end_is_cut_and_leaves_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_loop: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    async def run() -> None:
        async with serving(tls=make_certificate(tmp_path, "one.test"), most=1) as http:
            for beginning in (b"", HALF_A_HELLO):
                monkeypatch.setattr(server, "HANDSHAKE_S", 0.05)
                reader, writer = await silent(http.port, beginning)
                with contextlib.suppress(ConnectionError):
                    assert await asyncio.wait_for(reader.read(), DEADLINE_S) == b""
                writer.close()
                monkeypatch.setattr(server, "HANDSHAKE_S", DEADLINE_S)
                async with asyncio.timeout(DEADLINE_S):
                    while not (await answer(http.port, unverified())).startswith(b"HTTP/1.1 200 "):
                        pass

    run_loop(run())


def test_an_accept_that_the_system_refuses_is_logged_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "ACCEPT_AGAIN_S", 0.0)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        accept, failures = loop.sock_accept, [OSError(errno.EMFILE, "Too many open files")]

        async def scarce(listener: socket.socket) -> tuple[socket.socket, object]:
            if failures:
                raise failures.pop()
            return await accept(listener)

        monkeypatch.setattr(loop, "sock_accept", scarce)
        async with serving() as http:
            assert (await answer(http.port)).startswith(b"HTTP/1.1 200 ")

    asyncio.run(run())
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == ["http_accept_failed"]


def test_idle_connections_below_the_bound_lock_nobody_out() -> None:
    async def run() -> None:
        async with serving() as http:
            idle = [(await asyncio.open_connection("127.0.0.1", http.port))[1] for _ in range(200)]
            assert (await exchange(http.port, REQUEST)).startswith(b"HTTP/1.1 200 OK\r\n")
            for writer in idle:
                writer.close()

    asyncio.run(run())


def test_bytes_that_are_no_http_get_400() -> None:
    async def run() -> None:
        async with serving() as http:
            assert (await exchange(http.port, b"\x16\x03\x01 hello\r\n\r\n")).startswith(b"HTTP/1.1 400 ")

    asyncio.run(run())


def test_some_requests_may_be_sent_ahead_of_their_answers() -> None:
    async def run() -> None:
        ahead = REQUEST.replace(b"connection: close\r\n", b"") * connection.MOST_PIPELINED
        async with serving() as http:
            answers = await exchange(http.port, ahead + REQUEST)
            assert answers.count(b"HTTP/1.1 200 OK\r\n") == connection.MOST_PIPELINED + 1

    asyncio.run(run())


def test_requests_that_pile_up_behind_their_answers_end_the_connection() -> None:
    begun: list[str] = []
    go_on = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        begun.append(scope["path"])
        await go_on.wait()
        await app(scope, receive, send)

    async def run() -> None:
        many = REQUEST.replace(b"connection: close\r\n", b"") * (connection.MOST_PIPELINED + 2)
        async with serving(slow) as http:
            with contextlib.suppress(ConnectionError):
                assert (await exchange(http.port, many)).startswith(b"HTTP/1.1 400 ")
            go_on.set()
        assert len(begun) == 1

    asyncio.run(run())


def test_a_port_that_is_taken_is_an_error_of_ours() -> None:
    async def run() -> None:
        async with serving() as http:
            with pytest.raises(LonglinkError, match=f"cannot listen on 127.0.0.1:{http.port}") as caught:
                await serve_http(app, "127.0.0.1", http.port, ANY)
            assert caught.value.row is errors.PORT_TAKEN

    asyncio.run(run())


def test_an_address_of_another_machine_is_a_setting_to_mend() -> None:
    async def run() -> None:
        with pytest.raises(LonglinkError) as caught:
            await serve_http(app, "192.0.2.1", 0, ANY)
        assert caught.value.row is errors.CONFIG_INVALID

    asyncio.run(run())


def test_the_signal_handlers_of_the_process_are_left_alone() -> None:
    async def run() -> None:
        before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        async with serving():
            assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before

    asyncio.run(run())


def test_closing_frees_the_port_and_is_idempotent() -> None:
    async def run() -> None:
        async with serving() as http:
            await http.close()
            await http.close()
            with socket.create_server(("127.0.0.1", http.port)):
                pass

    asyncio.run(run())


def test_closing_does_not_wait_for_an_answer_that_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STOP_S", 0.05)
    entered = asyncio.Event()

    async def hang(scope: Scope, receive: Receive, send: Send) -> None:
        entered.set()
        await asyncio.Event().wait()

    async def run() -> None:
        http = await serve_http(hang, "127.0.0.1", 0, ANY)
        _, writer = await asyncio.open_connection("127.0.0.1", http.port)
        writer.write(REQUEST)
        await asyncio.wait_for(entered.wait(), DEADLINE_S)
        await asyncio.wait_for(http.close(), DEADLINE_S)
        writer.close()

    asyncio.run(run())


def make_certificate(folder: Path, name: str, kind: str = "rsa") -> tuple[str, str]:
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    made = {"rsa": ["rsa:2048"], "ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]}[kind]
    command = ["openssl", "req", "-x509", "-newkey", *made, "-nodes", "-subj", f"/CN={name}"]
    command += ["-addext", f"subjectAltName=DNS:{name}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, capture_output=True, check=True)
    return str(certificate), str(key)


async def name_of(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=unverified())
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.write(REQUEST)
    assert (await asyncio.wait_for(reader.read(), DEADLINE_S)).startswith(b"HTTP/1.1 200")
    writer.close()
    assert isinstance(der, bytes)
    return der


def test_tls_is_served_and_a_new_context_is_used_by_new_connections(tmp_path: Path) -> None:
    first, second = make_certificate(tmp_path, "one.test"), make_certificate(tmp_path, "two.test")

    async def run() -> None:
        async with serving(tls=first) as http:
            assert b"one.test" in await name_of(http.port)
            http.use_tls(server_context(*second))
            assert b"two.test" in await name_of(http.port)

    asyncio.run(run())


def test_a_certificate_of_another_kind_of_key_replaces_the_old_one_entirely(tmp_path: Path) -> None:
    old, new = make_certificate(tmp_path, "old.test"), make_certificate(tmp_path, "new.test", "ec")
    rsa_alone = unverified()
    rsa_alone.maximum_version = ssl.TLSVersion.TLSv1_2
    rsa_alone.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")

    async def run() -> None:
        async with serving(tls=old) as http:
            assert b" 200 " in await exchange(http.port, REQUEST, rsa_alone)
            http.use_tls(server_context(*new))
            assert b"new.test" in await name_of(http.port)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await exchange(http.port, REQUEST, rsa_alone)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("suite", "taken"),
    [("ECDHE-RSA-AES256-GCM-SHA384", True), ("ECDHE-RSA-CHACHA20-POLY1305", True), ("ECDHE-RSA-AES256-SHA384", False)],
)
def test_tls_1_2_has_suites_with_authenticated_encryption_only(tmp_path: Path, suite: str, *, taken: bool) -> None:
    client = unverified()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(suite)

    async def run() -> None:
        async with serving(tls=make_certificate(tmp_path, "one.test")) as http:
            with contextlib.nullcontext() if taken else pytest.raises((ssl.SSLError, ConnectionError)):
                assert b" 200 " in await exchange(http.port, REQUEST, client)

    asyncio.run(run())


def test_a_pair_that_cannot_be_used_is_a_setting_to_fix(tmp_path: Path) -> None:
    one, two = make_certificate(tmp_path, "one.test"), make_certificate(tmp_path, "two.test")
    locked = tmp_path / "locked.key"
    command = ["openssl", "rsa", "-aes128", "-passout", "pass:x", "-in", one[1], "-out", str(locked)]
    subprocess.run(command, capture_output=True, check=True)
    for certificate, key, reason in (
        (str(tmp_path / "none"), one[1], "No such file"),
        (one[0], two[1], "KEY_VALUES_MISMATCH"),
        (one[0], str(locked), "the key is encrypted"),
    ):
        with pytest.raises(LonglinkError, match=reason) as caught:
            server_context(certificate, key)
        assert caught.value.row is errors.CONFIG_INVALID
