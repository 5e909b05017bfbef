"""Ports and draining of the connection core, by core/BOUNDARY.md."""

import errno
import socket
import subprocess
import sys
import time

import pytest

from longlink._core import CLOSED, REPLY, Core

from .core_server import DEADLINE, LIMITS, Client, Server, Start, admitted, connect


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
