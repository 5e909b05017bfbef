"""What a burst leaves to others: while an I/O thread hands out very much, everybody else has a turn.

Order is asserted, not time: a witness gets the end of the burst on the same connection as everything else, so what
comes before that came while the burst was under way. Read next: test_core_topics.py.
"""

import contextlib
from collections.abc import Iterator

from longlink._core import EVENT, REPLY
from longlink.parts import file_limit

from .conftest import bench_server
from .core_server import Client, Server, Start, speak
from .peer import BINARY, TEXT, Heard, Peer, frame

MEMBERS = 600
"""More than an I/O thread writes to in one turn."""
MESSAGES = 500
"""For each of them: 300,000 writes, half a second's work for an I/O thread."""


@contextlib.contextmanager
def crowd(server: Server) -> Iterator[tuple[Client, int, list[int]]]:
    """A witness with its connection, and the connections of many others."""
    file_limit()
    witness = Client.connect(server)
    first = speak(server, witness)
    clients = [Client.connect(server) for _ in range(MEMBERS)]
    yield witness, first, [speak(server, client) for client in clients]


def test_a_burst_of_topics_leaves_turns_to_heartbeats_handshakes_and_direct_messages(start: Start) -> None:
    server = start(hello_timeout_ms=0)
    with crowd(server) as (witness, first, others):
        for topic in range(1, MESSAGES + 1):
            # A round goes from the last subscriber to the first.
            for connection in (first, *others):
                server.core.subscribe(connection, topic)
        server.core.flush()
        server.until("subscriptions", MESSAGES * (MEMBERS + 1))
        for topic in range(1, MESSAGES + 1):
            server.core.publish(topic, b"%06d" % topic + bytes(44), EVENT)
        server.core.flush()
        server.above("deliveries", 0)
        newcomer = Client.connect(server)
        connection = speak(server, newcomer)
        server.core.send(connection, b"direct", REPLY)
        server.core.flush()
        assert newcomer.receive() == (2, b"direct")
        witness.send(b"")
        assert witness.receive() == (2, b""), "the heartbeat is answered before the burst is over"
        assert sorted(int(witness.receive()[1][:6]) for _ in range(MESSAGES)) == list(range(1, MESSAGES + 1))
        server.until("deliveries", MESSAGES * (MEMBERS + 1))


def test_a_small_topic_does_not_wait_for_the_end_of_a_large_one(start: Start) -> None:
    server = start(hello_timeout_ms=0)
    with crowd(server) as (witness, first, others):
        for connection in (first, *others):
            server.core.subscribe(connection, 1)
        server.core.subscribe(first, 2)
        server.core.publish(1, b"to all", EVENT)
        server.core.publish(2, b"to you", EVENT)
        server.core.flush()
        assert [witness.receive() for _ in range(2)] == [(2, b"to you"), (2, b"to all")]


def test_a_message_to_very_many_leaves_turns_to_heartbeats_and_handshakes_and_keeps_the_order(start: Start) -> None:
    server = start(hello_timeout_ms=0)
    with crowd(server) as (witness, first, others):
        for _ in range(MESSAGES):
            server.core.send_many(others, b"line", EVENT)
        server.core.send(first, b"last", REPLY)
        server.core.flush()
        server.core.send(first, b"behind it", REPLY)
        server.core.flush()
        server.above("messages_out", 0)
        Client.connect(server)
        witness.send(b"")
        assert [witness.receive() for _ in range(3)] == [(2, b""), (2, b"last"), (2, b"behind it")]
        server.until("messages_out", MESSAGES * MEMBERS + 3)


def test_a_drain_waits_for_what_was_said_before_it(start: Start) -> None:
    server = start(hello_timeout_ms=0)
    with crowd(server) as (witness, first, others):
        for _ in range(100):
            server.core.send_many(others, b"line", EVENT)
        server.core.flush()
        for _ in range(20):
            server.core.send_many([*others, first], b"goodbye", EVENT)
        server.core.flush()
        server.core.drain(0, 4000, "draining")
        assert [witness.receive() for _ in range(20)] == [(2, b"goodbye")] * 20
        assert witness.close_code() == 4000


def test_the_room_of_the_bench_reaches_its_members_and_echoes_the_rest() -> None:
    with bench_server("--room") as port, Peer.upgraded(port) as alice, Peer.upgraded(port) as bob:
        for peer in (alice, bob):
            peer.send(frame(BINARY, b"+") + frame(BINARY, b"here"))
            assert peer.hear() == Heard(BINARY, b"here")
        with Peer.upgraded(port) as carol:
            carol.send(frame(BINARY, b"=to all"))
            carol.send(frame(BINARY, b"~together") + frame(TEXT, b"=text"))
            assert carol.hear() == Heard(TEXT, b"=text")
        for peer in (alice, bob):
            assert [peer.hear(), peer.hear()] == [Heard(BINARY, b"to all"), Heard(BINARY, b"together")]
