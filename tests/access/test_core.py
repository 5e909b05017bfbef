"""Messages, ends and figures of the connection core through its real sockets, by core/BOUNDARY.md."""

import os
from pathlib import Path

import pytest

from longlink import _core as core_module
from longlink._core import BINARY, CLOSED, EVENT, REPLY, TEXT, Core

from .core_server import LIMITS, Client, Start, admitted, connect, frame, speak


def test_messages_come_in_order_and_replies_go_back_in_order(start: Start) -> None:
    server = start(hello_timeout_ms=0)
    client = Client.connect(server)
    for number in range(500):
        client.send(b"%d" % number)
    events = server.count(500)
    connection = events[0][1]
    assert events == [(BINARY, connection, b"%d" % number) for number in range(500)]
    for _, _, data in events:
        assert isinstance(data, bytes)
        server.core.send(connection, data, REPLY)
    server.core.flush()
    assert [client.receive() for _ in range(500)] == [(2, b"%d" % number) for number in range(500)]
    server.until_all(messages_in=500, messages_out=500)
    assert server.core.counters()["writes"] < 20, "frames of one flush should share a write"


@pytest.mark.parametrize("size", [1, 125, 126, 65_535, 65_536, 1 << 20])
def test_a_message_of_any_size_comes_back_whole(start: Start, size: int) -> None:
    server = start(queue_bytes=4 << 20)
    client = Client.connect(server)
    payload = os.urandom(size)
    connection = speak(server, client, payload)
    server.core.send(connection, payload, REPLY)
    server.core.flush()
    assert client.receive() == (2, payload)


def test_nothing_happens_before_a_flush(start: Start) -> None:
    server = start()
    client = Client.connect(server)
    connection = speak(server, client)
    server.core.send(connection, b"reply", REPLY)
    client.send(b"again")
    server.count(1)
    assert server.core.counters()["messages_out"] == 0
    server.core.flush()
    assert client.receive() == (2, b"reply")


def test_one_payload_goes_to_many_in_every_framing(start: Start) -> None:
    server = start(threads=2)
    clients = [Client.connect(server) for _ in range(20)]
    connections = [speak(server, client) for client in clients]
    record = connect(server)
    record.sendall(b"\0LLP" + b"\0\0\0\x02hi")
    _, other, data = server.count(1)[0]
    assert data == b"hi"
    server.core.send_many([*connections, other], b"news", EVENT)
    server.core.flush()
    assert [client.receive() for client in clients] == [(2, b"news")] * 20
    assert Client(record).take(8) == b"\0\0\0\x04news"


def test_a_record_connection_speaks_its_kind_and_closes_with_a_record(start: Start) -> None:
    server = start()
    stream = connect(server)
    stream.sendall(b"\0L")
    stream.sendall(b"LJ\0\0\0\x07")
    stream.sendall('"grüß"'.encode()[:7])
    kind, connection, data = server.count(1)[0]
    assert (kind, data) == (TEXT, '"grüß"'.encode()[:7])
    server.core.close(connection, 4000, "bye")
    server.core.flush()
    client = Client(stream)
    assert client.take(9) == b"\x01\0\0\x05" + (4000).to_bytes(2, "big") + b"bye"
    assert client.ended()
    assert server.closed(connection) == 4000


def test_a_heartbeat_is_answered_in_its_kind_and_not_told(start: Start) -> None:
    server = start()
    client = Client.connect(server)
    client.send(b"", 1)
    client.send(b"", 2)
    client.send(b"ping", 9)
    assert [client.receive() for _ in range(3)] == [(1, b""), (2, b""), (10, b"ping")]
    speak(server, client)
    counters = server.core.counters()
    assert (counters["heartbeats"], counters["pings"], counters["messages_in"]) == (2, 1, 1)


def test_the_wrong_kind_closes_with_1003(start: Start) -> None:
    server = start()
    client = Client.connect(server, "longlink.json")
    client.send(b"binary")
    assert client.close_code() == 1003
    server.until("protocol_errors", 1)


