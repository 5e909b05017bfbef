"""The proxies of docs/guides/reverse-proxy.md, as they are written there: nginx and HAProxy before a real server."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

import longlink
from longlink.testing import RunningServer, run_server

from .blocks import blocks_of

PAGE: Final = Path(__file__).parents[2] / "docs/guides/reverse-proxy.md"
PING_MS: Final = 300
BEHIND: Final = {"LONGLINK_LISTEN_TRUSTED_PROXIES": "127.0.0.1/32", "LONGLINK_CONNECTION_PING_MS": str(PING_MS)}
START_S: Final = 10.0


def _config(language: str) -> str:
    (block,) = [block for block in blocks_of(PAGE) if block.language == language]
    return block.text


def _program(name: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin")
    if found is None:
        pytest.skip(f"needs {name}; on Debian: apt install {'nginx-light' if name == 'nginx' else name}")
    return found


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    certificate, key = folder / "chain.pem", folder / "key.pem"
    subject = ["-nodes", "-subj", "/CN=longlink", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1"]
    files = ["-out", str(certificate), "-keyout", str(key)]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run([_program("openssl"), "req", "-x509", *curve, *subject, *files], check=True, capture_output=True)
    return certificate, key


def _trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        _await_port(port, process)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=10)


def _await_port(port: int, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionRefusedError:
            continue
        return
    process.kill()
    raise AssertionError(f"the proxy did not start: {process.communicate()[0]}")


@contextmanager
def nginx(server: RunningServer, folder: Path, change: dict[str, str] | None = None) -> Iterator[tuple[int, Path]]:
    """The page's nginx on a port of its own; returns it and the certificate."""
    program, port = _program("nginx"), _free_port()
    certificate, key = _certificate(folder)
    text = _config("nginx")
    for here, there in {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "/etc/longlink/chain.pem": str(certificate),
        "/etc/longlink/key.pem": str(key),
        "http://127.0.0.1:7700": server.url.replace("ws://", "http://"),
        "http://127.0.0.1:7701": server.http,
        **(change or {}),
    }.items():
        assert here in text
        text = text.replace(here, there)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = folder / "nginx.conf"
    file.write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;"
        f"events {{}} http {{ access_log off; {temporary}\n{text}\n}}"
    )
    with _running([program, "-c", str(file), "-p", str(folder)], port):
        yield port, certificate


@contextmanager
def haproxy(server: RunningServer, folder: Path) -> Iterator[tuple[int, int, Path]]:
    """The page's HAProxy; returns its ports for connections and for calls, and the certificate."""
    program, port, http_port = _program("haproxy"), _free_port(), _free_port()
    certificate, key = _certificate(folder)
    both = folder / "chain-and-key.pem"
    both.write_text(certificate.read_text() + key.read_text())
    text = _config("haproxy")
    for here, there in {
        "bind :443 ": f"bind 127.0.0.1:{port} ",
        "bind :8443 ": f"bind 127.0.0.1:{http_port} ",
        "/etc/longlink/chain-and-key.pem": str(both),
        "127.0.0.1:7700": server.url.removeprefix("ws://"),
        "127.0.0.1:7701": server.http.removeprefix("http://"),
    }.items():
        assert here in text
        text = text.replace(here, there)
    file = folder / "haproxy.cfg"
    file.write_text(text)
    with _running([program, "-db", "-f", str(file)], port):
        yield port, http_port, certificate


async def _refused_from(address: str, url: str, context: ssl.SSLContext) -> None:
    """A connection from this address of ours, which the server refuses and logs."""
    async with connect(
        url, ssl=context, subprotocols=[Subprotocol("longlink.v1.json")], proxy=None, local_addr=(address, 0)
    ) as link:
        await link.send(json.dumps({"id": 1, "connect": {"version": 1, "token": "none", "device": "page"}}))
        assert json.loads(await link.recv())["error"]["name"] == "token_invalid"


def _peer_in_log(server: RunningServer) -> str:
    """The address in the server's line about the refusal."""
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        for line in list(server.log):
            if line.get("event") == "refused":
                return str(line["peer"]).partition(":")[0]
    raise AssertionError("no refusal was logged")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with run_server(tmp_path / "data", BEHIND) as running:
        yield running


def _get(url: str, certificate: Path, token: str = "", body: bytes | None = None) -> tuple[int, bytes]:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=10, context=_trusting(certificate)) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


async def _round_trip(url: str, context: ssl.SSLContext, server: RunningServer, **options: str) -> str:
    """Send a message to oneself's other device; returns by which transport."""
    async with (
        longlink.connect(url, token=server.token("alice"), device="one", ssl=context, **options) as one,  # type: ignore[arg-type]
        longlink.connect(url, token=server.token("alice"), device="two", ssl=context, **options) as two,  # type: ignore[arg-type]
    ):
        sent = await (await one.direct("alice")).send("through the proxy")
        connected = ""
        async for event in two:
            if isinstance(event, longlink.Connected):
                connected = event.link
            if isinstance(event, longlink.Message) and event.id == sent.id:
                return connected
    raise AssertionError("the iteration ended")


