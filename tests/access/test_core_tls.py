"""TLS of the connection core, by core/BOUNDARY.md, with the clients that OpenSSL makes."""

import os
import ssl
import subprocess
from pathlib import Path

import pytest

from longlink._core import BINARY, CLOSED, EVENT, REPLY, Core

from .core_server import DEADLINE, LIMITS, Client, Server, Start, admitted, connect, speak

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
SECRET = bytes(range(32))


def certificate(folder: Path, name: str) -> tuple[str, str]:
    chain, key = str(folder / f"{name}.pem"), str(folder / f"{name}.key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    subprocess.run([*command, "-keyout", key, "-out", chain, *names], check=True, capture_output=True)
    return chain, key


def trust(chain: str, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=chain)
    if version:
        context.minimum_version = context.maximum_version = version
    return context


def visit(
    server: Server, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[bool, ssl.SSLSession]:
    """Connect with the session of an earlier visit: was it resumed, and the session for the next visit."""
    client = Client.connect(server, tls=context, session=session)
    assert isinstance(client.stream, ssl.SSLSocket)
    speak(server, client)
    assert client.stream.session_reused is not None
    assert client.stream.session is not None
    return client.stream.session_reused, client.stream.session


@pytest.mark.parametrize("version", VERSIONS)
def test_tls_carries_messages_of_any_size_both_ways(start: Start, tmp_path: Path, version: ssl.TLSVersion) -> None:
    files = certificate(tmp_path, "one")
    server = start(tls=files, queue_bytes=4 << 20)
    client = Client.connect(server, tls=trust(files[0], version))
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


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_that_does_not_trust_us_is_counted(start: Start, tmp_path: Path, version: ssl.TLSVersion) -> None:
    one, two = certificate(tmp_path, "one"), certificate(tmp_path, "two")
    server = start(tls=one)
    with pytest.raises(ssl.SSLCertVerificationError):
        Client.connect(server, tls=trust(two[0], version))
    server.until("handshake_failures", 1)
    client = Client.connect(server, tls=trust(one[0], version))
    connection = admitted(server, client)
    # Behind TLS's back.
    os.write(client.stream.fileno(), b"\x17\x03\x03\x00\x20" + bytes(32))
    assert server.closed(connection) == 1006
    assert server.core.counters()["protocol_errors"] == 1


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


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_comes_back_with_its_session(start: Start, tmp_path: Path, version: ssl.TLSVersion) -> None:
    files = certificate(tmp_path, "one")
    server = start(tls=files)
    context = trust(files[0], version)
    reused, session = visit(server, context)
    assert not reused
    for count in (1, 2):
        reused, session = visit(server, context, session)
        assert reused
        assert server.core.counters()["tls_resumed"] == count
    assert server.core.counters()["handshakes"] == 3


@pytest.mark.parametrize("version", VERSIONS)
def test_cores_with_one_secret_on_one_port_resume_each_others_sessions(
    start: Start, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    files = certificate(tmp_path, "one")
    one = start(tls=files, shared=True, ticket_secret=SECRET)
    two = Server(ticket_secret=SECRET)
    context = trust(files[0], version)
    try:
        _, session = visit(one, context)
        two.core.listen("127.0.0.1", one.port, tls=files, shared=True)
        # The kernel chooses the core by the client's port: both get some of so many.
        clients = []
        for _ in range(24):
            client = Client.connect(one, tls=context, session=session)
            assert isinstance(client.stream, ssl.SSLSocket)
            assert client.stream.session_reused
            clients.append(client)
        resumed = [server.core.counters()["tls_resumed"] for server in (one, two)]
        assert sum(resumed) == 24
        assert min(resumed) > 0
    finally:
        two.core.stop()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_of_another_secret_makes_a_full_handshake(
    start: Start, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    files = certificate(tmp_path, "one")
    context = trust(files[0], version)
    _, session = visit(start(tls=files, ticket_secret=SECRET), context)
    for other in (SECRET[::-1], b""):
        server = start(tls=files, ticket_secret=other)
        reused, _ = visit(server, context, session)
        assert not reused
        assert server.core.counters()["tls_resumed"] == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_sessions_outlive_a_change_of_the_certificate(start: Start, tmp_path: Path, version: ssl.TLSVersion) -> None:
    one, two = certificate(tmp_path, "one"), certificate(tmp_path, "two")
    server = start(tls=one)
    context = trust(one[0], version)
    _, session = visit(server, context)
    server.core.reload_tls(*two)
    reused, _ = visit(server, context, session)
    assert reused
    with pytest.raises(ssl.SSLError):
        visit(server, context)


def test_a_secret_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="ticket_secret: expected 32 bytes or none, got 31"):
        Core(**LIMITS, ticket_secret=bytes(31))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_end_of_tls_is_the_end_of_the_connection(start: Start, tmp_path: Path, version: ssl.TLSVersion) -> None:
    files = certificate(tmp_path, "one")
    server = start(tls=files)
    client = Client.connect(server, tls=trust(files[0], version))
    connection = admitted(server, client)
    assert isinstance(client.stream, ssl.SSLSocket)
    client.send(b"last words")
    with pytest.raises((ssl.SSLEOFError, ssl.SSLSyscallError, ConnectionError)):
        # Says that nothing more will come, and waits for the server to say the same, which it does not do.
        client.stream.unwrap()
    assert server.count(2) == [(BINARY, connection, b"last words"), (CLOSED, connection, 1006)]


def test_renegotiation_is_refused_and_the_server_goes_on(start: Start, tmp_path: Path) -> None:
    files = certificate(tmp_path, "one")
    server = start(tls=files)
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2", "-CAfile", files[0]]
    # A line that begins with R makes s_client ask for another handshake.
    outcome = subprocess.run(command, input=b"R\n", capture_output=True, check=False, timeout=DEADLINE)
    assert b"RENEGOTIATING" in outcome.stdout + outcome.stderr
    assert b"no renegotiation" in outcome.stderr
    server.until("connections", 0)
    Client.connect(server, tls=trust(files[0]))


def test_memory_that_a_slow_subscriber_took_in_tls_is_given_back_to_the_books(start: Start, tmp_path: Path) -> None:
    files = certificate(tmp_path, "one")
    server = start(tls=files, queue_bytes=4 << 20, stall_timeout_ms=60_000)
    client = Client.connect(server, tls=trust(files[0]))
    server.core.subscribe(admitted(server, client), 1)
    server.core.flush()
    sent, memory = 0, []
    for _ in range(3):
        behind = sent
        while server.core.counters()["queued_bytes"] == 0:
            server.core.publish(1, bytes(8192), EVENT)
            server.core.flush()
            sent += 1
            server.until("deliveries", sent)
        for _ in range(sent - behind):
            assert client.receive() == (2, bytes(8192))
        server.until("queued_bytes", 0)
        memory.append(server.core.counters()["core_bytes"])
    assert memory == memory[:1] * 3
