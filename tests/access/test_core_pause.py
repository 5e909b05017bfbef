"""What Python may hold back: events by bytes, the reading of one connection, and commands that wait for a thread."""

import select
import time

import pytest

from longlink._core import BINARY, CLOSED, REPLY

from .core_server import Client, Server, Start, admitted, connect, frame

PAUSE_MS = 400
TICK_S = 0.05
"""The core counts such waits in ticks of its clock, and the one under way counts as a whole one."""


def payloads(events: list[tuple[int, int, bytes | int]]) -> list[bytes]:
    return [data for _, _, data in events if isinstance(data, bytes)]


def readable(server: Server) -> bool:
    return bool(select.select([server.core.fileno()], [], [], 0)[0])


def pause(server: Server, connection: int, ms: int = PAUSE_MS) -> None:
    before = server.core.counters()["paused"]
    server.core.pause(connection, ms)
    server.core.flush()
    server.until("paused", before + 1)


def test_a_poll_stops_before_the_message_that_has_no_room_and_the_eventfd_stays_readable(start: Start) -> None:
    server = start()
    client = Client.connect(server)
    admitted(server, client)
    sent = [bytes([number]) * size for number, size in enumerate((400, 600, 1, 5000, 2000, 999))]
    client.stream.sendall(b"".join(map(frame, sent)))
    server.until("messages_in", 1 + len(sent))
    polls: list[list[int]] = []
    while sum(map(len, polls)) < len(sent):
        assert readable(server)
        polls.append([len(data) for data in payloads(server.core.poll(max_bytes=1000))])
    assert server.core.poll() == []
    assert polls == [[400, 600], [1], [5000], [2000], [999]]
    assert not readable(server)


def test_a_poll_of_no_bytes_takes_one_message_and_the_events_without_payload_behind_it(start: Start) -> None:
    server = start()
    client = Client.connect(server)
    connection = admitted(server, client)
    client.stream.sendall(frame(b"one") + frame(b"two"))
    server.until("messages_in", 3)
    server.core.close(connection, 4000)
    server.core.flush()
    client.close_code()
    server.wait_for(lambda counters: counters["ring_events"] == 3)
    assert server.core.poll(max_bytes=0) == [(BINARY, connection, b"one")]
    assert server.core.poll(max_bytes=0) == [(BINARY, connection, b"two"), (CLOSED, connection, 4000)]
    assert server.core.poll(max_bytes=0) == []


def test_a_paused_connection_is_not_read_until_its_time_is_over_and_the_others_are(start: Start) -> None:
    server = start()
    greedy, other = Client.connect(server), Client.connect(server)
    paused, free = admitted(server, greedy), admitted(server, other)
    begun = time.monotonic()
    pause(server, paused)
    for number in range(3):
        greedy.send(b"%d" % number)
    other.send(b"meanwhile")
    assert server.count(1) == [(BINARY, free, b"meanwhile")]
    assert time.monotonic() - begun < PAUSE_MS / 1000
    assert server.count(3) == [(BINARY, paused, b"%d" % number) for number in range(3)]
    assert time.monotonic() - begun >= PAUSE_MS / 1000 - TICK_S


def test_a_later_pause_extends_the_one_that_is_and_never_shortens_it(start: Start) -> None:
    server = start()
    client = Client.connect(server)
    connection = admitted(server, client)
    begun = time.monotonic()
    for ms in (200, 700, 1):
        pause(server, connection, ms)
    client.send(b"late")
    assert server.count(1) == [(BINARY, connection, b"late")]
    assert time.monotonic() - begun >= 0.7 - TICK_S


@pytest.mark.parametrize("rate", [0, 1000])
def test_a_pause_costs_no_tokens(start: Start, rate: int) -> None:
    server = start(message_rate=rate, message_burst=100)
    client = Client.connect(server)
    connection = admitted(server, client)
    pause(server, connection)
    for number in range(90):
        client.send(b"%d" % number)
    assert len(server.count(90)) == 90
    assert server.core.counters()["throttled"] == 0


def test_a_paused_connection_is_written_to_and_is_closed_at_once(start: Start) -> None:
    server = start()
    client = Client.connect(server)
    connection = admitted(server, client)
    pause(server, connection, 60_000)
    client.send(b"never read")
    server.core.send(connection, b"wait", REPLY)
    server.core.close(connection, 4000)
    server.core.flush()
    assert client.receive() == (2, b"wait")
    assert client.close_code() == 4000
    assert server.closed(connection) == 4000
    client.send((4000).to_bytes(2, "big"), 8)
    assert client.ended()
    server.until("connections", 0)


def test_a_paused_connection_that_its_peer_resets_is_closed_at_once(start: Start) -> None:
    server = start()
    client = Client.connect(server)
    connection = admitted(server, client)
    pause(server, connection, 60_000)
    server.core.send(connection, b"left unread, so that closing resets", REPLY)
    server.core.flush()
    select.select([client.stream], [], [])
    client.stream.close()
    assert server.closed(connection) == 1006


def test_the_silence_of_a_pause_is_not_held_against_the_client(start: Start) -> None:
    server = start(idle_timeout_ms=300)
    client = Client.connect(server)
    connection = admitted(server, client)
    begun = time.monotonic()
    pause(server, connection, 900)
    assert client.close_code() == 4002
    assert time.monotonic() - begun >= 1.2
    assert server.closed(connection) == 4002


def test_a_lifetime_ends_during_a_pause(start: Start) -> None:
    server = start()
    client = Client.connect(server)
    connection = admitted(server, client)
    server.core.admit(connection, 200)
    pause(server, connection, 60_000)
    assert client.close_code() == 4512
    assert server.closed(connection) == 4512


def test_a_pause_is_a_number_of_milliseconds_up_to_a_minute(start: Start) -> None:
    server = start()
    for ms in (0, 60_001):
        with pytest.raises(ValueError, match=f"ms: expected 1 to 60000, got {ms}"):
            server.core.pause(1, ms)
    server.core.pause(1, 60_000)
    server.core.flush()
    server.until("stale_commands", 1)


def test_commands_count_from_the_call_until_a_thread_has_obeyed_them(start: Start) -> None:
    server = start(threads=2)
    connection = admitted(server, Client.connect(server))
    assert server.core.command_bytes() == 0
    server.core.send(connection, bytes(100_000), REPLY)
    server.core.publish(1, bytes(1000), 1)
    assert 102_000 < server.core.command_bytes() == server.core.counters()["command_bytes"] < 103_000
    server.core.flush()
    server.until("command_bytes", 0)
    assert server.core.command_bytes() == 0


def test_commands_of_a_core_that_has_stopped_do_not_count() -> None:
    server = Server().listen()
    connect(server)
    server.core.stop()
    server.core.send(1, bytes(1000), REPLY)
    server.core.flush()
    assert server.core.command_bytes() == 0
