"""Chapter 8, operations: start, stop, watch, TLS, and what a server says when it cannot start.

Read next: programs.py, bookkeeping.py.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from longlink import errors
from longlink.errors import Row
from longlink.ops.numbers import CORE_NAMES
from longlink.protocol.frames import body_name
from longlink.testing import RunningServer, run_server

from .certificates import make_certificate, trusting
from .conftest import ONE, PROCESSES, WORKERS
from .people import Couple, Door, Guest, ends_with, eventually, failures, metric
from .programs import one_clear_line, serve
from .raw import ANSWER_S, ClosedError, Kind, RefusedError

BOTH: Final = True
BOUNDARY: Final = Path(__file__).parents[2] / "core" / "BOUNDARY.md"


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def _probe(url: str) -> tuple[int, str]:
    """As a prober asks while gateways end one after the other: again, when the one that took the question has ended."""
    while True:
        try:
            return _get(url)
        except ConnectionResetError:
            continue


@contextmanager
def _stopping(server: RunningServer) -> Iterator[list[int]]:
    """SIGTERM, and time to watch what happens; the list has the exit code afterwards."""
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(server.stop()))
    thread.start()
    yield codes
    thread.join()


# Going down -----------------------------------------------------------------------------------------------------------


def test_sigterm_tells_every_client_closes_it_and_ends_with_success(processes: dict[str, str]) -> None:
    settings = processes | {"LONGLINK_DRAIN_DURATION_MS": "600", "LONGLINK_DRAIN_RECONNECT_AFTER_MS": "1234"}
    with run_server(settings=settings) as server, Door(server) as door:
        links = [door.enter("alice", f"d-{kind}", kind) for kind in Kind]
        unknown = door.open()
        with _stopping(server) as codes:
            for link in links:
                frame = link.event()
                assert body_name(frame) == "closing"
                assert (frame.closing.code, frame.closing.name) == (errors.DRAINING.code, "draining")
                assert frame.closing.reconnect_after_ms == 1234
                ends_with(link, errors.DRAINING)
            assert unknown.end().code == errors.DRAINING.code
        assert codes == [0]
        assert failures(server) == []


def test_a_server_without_clients_stops_at_once(processes: dict[str, str]) -> None:
    with run_server(settings=processes | {"LONGLINK_DRAIN_DURATION_MS": "10000"}) as server:
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 3


def test_what_was_answered_before_the_end_is_there_after_the_next_start(processes: dict[str, str]) -> None:
    settings = processes | {"LONGLINK_DRAIN_DURATION_MS": "300", "LONGLINK_CONNECTION_MESSAGE_RATE": "0"}
    with run_server(settings=settings) as server, Door(server) as door:
        alice = door.enter("alice")
        conversation = alice.direct(alice.user)
        requests = [alice.post_text(conversation, f"{n}", f"{n}") for n in range(500)]
        with _stopping(server) as codes:
            alice.end()
        assert codes == [0]
        replies = [alice.answered(request) for request in requests]
        answers = [frame.sent for frame in replies if frame is not None and body_name(frame) == "sent"]
        server.start()
        again = door.enter("alice")
        stored: list[tuple[int, str]] = []
        for _ in range(5):
            page = again.history(conversation, after=len(stored), limit=200)
            stored += [(message.seq, message.client_id) for message in page.messages]
        assert [seq for seq, _ in stored] == list(range(1, len(stored) + 1))
        assert {(sent.seq, sent.client_id) for sent in answers} <= set(stored)
        for n in range(500):
            sent = again.say(conversation, f"{n}", f"{n}")
            assert sent.duplicate == (n < len(stored)), "a resend of what is stored, the first copy of what is not"
            assert sent.seq == n + 1


def test_while_it_drains_it_is_alive_but_not_ready_and_takes_nobody(processes: dict[str, str]) -> None:
    settings = processes | {"LONGLINK_DRAIN_DURATION_MS": "3000"}
    with run_server(settings=settings) as server, Door(server) as door:
        links = [door.enter("alice", f"d{n}") for n in range(8)]
        with _stopping(server) as codes:
            eventually(lambda: _probe(f"{server.operations}/readyz")[0] == 503, "not ready")
            assert "draining" in _probe(f"{server.operations}/readyz")[1]
            assert _probe(f"{server.http}/readyz") == (503, '{"status":"not ready"}'), "clients get no reason"
            assert _probe(f"{server.http}/healthz")[0] == _probe(f"{server.operations}/healthz")[0] == 200
            with pytest.raises((ClosedError, RefusedError, ConnectionError)):
                door.enter("bob")
            for link in links:
                ends_with(link, errors.DRAINING)
        assert codes == [0]


def test_a_second_signal_ends_the_drain_at_once(processes: dict[str, str]) -> None:
    with run_server(settings=processes | {"LONGLINK_DRAIN_DURATION_MS": "15000"}) as server, Door(server) as door:
        links = [door.enter("alice", f"d{n}") for n in range(8)]
        begun = time.monotonic()
        with _stopping(server) as codes:
            assert body_name(links[0].event()) == "closing"
            os.kill(server.pid, signal.SIGTERM)
        assert codes == [1]
        assert time.monotonic() - begun < 8


# Not coming up --------------------------------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_named_in_one_line(tmp_path: Path, processes: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for setting in ("LONGLINK_LISTEN_ADDRESS", "LONGLINK_LISTEN_HTTP", "LONGLINK_LISTEN_OPERATIONS"):
            ended = serve(tmp_path / "data", processes | {setting: address})
            assert ended.returncode == 1
            assert address in one_clear_line(ended, errors.PORT_TAKEN)


BAD_SETTINGS: Final[dict[str, tuple[Row, dict[str, str], str]]] = {
    "a name with a slip": (
        errors.CONFIG_INVALID,
        {"LONGLINK_CONNECTION_MESAGE_RATE": "5"},
        "LONGLINK_CONNECTION_MESSAGE_RATE",
    ),
    "a word for a number": (errors.CONFIG_INVALID, {"LONGLINK_CONNECTION_THREADS": "many"}, "connection.threads"),
    "a number below its bound": (errors.CONFIG_INVALID, {"LONGLINK_STORAGE_BATCH": "0"}, "storage.batch"),
    "an address without a port": (errors.CONFIG_INVALID, {"LONGLINK_LISTEN_ADDRESS": "localhost"}, "listen.address"),
    "a key file that is not there": (errors.CONFIG_INVALID, {"LONGLINK_AUTH_KEYS": "/nowhere/key.pem"}, "key.pem"),
    "a certificate that is not there": (
        errors.CONFIG_INVALID,
        {"LONGLINK_LISTEN_TLS_CERTIFICATE": "/nowhere/c.pem", "LONGLINK_LISTEN_TLS_KEY": "/nowhere/k.pem"},
        "c.pem",
    ),
    "an open door without TLS": (errors.INSECURE, {"LONGLINK_LISTEN_ADDRESS": "0.0.0.0:0"}, "0.0.0.0"),
    "an open HTTP door without TLS": (errors.INSECURE, {"LONGLINK_LISTEN_HTTP": "[::]:0"}, "[::]"),
    "metrics for everybody": (errors.INSECURE, {"LONGLINK_LISTEN_OPERATIONS": "0.0.0.0:0"}, "operations_exposed"),
    "an address for operators without a port": (
        errors.CONFIG_INVALID,
        {"LONGLINK_LISTEN_OPERATIONS": "7702"},
        "listen.operations",
    ),
}


@pytest.mark.parametrize("name", BAD_SETTINGS)
def test_a_setting_that_cannot_be_is_named_in_one_line(tmp_path: Path, name: str) -> None:
    row, settings, named = BAD_SETTINGS[name]
    ended = serve(tmp_path / "data", settings)
    assert ended.returncode == 2
    assert named in one_clear_line(ended, row)


@pytest.mark.parametrize("name", ["a key file that is not there", "a certificate that is not there"])
def test_what_the_supervisor_or_a_gateway_cannot_read_is_named_in_one_line(tmp_path: Path, name: str) -> None:
    row, settings, named = BAD_SETTINGS[name]
    ended = serve(tmp_path / "data", settings | WORKERS)
    assert ended.returncode == 2
    assert named in one_clear_line(ended, row)


def test_a_proxy_in_front_allows_an_open_door() -> None:
    settings = {"LONGLINK_LISTEN_ADDRESS": "0.0.0.0:0", "LONGLINK_LISTEN_BEHIND_PROXY": "true"}
    with run_server(settings=settings) as server, Door(server) as door:
        assert door.enter("alice").pending() == []


def test_a_folder_that_cannot_be_used_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for data in (tmp_path / "file", tmp_path / "file" / "data", tmp_path / "missing" / "data", Path("/proc/longlink")):
        ended = serve(data)
        assert ended.returncode == 1
        assert str(data) in one_clear_line(ended, errors.DATA_UNUSABLE)


# Watching -------------------------------------------------------------------------------------------------------------


def test_the_first_start_listens_on_loopback_only_and_is_healthy_and_ready(server: RunningServer) -> None:
    assert server.url.startswith("ws://127.0.0.1:")
    assert server.operations.startswith("http://127.0.0.1:")
    for address in (server.http, server.operations):
        assert _get(f"{address}/healthz")[0] == 200
        assert _get(f"{address}/readyz")[0] == 200
        assert _get(f"{address}/no-such-page")[0] == 404


def test_metrics_are_not_on_the_port_of_clients_and_calls_are_not_on_that_of_operators(server: RunningServer) -> None:
    status, text = _get(f"{server.http}/metrics")
    assert (status, "listen.operations" in text, server.operations in text) == (404, True, False)
    assert _get(f"{server.operations}/v1/openapi.json")[0] == 404


@pytest.mark.parametrize("settings", PROCESSES.values(), ids=PROCESSES)
def test_operators_may_be_left_out(settings: dict[str, str]) -> None:
    with run_server(settings=settings | {"LONGLINK_LISTEN_OPERATIONS": ""}) as server:
        assert server.operations == ""
        assert _get(f"{server.http}/readyz")[0] == 200


@pytest.mark.parametrize("settings", PROCESSES.values(), ids=PROCESSES)
def test_a_second_server_on_the_machine_gets_a_free_port_for_its_operators(settings: dict[str, str]) -> None:
    with ExitStack() as stack:
        with suppress(OSError):
            stack.enter_context(socket.create_server(("127.0.0.1", 7702)))
        server = stack.enter_context(run_server(settings=settings | {"LONGLINK_LISTEN_OPERATIONS": "127.0.0.1:7702"}))
        [moved] = [entry for entry in server.log if entry["event"] == "operations_elsewhere"]
        assert server.operations == f"http://127.0.0.1:{moved['port']}" != "http://127.0.0.1:7702"
        assert _get(f"{server.operations}/readyz")[0] == 200


def test_every_number_of_the_core_is_in_the_metrics(server: RunningServer) -> None:
    section = BOUNDARY.read_text().partition("## Counters")[2]
    names = set(re.findall(r"`([a-z_]+)`", section.partition("\n## ")[0]))
    assert len(names) > 35
    status, text = _get(f"{server.operations}/metrics")
    assert status == 200
    lines = text.splitlines()
    for name in names:
        pattern = rf"longlink_core_{CORE_NAMES.get(name, name)}(_total|_bucket\{{.*\}})? [0-9.e+]+"
        assert any(re.fullmatch(pattern, line) for line in lines), name


def test_the_metrics_count_what_happens(server: RunningServer, door: Door) -> None:
    def numbers() -> dict[str, float]:
        names = ("messages", "duplicates", "deliveries", "marks")
        return {name: metric(server, f"longlink_{name}_total") for name in names}

    alice, bob = door.enter("alice"), door.enter("bob")
    before = numbers()
    conversation = alice.direct(bob.user)
    alice.say(conversation, "one", "1")
    alice.say(conversation, "one", "1")
    bob.ack(conversation, 1)
    grown = {"messages": 1, "duplicates": 1, "deliveries": 2, "marks": 1}
    eventually(lambda: numbers() == {name: before[name] + grown[name] for name in before}, "the new numbers")


# TLS ------------------------------------------------------------------------------------------------------------------


class Tls:
    """A server with TLS, and what a client needs to believe it."""

    def __init__(self, server: RunningServer, certificate: Path, folder: Path) -> None:
        self.server = server
        self.context = trusting(certificate)
        self.folder = folder


@pytest.fixture
def tls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tls]:
    certificate, key = make_certificate(tmp_path)
    files = {"LONGLINK_LISTEN_TLS_CERTIFICATE": str(certificate), "LONGLINK_LISTEN_TLS_KEY": str(key)}
    settings = getattr(request, "param", ONE) | files
    with run_server(settings=settings) as server:
        assert server.url.startswith("wss://")
        assert server.http.startswith("https://")
        yield Tls(server, certificate, tmp_path)


def test_all_links_work_over_tls(tls: Tls) -> None:
    with Door(tls.server) as door:
        links = [door.enter("alice", f"d-{kind}", kind, tls=tls.context) for kind in Kind]
        conversation = links[0].direct(links[0].user)
        text = "x" * 40_000
        for n, link in enumerate(links, 1):
            assert link.say(conversation, text).seq == n
        for link in links:
            assert link.pending() == ["message"] * (len(links) - 1)
    with urllib.request.urlopen(f"{tls.server.http}/healthz", context=tls.context, timeout=ANSWER_S) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("kind", [Kind.WS_BINARY, Kind.TCP_BINARY], ids=str)
def test_plain_text_on_a_tls_port_is_refused(tls: Tls, kind: Kind) -> None:
    with Door(tls.server) as door, pytest.raises((ClosedError, RefusedError)) as refused:
        door.enter("alice", kind=kind)
    if kind is Kind.WS_BINARY:
        assert isinstance(refused.value, RefusedError)
        assert "TLS" in refused.value.text, "whoever reads it must see what to do"


def _reloads(server: RunningServer) -> int:
    return sum((entry["event"], entry.get("what")) == ("reloaded", "the certificate") for entry in list(server.log))


def _shown(link: Guest) -> bytes | None:
    assert isinstance(link.sock, ssl.SSLSocket)
    return link.sock.getpeercert(binary_form=True)


@pytest.mark.parametrize("tls", PROCESSES.values(), ids=PROCESSES, indirect=True)
def test_sighup_shows_the_new_certificate_to_new_links_and_keeps_the_old_ones(tls: Tls) -> None:
    with Door(tls.server) as door:
        old = door.enter("alice", "old", tls=tls.context)
        first = _shown(old)
        certificate, _ = make_certificate(tls.folder)
        os.kill(tls.server.pid, signal.SIGHUP)
        listeners = max(1, len(tls.server.workers) - 1)
        eventually(lambda: _reloads(tls.server) == listeners, "all that listen say so")
        new = door.enter("alice", "new", tls=trusting(certificate))
        assert _shown(new) != first
        conversation = old.direct(old.user)
        old.say(conversation, "still here")
        assert new.message().content.text == "still here"


@pytest.mark.parametrize("tls", PROCESSES.values(), ids=PROCESSES, indirect=True)
@pytest.mark.parametrize("half", ["certificate.pem", "key.pem"])
def test_sighup_in_the_middle_of_a_renewal_keeps_the_old_pair_everywhere_until_both_files_are_there(
    tls: Tls, half: str
) -> None:
    old = {name: (tls.folder / name).read_bytes() for name in ("certificate.pem", "key.pem")}
    first = _served(tls.server)
    make_certificate(tls.folder)
    new = (tls.folder / half).read_bytes()
    (tls.folder / half).write_bytes(old[half])
    os.kill(tls.server.pid, signal.SIGHUP)
    listeners = max(1, len(tls.server.workers) - 1)
    eventually(lambda: _refused(tls.server) == listeners, "all that listen say so")
    assert _served(tls.server) == first
    with Door(tls.server) as door:
        assert door.enter("alice", tls=tls.context).pending() == []
    (tls.folder / half).write_bytes(new)
    os.kill(tls.server.pid, signal.SIGHUP)
    eventually(lambda: _reloads(tls.server) == listeners, "all that listen say so")
    assert first & _served(tls.server) == set()


def _refused(server: RunningServer) -> int:
    return sum(entry["event"] == "reload_failed" for entry in list(server.log))


def _served(server: RunningServer) -> set[str]:
    """The certificates of both ports, each asked often enough to meet every process."""
    ports = [int(url.rpartition(":")[2]) for url in (server.url, server.http)]
    return {ssl.get_server_certificate(("127.0.0.1", port), timeout=ANSWER_S) for port in ports for _ in range(8)}


def test_sighup_without_tls_disturbs_nobody(server: RunningServer, door: Door) -> None:
    others = Couple(door)
    others.talk()
    os.kill(server.pid, signal.SIGHUP)
    eventually(lambda: any(entry["event"] == "reloaded" for entry in server.log), "the log says so")
    others.talk()
