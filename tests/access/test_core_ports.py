"""Ports, draining and TLS of the connection core, by core/BOUNDARY.md."""

import errno
import os
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from longlink._core import CLOSED, REPLY, Core

from .core_server import DEADLINE, LIMITS, Client, Server, Start, admitted, connect, speak


def test_a_port_that_another_process_shares_is_still_taken(start: Start) -> None:
    server = start()
    code = (
        "import socket; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1);"
        "s.bind(('127.0.0.1', 0)); s.listen(); print(s.getsockname()[1], flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdin
        port = int(other.stdout.readline())
        with pytest.raises(OSError, match="in use") as caught:
            server.core.listen("127.0.0.1", port)
        assert caught.value.errno == errno.EADDRINUSE
        assert server.core.listen("127.0.0.1", port, shared=True) == port
        other.communicate(b"\n")
    with pytest.raises(OSError, match="in use"):
        server.core.listen("127.0.0.1", server.port)


def test_it_listens_on_ipv6(start: Start) -> None:
    server = start()
    try:
        port = server.core.listen("::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with socket.create_connection(("::1", port), timeout=DEADLINE) as stream:
        stream.sendall(b"\0LLP\0\0\0\x01x")
        _, connection, data = server.count(1)[0]
        assert data == b"x"
        assert server.core.peer(connection) == f"[::1]:{stream.getsockname()[1]}"


def test_a_port_can_be_had_again_after_stop(start: Start) -> None:
    server = start()
    client = Client.connect(server)
    connection = admitted(server, client)
    server.core.stop()
    server.core.stop()
    assert server.closed(connection) == 1006
    assert client.ended()
    again = Server()
    assert again.core.listen("127.0.0.1", server.port) == server.port
    again.core.stop()
    with pytest.raises(OSError, match="stopped"):
        server.core.listen("127.0.0.1", 0)


def test_a_core_that_never_listened_can_be_used_and_stopped() -> None:
    core = Core(**LIMITS)
    core.send(1 << 44, b"x", REPLY)
    core.flush()
    assert core.poll() == []
    core.drain(0, 1001, "")
    core.stop()


def test_draining_closes_all_evenly_and_takes_no_new_ones(start: Start) -> None:
    server = start()
    clients = [Client.connect(server) for _ in range(20)]
    for client in clients:
        admitted(server, client)
    begun = time.monotonic()
    server.core.drain(1000, 1001, "moving")
    ends: list[float] = []
    while len(ends) < 20:
        events = server.count(1)
        ends += [time.monotonic() - begun] * len(events)
        assert all(event[0] == CLOSED and event[2] == 1001 for event in events)
    assert 0.8 < ends[-1] < 3
    assert 0.3 < ends[9] < 0.8
    assert [client.close_code() for client in clients] == [1001] * 20
    with pytest.raises(ConnectionError):
        connect(server)


def certificate(folder: Path, name: str) -> tuple[str, str]:
    chain, key = str(folder / f"{name}.pem"), str(folder / f"{name}.key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    subprocess.run([*command, "-keyout", key, "-out", chain, *names], check=True, capture_output=True)
    return chain, key


def trust(chain: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=chain)


def test_tls_carries_messages_of_any_size_both_ways(start: Start, tmp_path: Path) -> None:
    files = certificate(tmp_path, "one")
    server = start(tls=files, queue_bytes=4 << 20)
    client = Client.connect(server, tls=trust(files[0]))
    for size in (5, 20_000, 1 << 20):
        payload = os.urandom(size)
        connection = speak(server, client, payload)
        server.core.send(connection, payload, REPLY)
        server.core.flush()
        assert client.receive() == (2, payload)
    server.core.close(connection, 4000)
    server.core.flush()
    assert client.close_code() == 4000
    assert server.closed(connection) == 4000
    assert server.core.counters()["accepted_tls"] == 1


def test_new_handshakes_use_the_new_certificate_and_bad_files_change_nothing(start: Start, tmp_path: Path) -> None:
    one, two = certificate(tmp_path, "one"), certificate(tmp_path, "two")
    server = start(tls=one)
    before = Client.connect(server, tls=trust(one[0]))
    with pytest.raises(ValueError, match=r"one\.pem"):
        server.core.reload_tls(one[0], two[1])
    with pytest.raises(ValueError, match="nowhere"):
        server.core.reload_tls(str(tmp_path / "nowhere"), one[1])
    Client.connect(server, tls=trust(one[0]))
    server.core.reload_tls(*two)
    Client.connect(server, tls=trust(two[0]))
    with pytest.raises(ssl.SSLError):
        Client.connect(server, tls=trust(one[0]))
    speak(server, before)


def test_a_tls_port_refuses_plain_text(start: Start, tmp_path: Path) -> None:
    server = start(tls=certificate(tmp_path, "one"))
    http, record = connect(server), connect(server)
    http.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    record.sendall(b"\0LLP")
    assert b"TLS" in Client(http).take_until(b"TLS") + b"TLS"
    assert Client(record).ended()
    server.until("handshake_failures", 2)


def test_a_certificate_that_is_none_is_refused_with_its_name(start: Start, tmp_path: Path) -> None:
    server = start()
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    with pytest.raises(ValueError, match=r"empty\.pem"):
        server.core.listen("127.0.0.1", 0, tls=(str(empty), str(empty)))
    with pytest.raises(ValueError, match="no port listens with TLS"):
        server.core.reload_tls(str(empty), str(empty))


def test_slow_tls_readers_get_everything_in_order(start: Start, tmp_path: Path) -> None:
    files = certificate(tmp_path, "one")
    server = start(tls=files, queue_bytes=64 << 20)
    client = Client.connect(server, tls=trust(files[0]))
    connection = admitted(server, client)
    for number in range(2000):
        server.core.send(connection, b"%08d" % number + bytes(8192), REPLY)
    server.core.flush()
    server.above("queued_bytes", 0)
    assert [client.receive()[1][:8] for _ in range(2000)] == [b"%08d" % number for number in range(2000)]
    server.until("queued_bytes", 0)
