"""Chapter 5, overload: every bound, what happens when it is hit, and that the others do not notice.

Read next: test_06_crash.py.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from longlink import errors
from longlink.protocol.frames import Frame, History, ReadHistory, body_name
from longlink.testing import RunningServer, run_server

from .people import Couple, Door, Guest, Reachable, error_of, eventually, failures, metric
from .raw import NO_CODE, ClosedError, Kind, RefusedError, dial, upgrade_request

SMALL_MESSAGE: Final = 16_384
SMALL_QUEUE: Final = 4 * SMALL_MESSAGE
SMALL_BUFFER: Final = 131_072
"""Of a lazy receiver's kernel: small, but two segments of the loopback, below which TCP itself slows to a crawl."""


@contextlib.contextmanager
def _overloaded(**settings: int) -> Iterator[tuple[Door, Couple]]:
    """A server with these settings and no limit of work, a door, and two others who talk."""
    settings = {"limits_work_rate": 0} | settings
    variables = {f"LONGLINK_{name.upper()}": str(value) for name, value in settings.items()}
    with run_server(settings=variables) as server, Door(server) as door:
        others = Couple(door)
        others.talk()
        yield door, others
        others.talk()
        assert failures(server) == []


# Messages -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.WS_BINARY, Kind.TCP_JSON], ids=str)
def test_a_flood_of_messages_is_slowed_down_and_loses_nothing(kind: Kind) -> None:
    with _overloaded(connection_message_rate=200, connection_message_burst=50) as (door, others):
        alice = door.enter("alice", kind=kind)
        conversation = alice.direct(alice.user)
        begun = time.monotonic()
        requests = [alice.post_text(conversation, f"{n}", f"{n}") for n in range(350)]
        others.talk()
        assert [alice.sent(request).seq for request in requests] == list(range(1, 351))
        assert time.monotonic() - begun > 1.0, "300 messages beyond the burst take 1.5 s at 200 a second"
        assert metric(door.server, "longlink_core_throttled_total") > 0


def test_more_than_the_ring_holds_waits_in_the_sockets_and_loses_nothing() -> None:
    with _overloaded(connection_message_rate=0, connection_ring_events=64) as (door, _):
        links = [door.enter("alice", f"d{n}", list(Kind)[n % 4]) for n in range(8)]
        conversation = links[0].direct(links[0].user)
        posted = [
            (link, [link.post_text(conversation, f"{n}", f"{link.device}-{n}") for n in range(100)]) for link in links
        ]
        seqs = [link.sent(request).seq for link, requests in posted for request in requests]
        assert sorted(seqs) == list(range(1, 801))


def test_more_writes_than_may_wait_are_refused_and_a_resend_of_them_is_stored_once() -> None:
    with _overloaded(connection_message_rate=0, storage_queue=4, storage_batch=4) as (door, _):
        links = [door.enter("alice", f"d{n}") for n in range(6)]
        conversation = links[0].direct(links[0].user)
        seqs: dict[str, int] = {}
        refused = 0
        # What comes together is one write, so whether a second one finds the line full is luck, round by round.
        for round_ in range(50):
            waiting = {f"{link.device}-{round_}-{n}": link for link in links for n in range(30)}
            while waiting:
                turned_away = _send_all(waiting, conversation, seqs)
                refused += len(turned_away)
                waiting = turned_away
            if refused and round_ >= 5:
                break
        assert refused > 0, "the bound was never hit"
        assert sorted(seqs.values()) == list(range(1, len(seqs) + 1))
        assert len(seqs) == 180 * (round_ + 1)


def _send_all(waiting: dict[str, Guest], conversation: str, seqs: dict[str, int]) -> dict[str, Guest]:
    """Send one message for each client_id, all at once; returns those that were refused."""
    posted = [
        (link, client_id, link.post_text(conversation, client_id, client_id)) for client_id, link in waiting.items()
    ]
    refused: dict[str, Guest] = {}
    for link, client_id, request in posted:
        answer = link.reply(request)
        if body_name(answer) == "error":
            assert error_of(answer, errors.OVERLOADED).retry_after_ms > 0
            refused[client_id] = link
        else:
            assert not answer.sent.duplicate
            seqs[client_id] = answer.sent.seq
    return refused


# Receivers that do not read -------------------------------------------------------------------------------------------


def _read_all(link: Guest, conversation: str) -> list[int]:
    """Every seq of the log."""
    seqs: list[int] = []
    more = True
    while more:
        page: History = link.history(conversation, after=seqs[-1] if seqs else 0, limit=2)
        seqs += [message.seq for message in page.messages]
        more = page.more
    return seqs


