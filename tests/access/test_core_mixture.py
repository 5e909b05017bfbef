"""Direct messages, topics, held-back bytes and slow readers at once: frames stay whole, and each source in its order.

Read next: test_core_topics.py for each of these by itself.
"""

import random
from pathlib import Path

import pytest

from longlink._core import EVENT, REPLY

from .core_server import Client, Server, Start, admitted, deaf
from .test_core_tls import certificate, trust

MESSAGES = 400
BOUND = 256 * 1024


def mix(server: Server, connections: list[int], chance: random.Random) -> None:
    """Say everything in random order and sizes: each gets 'd' messages of its own, and all get 't' messages."""
    for number in range(MESSAGES):
        rest = bytes(chance.choice((0, 10, 200, 3_000, 100_000)))
        if chance.random() < 0.5:
            server.core.publish(1, b"t%06d" % number + rest, EVENT, window_ms=chance.choice((0, 0, 1, 4)))
        else:
            for connection in connections:
                server.core.send(connection, b"d%06d" % number + rest, chance.choice((REPLY, EVENT)))
        if chance.random() < 0.4:
            server.core.flush()
    server.core.publish(1, b"t-last", EVENT)
    for connection in connections:
        server.core.send(connection, b"d-last", REPLY)
    server.core.flush()


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("coalesce_ms", [0, 2, 50])
def test_frames_stay_whole_and_each_source_keeps_its_order(
    start: Start, tmp_path: Path, tls: bool, coalesce_ms: int
) -> None:
    files = certificate(tmp_path, "one") if tls else None
    server = start(tls=files, queue_bytes=64 << 20, coalesce_ms=coalesce_ms)
    clients = [Client.connect(server, tls=trust(files[0]) if files else None) for _ in range(4)]
    connections = [admitted(server, client) for client in clients]
    for connection in connections:
        server.core.subscribe(connection, 1)
    server.core.flush()
    mix(server, connections, random.Random(coalesce_ms))
    server.above("queued_bytes", 1 << 20)
    for client in clients:
        heard: dict[bytes, list[bytes]] = {b"t": [], b"d": []}
        while not all(said and said[-1].endswith(b"last") for said in heard.values()):
            _, payload = client.receive()
            heard[payload[:1]].append(payload[:7])
        numbers = [[int(said[1:]) for said in each[:-1]] for each in heard.values()]
        assert all(each == sorted(each) for each in numbers)
        assert sorted(numbers[0] + numbers[1]) == list(range(MESSAGES))
    server.until_all(queued_bytes=0, dropped_events=0, messages_out=4 * (MESSAGES + 2))


def test_bytes_that_went_with_their_connections_count_no_more(start: Start) -> None:
    server = start(queue_bytes=BOUND, total_queue_bytes=BOUND, stall_timeout_ms=60_000)
    for round_ in range(12):
        client, connection = deaf(server)
        server.core.subscribe(connection, 1)
        for _ in range(10):
            server.core.publish(1, bytes(9_000), EVENT, window_ms=round_)
            server.core.send(connection, bytes(5_000), REPLY)
            server.core.flush()
        if round_ % 3 == 0:
            server.core.close(connection, 4000)
            server.core.flush()
        client.stream.close()
        server.closed(connection)
        server.until_all(queued_bytes=0, connections=0)
    _, connection = deaf(server)
    before = server.core.counters()["queued_bytes"]
    for _ in range(29):
        server.core.send(connection, bytes(8192), REPLY)
    server.core.flush()
    server.above("queued_bytes", before + 28 * 8192)
    assert server.core.counters()["slow_closed"] == 0
