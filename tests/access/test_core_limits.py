"""Timeouts, rates, queues and the ring of the connection core at their bounds, by core/BOUNDARY.md."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from longlink._core import BINARY, CLOSED, EVENT, MISSED, REPLY, TRANSIENT

from .core_server import DEADLINE, LIMITS, Client, Server, Start, admitted, connect, deaf, frame, handled, speak

BATCH = 512
"""Events that a thread may hold beyond the bound of the ring (core/BOUNDARY.md)."""


def test_one_byte_at_a_time_does_not_outlive_the_header_timeout(start: Start) -> None:
    server = start(header_timeout_ms=400)
    stream = connect(server)
    begun = time.monotonic()
    with pytest.raises(ConnectionError):  # noqa: PT012 - the byte that fails is any of them
        while time.monotonic() - begun < DEADLINE:
            stream.sendall(b"A")
            time.sleep(0.05)
    assert 0.3 < time.monotonic() - begun < 3
    server.until("header_timeouts", 1)


def test_an_upgrade_without_hello_is_closed_with_4003(start: Start) -> None:
    server = start(hello_timeout_ms=200)
    assert Client.connect(server).close_code() == 4003
    server.until("hello_timeouts", 1)


def test_silence_is_closed_with_4002_and_a_heartbeat_is_no_silence(start: Start) -> None:
    server = start(idle_timeout_ms=600)
    quiet, alive = Client.connect(server), Client.connect(server)
    connection = admitted(server, quiet)
    admitted(server, alive)
    end = time.monotonic() + 1.2
    while time.monotonic() < end:
        alive.send(b"")
        time.sleep(0.1)
    assert quiet.close_code() == 4002
    assert server.closed(connection) == 4002
    assert server.core.counters()["idle_closed"] == 1


def test_a_lifetime_ends_with_4512_unless_a_later_admit_renews_it(start: Start) -> None:
    server = start()
    mortal, renewed = Client.connect(server), Client.connect(server)
    first, second = speak(server, mortal), speak(server, renewed)
    server.core.admit(first, 200)
    server.core.admit(second, 200)
    server.core.admit(second, 60_000)
    server.core.flush()
    assert mortal.close_code() == 4512
    assert server.closed(first) == 4512
    renewed.send(b"still here")
    assert server.count(1) == [(BINARY, second, b"still here")]
    assert server.core.counters()["lifetime_closed"] == 1


def test_an_admit_without_a_lifetime_leaves_the_one_that_is(start: Start) -> None:
    server = start()
    client = Client.connect(server)
    connection = speak(server, client)
    server.core.admit(connection, 200)
    server.core.admit(connection, 0, 60_000)
    server.core.flush()
    assert client.close_code() == 4512


@pytest.mark.parametrize("setting", [0, 60_000])
def test_a_connection_may_be_given_a_shorter_silence_than_the_others(start: Start, setting: int) -> None:
    server = start(idle_timeout_ms=setting)
    brief, patient = Client.connect(server), Client.connect(server)
    first, second = speak(server, brief), admitted(server, patient)
    server.core.admit(first, 0, 200)
    server.core.flush()
    assert brief.close_code() == 4002
    assert server.closed(first) == 4002
    patient.send(b"still here")
    assert server.count(1) == [(BINARY, second, b"still here")]
    assert server.core.counters()["idle_closed"] == 1


def test_a_silence_that_was_agreed_anew_counts_and_one_of_0_is_the_setting_again(start: Start) -> None:
    server = start(idle_timeout_ms=300)
    longer, usual = Client.connect(server), Client.connect(server)
    first, second = speak(server, longer), speak(server, usual)
    for connection, idle_ms in ((first, 200), (second, 60_000), (first, 60_000), (second, 0)):
        server.core.admit(connection, 0, idle_ms)
    server.core.flush()
    assert usual.close_code() == 4002
    assert server.closed(second) == 4002
    longer.send(b"still here")
    assert server.count(1) == [(BINARY, first, b"still here")]
    assert server.core.counters()["idle_closed"] == 1


def test_events_for_a_slow_reader_are_dropped_counted_and_told_once_it_reads(start: Start) -> None:
    server = start(stall_timeout_ms=60_000)
    client, connection = deaf(server)
    before = handled(server.core.counters())
    for _ in range(100):
        server.core.send(connection, bytes(8192), EVENT)
        server.core.send(connection, bytes(8192), TRANSIENT)
    server.core.send(connection, b"end", REPLY)
    server.core.flush()
    counters = server.until_handled(before + 201)
    dropped = counters["dropped_events"]
    assert dropped > 0
    assert counters["dropped_transient"] > dropped / 2
    assert counters["queued_bytes"] <= LIMITS["queue_bytes"] / 2 + 8192
    while client.receive()[1] != b"end":
        pass
    assert server.count(1) == [(MISSED, connection, dropped)]
    assert server.core.counters()["queued_bytes"] == 0


def test_replies_beyond_the_queue_close_with_4001(start: Start) -> None:
    server = start(stall_timeout_ms=300)
    _, connection = deaf(server)
    for _ in range(100):
        server.core.send(connection, bytes(8192), REPLY)
    server.core.flush()
    assert server.closed(connection) == 4001
    assert server.core.counters()["slow_closed"] >= 1


def test_commands_of_64_mib_do_not_wait_for_a_flush(start: Start) -> None:
    server = start()
    for _ in range(5):
        server.core.send(1, bytes(15 << 20), REPLY)
    server.until("stale_commands", 5)


def test_a_reader_that_never_reads_is_dropped_after_the_stall_timeout(start: Start) -> None:
    server = start(stall_timeout_ms=300)
    _, connection = deaf(server)
    assert server.closed(connection) == 4001
    assert server.core.counters()["stalled"] == 1
    server.until("connections", 0)
    assert server.core.counters()["queued_bytes"] == 0


def test_a_flood_is_slowed_to_the_rate_and_nothing_is_lost(start: Start) -> None:
    server = start(hello_timeout_ms=0, message_rate=100, message_burst=10)
    client = Client.connect(server)
    begun = time.monotonic()
    for number in range(60):
        client.send(b"%d" % number)
    events = server.count(60)
    assert [data for _, _, data in events] == [b"%d" % number for number in range(60)]
    assert time.monotonic() - begun > 0.4
    assert server.core.counters()["throttled"] > 0


def records(*payloads: bytes) -> bytes:
    return b"".join(b"\0" + len(payload).to_bytes(3, "big") + payload for payload in payloads)


def fragments(count: int) -> bytes:
    """One message in so many frames, all empty but the last."""
    return b"\x02\x80" + bytes(4) + (b"\0\x80" + bytes(4)) * (count - 2) + b"\x80\x81" + bytes(4) + b"x"


LARGE = bytes(5 * 4096)
CASES = {
    "fragments": (fragments(50), b"x"),
    "pings": (frame(b"", 9) * 49 + frame(b"x"), b"x"),
    "pongs": (frame(b"", 10) * 49 + frame(b"x"), b"x"),
    "heartbeats": (frame(b"") * 49 + frame(b"x"), b"x"),
    "bytes": (frame(LARGE) * 9 + frame(b"x"), b"x"),
    "records": (b"\0LLP" + records(*[b""] * 49, b"x"), b"x"),
    "bytes of records": (b"\0LLP" + records(*[LARGE] * 9, b"x"), b"x"),
}


@pytest.mark.parametrize("case", CASES)
def test_every_frame_costs_a_token_and_a_long_message_more(start: Start, case: str) -> None:
    server = start(hello_timeout_ms=0, message_rate=100, message_burst=10)
    sent, last = CASES[case]
    stream = connect(server) if sent.startswith(b"\0LLP") else Client.connect(server).stream
    begun = time.monotonic()
    stream.sendall(sent)
    server.wait(lambda events: events[-1:] != [] and events[-1][2] == last)
    assert 0.3 < time.monotonic() - begun < 2
    assert server.core.counters()["throttled"] > 0


def test_a_message_that_costs_more_than_can_be_saved_comes_at_once_and_is_waited_for_afterwards(start: Start) -> None:
    server = start(message_rate=100, message_burst=10)
    client = Client.connect(server)
    begun = time.monotonic()
    client.send(bytes(50 * 4096))
    client.send(b"behind it")
    server.count(1)
    assert time.monotonic() - begun < 0.3
    server.count(1)
    assert time.monotonic() - begun > 0.3


def test_a_throttled_connection_can_be_closed(start: Start) -> None:
    server = start(message_rate=1, message_burst=1)
    client = Client.connect(server)
    client.stream.sendall(frame(b"one") + frame(b"two") + frame((1000).to_bytes(2, "big"), 8))
    _, connection, _ = server.count(1)[0]
    server.core.close(connection, 4000)
    server.core.flush()
    assert client.close_code() == 4000
    assert client.ended()
    assert server.closed(connection) == 4000
    server.until("connections", 0)


@pytest.mark.parametrize(("ring_events", "ring_bytes"), [(50, 1 << 20), (10_000, 2000), (1, 1 << 20)])
def test_a_full_ring_stops_reading_and_loses_nothing(start: Start, ring_events: int, ring_bytes: int) -> None:
    server = start(hello_timeout_ms=0, ring_events=ring_events, ring_bytes=ring_bytes, threads=2)
    clients = [Client.connect(server) for _ in range(4)]
    expected = [b"%06d" % number + bytes(94) for number in range(500)]
    for client in clients:
        client.stream.sendall(b"".join(map(frame, expected)))
    end = time.monotonic() + DEADLINE
    while server.core.counters()["ring_full"] == 0:
        assert time.monotonic() < end
        time.sleep(0.005)
    time.sleep(0.05)
    counters = server.core.counters()
    assert counters["ring_events"] <= ring_events + 2 * BATCH
    assert counters["ring_bytes"] <= ring_bytes + 2 * BATCH * 100
    by_connection: dict[int, list[bytes | int]] = {}
    for _, connection, data in server.count(2000):
        by_connection.setdefault(connection, []).append(data)
    assert list(by_connection.values()) == [expected] * 4


@pytest.mark.parametrize("admit", [True, False])
def test_a_message_does_not_wait_behind_thousands_that_go_at_once(start: Start, admit: bool) -> None:
    server = start(max_connections=2000, half_open_per_address=2000)
    stays = Client.connect(server)
    connection = admitted(server, stays)
    crowd = [Client.connect(server) for _ in range(1500)]
    for client in crowd:
        client.send(b"hello")
    for _, one, _ in server.count(len(crowd)):
        if admit:
            server.core.admit(one)
    server.core.flush()
    server.until("admitted", 1 + admit * len(crowd))
    for client in crowd:
        client.stream.close()
    server.above("deferred", 100)
    stays.send(b"still here")
    server.until("messages_in", len(crowd) + 2)
    events = server.wait(lambda events: sum(event[0] == CLOSED for event in events) == len(crowd))
    assert events.index((BINARY, connection, b"still here")) < len(crowd) / 2 + 100
    assert len(events) == len(crowd) + 1


def test_too_many_unadmitted_connections_of_an_address_are_refused(start: Start) -> None:
    server = start(half_open_per_address=3)
    clients = [Client.connect(server) for _ in range(3)]
    assert Client(connect(server)).ended()
    server.until("refused_half_open", 1)
    connection = speak(server, clients[0])
    server.core.admit(connection)
    server.core.flush()
    server.until("half_open", 2)
    Client.connect(server)


def test_connections_faster_than_the_rate_are_refused(start: Start) -> None:
    server = start(accept_rate=5, accept_burst=2)
    for _ in range(2):
        Client.connect(server)
    assert Client(connect(server)).ended()
    server.until("refused_rate", 1)
    time.sleep(0.4)
    Client.connect(server)


def test_a_full_server_answers_503(start: Start) -> None:
    server = start(max_connections=2)
    for _ in range(2):
        Client.connect(server)
    assert Client(connect(server)).take_until(b"\r\n").startswith(b"HTTP/1.1 503 ")
    server.until("refused_full", 1)


STRESS_ENDS = 400


def test_every_admitted_connection_ends_exactly_once_whatever_both_sides_do(start: Start) -> None:
    server = start(threads=2, ring_events=64)
    chance = random.Random(7)
    living: list[Client] = []
    begun, told, ended = 0, set[int](), dict[int, int]()
    end = time.monotonic() + 3 * DEADLINE
    while len(ended) < STRESS_ENDS:
        assert time.monotonic() < end, f"{len(told)} spoke, {len(ended)} ended"
        if begun < STRESS_ENDS and len(living) < 50:
            living.append(Client.connect(server))
            living[-1].send(b"hello")
            begun += 1
        elif living:
            leaver = living.pop(chance.randrange(len(living)))
            if chance.random() < 0.5:
                leaver.send((1000).to_bytes(2, "big"), 8)
            leaver.stream.close()
        for kind, connection, _ in server.core.poll(chance.randrange(1, 20)):
            assert connection not in ended, "an event after CLOSED"
            if kind == CLOSED:
                ended[connection] = ended.get(connection, 0) + 1
                continue
            told.add(connection)
            server.core.admit(connection)
            server.core.send(connection, b"welcome", REPLY)
            if chance.random() < 0.3:
                server.core.close(connection, 4000)
        if chance.random() < 0.5:
            server.core.flush()
    for client in living:
        client.stream.close()
    assert set(ended) == told
    server.until("connections", 0)
    assert (server.core.counters()["admitted"], server.core.counters()["half_open"]) == (0, 0)
    assert server.core.poll() == []


def test_without_descriptors_it_waits_idly_and_goes_on_when_there_are_some(tmp_path: Path) -> None:
    code = """
import resource, sys
from longlink._core import Core
core = Core(**eval(sys.argv[1]))
port = core.listen("127.0.0.1", 0)
print(port, flush=True)
sys.stdin.readline()
used = resource.getrusage(resource.RUSAGE_SELF)
sys.stdin.readline()
now = resource.getrusage(resource.RUSAGE_SELF)
print(now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime, core.counters()["refused_full"], flush=True)
sys.stdin.readline()
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    command = ["sh", "-c", 'ulimit -n 64; exec "$0" "$@"', sys.executable, str(script), repr(LIMITS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin
        assert other.stdout
        server = Server()
        server.port = int(other.stdout.readline())
        streams = [connect(server) for _ in range(80)]
        for line in ("\n", "\n"):
            other.stdin.write(line)
            other.stdin.flush()
            time.sleep(0.6)
        seconds, times = other.stdout.readline().split()
        assert float(seconds) < 0.2
        assert int(times) > 0
        for stream in streams[:40]:
            stream.close()
        streams[-1].sendall(b"\0LLP\0\0\0\0")
        assert Client(streams[-1]).take(4) == bytes(4)
        for stream in streams:
            stream.close()
        other.communicate("\n")