def test_what_is_not_http_nor_a_preface_gets_a_line_and_an_end(start: Start) -> None:
    server = start()
    for first in (b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", b"\0LLX", b"\xff\xff\r\n\r\n"):
        stream = connect(server)
        stream.sendall(first)
        answer = Client(stream).take_until(b"\r\n")
        assert answer.startswith(b"HTTP/1.1 4"), (first, answer)
        assert Client(stream).ended()
    server.until("handshake_failures", 3)


def test_a_close_of_the_peer_is_echoed_and_told_once(start: Start) -> None:
    server = start()
    client = Client.connect(server)
    connection = admitted(server, client)
    client.send((3001).to_bytes(2, "big") + b"gone", 8)
    assert client.close_code() == 3001
    assert client.ended()
    assert server.closed(connection) == 3001
    server.until("connections", 0)
    assert server.core.poll() == []


def test_a_close_of_the_server_leaves_behind_what_is_queued(start: Start) -> None:
    server = start()
    client = Client.connect(server)
    connection = admitted(server, client)
    server.core.send(connection, b"last words", REPLY)
    server.core.close(connection, 4000, "done")
    server.core.send(connection, b"too late", REPLY)
    server.core.flush()
    assert client.receive() == (2, b"last words")
    assert client.receive() == (8, (4000).to_bytes(2, "big") + b"done")
    assert server.closed(connection) == 4000
    client.send((4000).to_bytes(2, "big"), 8)
    assert client.ended()
    assert server.core.counters()["stale_commands"] == 1


def test_a_connection_that_gave_no_message_ends_in_silence(start: Start) -> None:
    server = start()
    quiet = Client.connect(server)
    quiet.stream.close()
    server.until("closed", 1)
    talker = Client.connect(server)
    connection = speak(server, talker)
    talker.stream.close()
    assert server.closed(connection) == 1006


def test_a_connection_that_had_gone_before_admit_has_one_closed(start: Start) -> None:
    server = start()
    client = Client.connect(server)
    client.send(b"hello")
    client.stream.close()
    events = server.count(2)
    connection = events[0][1]
    assert events == [(BINARY, connection, b"hello"), (CLOSED, connection, 1006)]
    server.core.admit(connection)
    server.core.flush()
    server.until("stale_commands", 1)
    assert server.core.poll() == []


def test_without_a_hello_timeout_every_upgrade_counts_as_admitted(start: Start) -> None:
    server = start(hello_timeout_ms=0)
    client = Client.connect(server)
    server.until("admitted", 1)
    client.stream.close()
    assert server.count(1)[0][2] == 1006


def test_an_old_number_never_reaches_a_new_connection(start: Start) -> None:
    server = start()
    first = Client.connect(server)
    old = speak(server, first)
    first.stream.close()
    server.closed(old)
    others = [Client.connect(server) for _ in range(300)]
    connections = {speak(server, other) for other in others}
    assert old not in connections
    server.core.send(old, b"lost", REPLY)
    server.core.send(0, b"lost", REPLY)
    server.core.flush()
    server.until("stale_commands", 2)
    assert server.core.counters()["messages_out"] == 0


def test_peer_names_the_other_end_until_it_has_gone(start: Start) -> None:
    server = start()
    client = Client.connect(server)
    connection = speak(server, client)
    address, port = client.stream.getsockname()
    assert server.core.peer(connection) == f"{address}:{port}"
    client.stream.close()
    server.closed(connection)
    assert server.core.peer(connection) is None
    assert server.core.peer(0) is None
    assert server.core.peer(1 << 60) is None


@pytest.mark.parametrize(
    "name", ["threads", "max_connections", "queue_bytes", "total_queue_bytes", "ring_events", "max_message_bytes"]
)
def test_a_limit_out_of_range_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Core(**{**LIMITS, name: 0})


def test_arguments_out_of_range_are_refused(start: Start) -> None:
    server = start()
    with pytest.raises(ValueError, match="delivery"):
        server.core.send(1, b"x", 4)
    with pytest.raises(ValueError, match="code"):
        server.core.close(1, 1006)
    with pytest.raises(ValueError, match="reason"):
        server.core.close(1, 4000, "x" * 124)
    with pytest.raises(ValueError, match="payload"):
        server.core.send(1, bytes(1 << 24), REPLY)


def test_poll_takes_no_more_than_its_limit_and_keeps_the_order(start: Start) -> None:
    server = start(hello_timeout_ms=0)
    client = Client.connect(server)
    client.stream.sendall(b"".join(frame(b"%d" % number) for number in range(10)))
    server.until("messages_in", 10)
    got: list[bytes | int] = []
    while len(got) < 10:
        events = server.core.poll(3)
        assert len(events) <= 3
        got += [data for _, _, data in events]
    assert got == [b"%d" % number for number in range(10)]
    assert server.core.poll() == []


def test_counters_and_histograms_have_the_names_of_the_contract(start: Start) -> None:
    server = start()
    speak(server, Client.connect(server))
    text = (Path(__file__).parents[2] / "core" / "BOUNDARY.md").read_text().split("## Counters")[1]
    names = {name for name in text.split("`")[1::2] if name.isidentifier()}
    histograms = server.core.histograms()
    assert {*server.core.counters(), *histograms} == names
    for bounds, counts, total in histograms.values():
        assert len(counts) == len(bounds) + 1
        assert counts == sorted(counts)
        assert counts[-1] >= 1
        assert total > 0
    assert core_module.__version__


def test_memory_held_returns_to_the_table_when_all_have_gone(start: Start) -> None:
    server = start(threads=1)
    first = Client.connect(server)
    admitted(server, first)
    before = server.core.counters()["core_bytes"]
    clients = [Client.connect(server) for _ in range(100)]
    for client in clients:
        client.stream.sendall(frame(bytes(1000))[:-1])
    server.until("connections", 101)
    for client in clients:
        client.stream.close()
    server.until("connections", 1)
    assert server.core.counters()["core_bytes"] < before + 8192