def _memory_bytes(server: Reachable) -> int:
    pages = int(Path(f"/proc/{server.pid}/statm").read_text().split()[1])
    return pages * 4096


def _flood(alice: Guest, reading: Guest, conversation: str, count: int) -> None:
    """Large messages, each answered and read by the receiver that reads."""
    text = "x" * 12_000
    for begin in range(0, count, 20):
        requests = [alice.post_text(conversation, text, f"{n}") for n in range(begin, begin + 20)]
        for request in requests:
            alice.sent(request)
        assert [reading.message().seq for _ in requests] == list(range(begin + 1, begin + 21))


def test_a_receiver_that_never_reads_is_told_what_it_missed_and_disturbs_nobody() -> None:
    settings = {
        "connection_max_message_bytes": SMALL_MESSAGE,
        "connection_queue_bytes": SMALL_QUEUE,
        "connection_message_rate": 0,
        "connection_stall_timeout_ms": 60_000,
    }
    count = 600
    with _overloaded(**settings) as (door, others):
        lazy, reading = door.enter("bob", "lazy", receive_buffer=SMALL_BUFFER), door.enter("bob", "reading")
        alice = door.enter("alice")
        conversation = alice.direct(lazy.user)
        before = _memory_bytes(door.server)
        _flood(alice, reading, conversation, count)
        others.talk()
        assert metric(door.server, "longlink_core_dropped_events_total") > 0
        assert metric(door.server, "longlink_core_queued_bytes") <= SMALL_QUEUE + SMALL_MESSAGE
        assert _memory_bytes(door.server) - before < 48_000_000
        seqs: list[int] = []
        while body_name(frame := lazy.event()) == "message":
            seqs.append(frame.message.seq)
        assert seqs == list(range(1, len(seqs) + 1)), "what was pushed is the beginning, in order"
        assert body_name(frame) == "missed"
        assert frame.missed.events == count - len(seqs)
        assert _read_all(lazy, conversation) == list(range(1, count + 1)), "nothing is lost"
        alice.say(conversation, "afterwards")
        assert lazy.message().seq == count + 1, "pushes go on"


def test_a_receiver_that_reads_nothing_for_too_long_is_dropped_and_loses_nothing() -> None:
    settings = {
        "connection_max_message_bytes": SMALL_MESSAGE,
        "connection_queue_bytes": SMALL_QUEUE,
        "connection_message_rate": 0,
        "connection_stall_timeout_ms": 700,
    }
    with _overloaded(**settings) as (door, others):
        lazy, reading = door.enter("bob", "lazy", receive_buffer=SMALL_BUFFER), door.enter("bob", "reading")
        alice = door.enter("alice")
        conversation = alice.direct(lazy.user)
        _flood(alice, reading, conversation, 600)
        eventually(lambda: metric(door.server, "longlink_core_stalled_total") == 1, "the stalled link is dropped")
        others.talk()
        assert lazy.end().code in (NO_CODE, errors.SLOW_CONSUMER.code)
        assert isinstance(door.server, RunningServer)
        ends = [entry for entry in list(door.server.log) if entry["event"] == "closed"]
        assert [(entry["user"], entry["device"], entry["reason"]) for entry in ends] == [
            (lazy.user, "lazy", errors.SLOW_CONSUMER.name)
        ]
        again = door.enter("bob", "lazy")
        assert _read_all(again, conversation) == list(range(1, 601))


def test_a_client_that_asks_and_never_reads_the_answers_is_closed_as_slow() -> None:
    settings = {
        "connection_max_message_bytes": SMALL_MESSAGE,
        "connection_queue_bytes": SMALL_QUEUE,
        "connection_message_rate": 0,
    }
    with _overloaded(**settings) as (door, others):
        greedy = door.enter("eve", receive_buffer=SMALL_BUFFER)
        conversation = greedy.direct(greedy.user)
        greedy.say(conversation, "x" * 15_000)
        request = Frame(read_history=ReadHistory(conversation=conversation))
        before = _memory_bytes(door.server)
        _ask_without_reading(door.server, greedy, request)
        assert metric(door.server, "longlink_core_slow_closed_total") == 1
        assert metric(door.server, 'longlink_errors_total{name="slow_consumer"}') == 1
        assert _memory_bytes(door.server) - before < 48_000_000
        others.talk()


def _ask_without_reading(server: Reachable, link: Guest, request: Frame) -> None:
    """Until the server has closed, or has stopped to take requests."""
    with contextlib.suppress(ClosedError, TimeoutError):
        for n in range(20_000):
            link.post(request)
            if n % 50 == 0 and metric(server, "longlink_core_slow_closed_total"):
                return