def test_nginx_passes_websocket_calls_and_nothing_of_operators(server: RunningServer, tmp_path: Path) -> None:
    with nginx(server, tmp_path) as (port, certificate):
        base = f"https://127.0.0.1:{port}"
        link = asyncio.run(_round_trip(f"wss://127.0.0.1:{port}", _trusting(certificate), server, http=base))
        assert link == "websocket"
        status, body = _get(f"{base}/v1/sync", certificate, server.token("alice"), b"{}")
        assert status == 200
        assert json.loads(body)["changes"]
        assert [_get(f"{base}{path}", certificate)[0] for path in ("/metrics", "/readyz", "/healthz")] == [404] * 3


def test_the_stream_passes_where_websockets_do_not(server: RunningServer, tmp_path: Path) -> None:
    no_upgrade = {"proxy_set_header Upgrade         $http_upgrade;": "", "$connection_upgrade;": "'';"}
    with nginx(server, tmp_path, no_upgrade) as (port, certificate):
        base = f"https://127.0.0.1:{port}"
        link = asyncio.run(_round_trip(f"wss://127.0.0.1:{port}", _trusting(certificate), server, http=base))
        assert link == "stream"


def test_the_stream_passes_a_proxy_that_speaks_http_1_0(server: RunningServer, tmp_path: Path) -> None:
    with nginx(server, tmp_path, {"proxy_http_version 1.1;": ""}) as (port, certificate):
        base = f"https://127.0.0.1:{port}"
        link = asyncio.run(_round_trip(f"wss://127.0.0.1:{port}", _trusting(certificate), server, http=base))
        assert link == "stream"


def test_a_quiet_websocket_outlives_the_proxys_timeout(server: RunningServer, tmp_path: Path) -> None:
    async def quiet(url: str, context: ssl.SSLContext) -> None:
        pings: asyncio.Queue[float] = asyncio.Queue()
        async with connect(
            url, ssl=context, subprotocols=[Subprotocol("longlink.v1.json")], ping_interval=None, proxy=None
        ) as link:
            answer = link.protocol.recv_frame

            def count(frame: object) -> None:
                if getattr(frame, "opcode", None) == 9:
                    pings.put_nowait(0.0)
                answer(frame)  # type: ignore[arg-type]

            link.protocol.recv_frame = count  # type: ignore[method-assign]
            token = server.token("alice")
            await link.send(json.dumps({"id": 1, "connect": {"version": 1, "token": token, "device": "page"}}))
            assert "connected" in json.loads(await link.recv())
            # As many as make the silence of this side three times the proxy's timeout.
            for _ in range(3_000 // PING_MS + 1):
                await asyncio.wait_for(pings.get(), 10)
            await link.send(json.dumps({"id": 2, "sync": {}}))
            assert "synced" in json.loads(await link.recv())

    timeout = {"location = /          { ": "location = /          { proxy_read_timeout 1s; proxy_send_timeout 1s; "}
    with nginx(server, tmp_path, timeout) as (port, certificate):
        asyncio.run(quiet(f"wss://127.0.0.1:{port}", _trusting(certificate)))


def test_the_server_sees_the_clients_address_behind_nginx(server: RunningServer, tmp_path: Path) -> None:
    with nginx(server, tmp_path) as (port, certificate):
        asyncio.run(_refused_from("127.0.0.2", f"wss://127.0.0.1:{port}", _trusting(certificate)))
    assert _peer_in_log(server) == "127.0.0.2"


def test_haproxy_passes_all_and_says_who_the_client_is(tmp_path: Path) -> None:
    settings = BEHIND | {"LONGLINK_LISTEN_PROXY_PROTOCOL": "true"}
    with run_server(tmp_path / "data", settings) as server, haproxy(server, tmp_path) as (port, http_port, certificate):
        context = _trusting(certificate)
        http = f"https://127.0.0.1:{http_port}"
        assert asyncio.run(_round_trip(f"wss://127.0.0.1:{port}", context, server, http=http)) == "websocket"
        assert asyncio.run(_round_trip(f"tcps://127.0.0.1:{port}", context, server, http=http)) == "tcp"
        assert _get(f"{http}/v1/sync", certificate, server.token("alice"), b"{}")[0] == 200
        asyncio.run(_refused_from("127.0.0.2", f"wss://127.0.0.1:{port}", context))
        assert _peer_in_log(server) == "127.0.0.2"