# Connections ----------------------------------------------------------------------------------------------------------


def _closed_among(socks: list[socket.socket]) -> int:
    """How many the server has closed; what it says on the way does not matter."""
    closed = 0
    for sock in select.select(socks, [], [], 0)[0]:
        try:
            closed += sock.recv(1_000, socket.MSG_PEEK) == b""
        except ConnectionError:
            closed += 1
    return closed


def test_half_open_connections_of_an_address_are_bounded_and_end_in_time() -> None:
    settings = {
        "connection_half_open_per_address": 20,
        "connection_header_timeout_ms": 1_000,
        "connection_hello_timeout_ms": 1_000,
        "connection_accept_rate": 0,
    }
    with _overloaded(**settings) as (door, others):
        socks = [dial(door.server.port) for _ in range(50)]
        eventually(lambda: _closed_among(socks) >= 30, "what is over the bound is closed at once", 0.9)
        assert _closed_among(socks) == 30
        assert metric(door.server, "longlink_core_refused_half_open_total") == 30
        others.talk()
        eventually(lambda: _closed_among(socks) == 50, "those that say nothing are closed in time")
        assert metric(door.server, "longlink_core_header_timeouts_total") == 20
        assert door.enter("alice").pending() == []
        for sock in socks:
            sock.close()


@pytest.mark.parametrize("kind", ["websocket", "records"])
def test_a_handshake_of_one_byte_at_a_time_is_closed_by_the_header_timeout(kind: str) -> None:
    data = upgrade_request("127.0.0.1", "longlink.v1") if kind == "websocket" else b"\x00LLP"
    with _overloaded(connection_header_timeout_ms=1_000) as (door, others):
        begun = time.monotonic()
        with dial(door.server.port) as sock:
            sock.settimeout(0.4)
            with pytest.raises(ConnectionError):
                _trickle(sock, data)
        assert 0.9 < time.monotonic() - begun < 5
        others.talk()


def _trickle(sock: socket.socket, data: bytes) -> None:
    """A byte each time that no answer comes; raises ConnectionError when the server has closed."""
    for byte in data:
        sock.sendall(bytes([byte]))
        try:
            answer = sock.recv(1_000)
        except TimeoutError:
            continue
        if answer == b"":
            raise ConnectionAbortedError


def test_connections_beyond_the_limit_get_503_until_one_leaves() -> None:
    # The couple holds two of the five.
    with _overloaded(connection_max_connections=5) as (door, others):
        links = [door.enter("alice", f"d{n}") for n in range(3)]
        for _ in range(3):
            with pytest.raises(RefusedError) as refused:
                door.open()
            assert refused.value.status == 503
            assert refused.value.text.strip()
        assert metric(door.server, "longlink_core_refused_full_total") == 3
        others.talk()
        links[0].close()
        eventually(lambda: metric(door.server, "longlink_core_connections") == 4, "the place is free again")
        assert door.enter("alice", "d9").pending() == []


def test_connections_of_an_address_are_limited_in_rate_and_come_in_a_moment_later() -> None:
    with _overloaded(connection_accept_rate=10, connection_accept_burst=12) as (door, others):
        opened = 0
        for _ in range(40):
            try:
                door.open()
                opened += 1
            except (ClosedError, ConnectionError):
                continue
        assert 10 <= opened < 25, opened
        assert metric(door.server, "longlink_core_refused_rate_total") == 40 - opened
        others.talk()

        def enters() -> bool:
            try:
                return door.enter("alice").pending() == []
            except (ClosedError, ConnectionError):
                return False

        eventually(enters, "a place comes free a tenth of a second later", 3)


def test_a_storm_of_connections_that_come_and_go_leaves_nothing_behind() -> None:
    with _overloaded(connection_accept_rate=0) as (door, others):
        before = metric(door.server, "longlink_core_memory_bytes")

        def come_and_go(number: int) -> None:
            for n in range(40):
                with Guest(door.server.port, list(Kind)[n % 4]) as link:
                    link.connect(f"storm{number}", "phone", tokens[number])
                    if n % 3:
                        link.wire.send_close(1000)

        tokens = [door.server.token(f"storm{number}") for number in range(4)]
        threads = [threading.Thread(target=come_and_go, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        others.talk()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        eventually(lambda: metric(door.server, "longlink_core_connections") == 2, "only the two others are left")
        assert metric(door.server, "longlink_core_admitted") == 2
        assert metric(door.server, "longlink_core_memory_bytes") <= before + 1_000_000
