"""Topics of the connection core: who gets what is published, in how many writes, and what happens at the bounds.

The contract is core/BOUNDARY.md. Read next: test_core_bursts.py for what a burst leaves to others.
"""

import select
import socket
from typing import Any

import pytest

from longlink._core import BINARY, EVENT, LOW, MISSED, REPLY, TEXT, TRANSIENT

from .core_server import DROPPED, LIMITS, Client, Server, Start, admitted, connect, deaf, frame, handled, speak

TOPIC = 7
LONGEST = 10_000
"""A window that no test waits for."""
KIB8 = bytes(8192)
LARGEST_TOPIC = 2**52 - 1


def member(server: Server, *topics: int, subprotocol: str | None = None) -> Client:
    """A client that is subscribed."""
    client = Client.connect(server, subprotocol)
    text = subprotocol == "longlink.json"
    client.send(b"hello", 1 if text else 2)
    kind, connection, _ = server.count(1)[0]
    assert kind == (TEXT if text else BINARY)
    join(server, connection, *(topics or (TOPIC,)))
    return client


def join(server: Server, connection: int, *topics: int) -> None:
    before = server.core.counters()["subscriptions"]
    for topic in topics:
        server.core.subscribe(connection, topic)
    server.core.flush()
    server.until("subscriptions", before + len(topics))


def publish(server: Server, *payloads: bytes, delivery: int = EVENT, window_ms: int = 0, topic: int = TOPIC) -> None:
    """All of them in one flush."""
    for payload in payloads:
        server.core.publish(topic, payload, delivery, window_ms=window_ms)
    server.core.flush()


def settle(server: Server, messages: int) -> dict[str, int]:
    """Until so many messages for members have been delivered or dropped; the counters then."""
    names = ("deliveries", *DROPPED)
    server.wait_for(lambda counters: sum(counters[name] for name in names) == messages)
    return server.core.counters()


def writes_after(server: Server, deliveries: int) -> int:
    """How many writes there were when so many deliveries had been made."""
    server.until("deliveries", deliveries)
    return server.core.counters()["writes"]


# Who gets what --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
def test_a_published_message_reaches_every_subscriber_on_every_thread_and_nobody_else(
    start: Start, threads: int
) -> None:
    server = start(threads=threads)
    members, other = [member(server) for _ in range(20)], member(server, 8)
    publish(server, b"news")
    publish(server, b"else", topic=8)
    assert [client.receive() for client in members] == [(2, b"news")] * 20
    assert other.receive() == (2, b"else")
    server.until_all(published=2, deliveries=21, subscriptions=21)


def test_each_subscriber_gets_what_it_can_read_in_its_own_framing(start: Start) -> None:
    server = start()
    free, binary, text = (
        member(server),
        member(server, subprotocol="longlink.pb"),
        member(server, subprotocol="longlink.json"),
    )
    records: list[socket.socket] = []
    for preface in (b"\0LLP", b"\0LLJ"):
        records.append(connect(server))
        records[-1].sendall(preface + b"\0\0\0\x02hi")
        join(server, server.count(1)[0][1], TOPIC)
    server.core.publish(TOPIC, b"one", EVENT)
    server.core.publish(TOPIC, b"two", EVENT, text=True)
    server.core.flush()
    assert [free.receive(), free.receive()] == [(2, b"one"), (1, b"two")]
    assert (binary.receive(), text.receive()) == ((2, b"one"), (1, b"two"))
    assert [Client(record).take(7) for record in records] == [b"\0\0\0\x03one", b"\0\0\0\x03two"]
    server.until_all(deliveries=6, other_kind=4)


def test_messages_of_a_topic_keep_their_order_whatever_their_windows(start: Start) -> None:
    server = start(threads=2)
    members = [member(server) for _ in range(8)]
    for number in range(500):
        publish(server, b"%d" % number, window_ms=(0, 1, 3)[number % 3])
    publish(server, b"end")
    expected = [(2, b"%d" % number) for number in range(500)] + [(2, b"end")]
    for client in members:
        assert [client.receive() for _ in expected] == expected


def test_a_subscription_counts_once_and_ends_once(start: Start) -> None:
    server = start()
    client = Client.connect(server)
    connection = speak(server, client)
    for _ in range(2):
        server.core.subscribe(connection, TOPIC)
    publish(server, b"one")
    assert client.receive() == (2, b"one")
    for _ in range(2):
        server.core.unsubscribe(connection, TOPIC)
    publish(server, b"two")
    server.core.send(connection, b"three", REPLY)
    server.core.flush()
    assert client.receive() == (2, b"three")
    server.until_all(topics=0, subscriptions=0, deliveries=1)


def test_a_connection_that_goes_leaves_its_topics(start: Start) -> None:
    server = start()
    client, other = member(server, 1, 2, 3), member(server, 2)
    server.until_all(topics=3, subscriptions=4)
    client.stream.close()
    server.until_all(topics=1, subscriptions=1)
    publish(server, b"news", topic=2)
    assert other.receive() == (2, b"news")


def test_a_connection_that_is_closing_gets_nothing_more(start: Start) -> None:
    server = start()
    client = Client.connect(server)
    connection = speak(server, client)
    join(server, connection, TOPIC)
    server.core.close(connection, 4000)
    publish(server, b"late")
    assert client.receive() == (8, (4000).to_bytes(2, "big"))
    server.core.subscribe(connection, 8)
    server.core.flush()
    server.until("stale_commands", 1)
    assert server.core.counters()["deliveries"] == 0


def test_subscribers_may_come_and_go_while_rounds_are_under_way(start: Start) -> None:
    server = start(threads=2)
    staying, leaving = [member(server) for _ in range(200)], [member(server) for _ in range(50)]
    coming = [Client.connect(server) for _ in range(50)]
    connections = [speak(server, client) for client in coming]
    for number in range(200):
        publish(server, b"%d" % number)
        if number % 4 == 0:
            leaving[number // 4].stream.close()
            server.core.subscribe(connections[number // 4], TOPIC)
    publish(server, b"200")
    for client in staying:
        assert [client.receive()[1] for _ in range(201)] == [b"%d" % number for number in range(201)]
    for client in coming:
        first = int(client.receive()[1])
        rest = [client.receive()[1] for _ in range(200 - first)]
        assert rest == [b"%d" % number for number in range(first + 1, 201)], "no gap behind the first, nothing twice"
    server.until_all(topics=2, subscriptions=250)


def test_what_concerns_nobody_is_no_error(start: Start) -> None:
    server = start()
    publish(server, b"nobody")
    server.core.subscribe(1, TOPIC)
    server.core.unsubscribe(1, TOPIC)
    server.core.flush()
    server.until_all(stale_commands=2, published=1, subscriptions=0, topics=0, deliveries=0)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("topic", {"topic": 0}),
        ("topic", {"topic": LARGEST_TOPIC + 1}),
        ("delivery", {"delivery": REPLY}),
        ("delivery", {"delivery": 4}),
        ("window_ms", {"window_ms": LONGEST + 1}),
        ("payload", {"payload": bytes(1 << 24)}),
    ],
)
def test_arguments_out_of_range_are_named(start: Start, name: str, change: dict[str, Any]) -> None:
    server = start()
    whole: dict[str, Any] = {"topic": LARGEST_TOPIC, "payload": b"x", "delivery": LOW, "window_ms": LONGEST}
    server.core.publish(**whole)
    with pytest.raises(ValueError, match=name):
        server.core.publish(**{**whole, **change})
    for change_of in (server.core.subscribe, server.core.unsubscribe):
        with pytest.raises(ValueError, match="topic"):
            change_of(1, 0)


# In how many writes ---------------------------------------------------------------------------------------------------


def test_messages_within_the_window_leave_in_one_write_and_a_lone_one_at_once(start: Start) -> None:
    server = start()
    client = member(server)
    publish(server, b"first", window_ms=LONGEST)
    assert client.receive() == (2, b"first")
    writes = writes_after(server, 1)
    for number in range(5):
        publish(server, b"more %d" % number, window_ms=LONGEST)
    publish(server, b"last", window_ms=0)
    assert writes_after(server, 7) == writes + 1
    expected = b"".join(b"\x82\x06more %d" % number for number in range(5)) + b"\x82\x04last"
    assert client.stream.recv(1 << 16) == expected, "one write is one read"


def test_a_window_ends_by_itself(start: Start) -> None:
    server = start()
    client = member(server)
    publish(server, b"first", window_ms=30)
    assert client.receive() == (2, b"first")
    writes = writes_after(server, 1)
    publish(server, b"one", b"two", b"three", window_ms=30)
    assert [client.receive()[1] for _ in range(3)] == [b"one", b"two", b"three"]
    assert writes_after(server, 4) == writes + 1


def test_a_heavy_block_does_not_wait_for_its_window(start: Start) -> None:
    server = start()
    client = member(server)
    publish(server, b"first", window_ms=LONGEST)
    assert client.receive() == (2, b"first")
    for _ in range(2):
        publish(server, KIB8, window_ms=LONGEST)
    assert [client.receive()[1] for _ in range(2)] == [KIB8] * 2


def test_what_is_published_in_one_flush_is_one_write_for_each_subscriber(start: Start) -> None:
    server = start()
    members = [member(server) for _ in range(10)]
    writes = server.core.counters()["writes"]
    publish(server, *(b"%d" % number for number in range(50)))
    for client in members:
        assert [client.receive()[1] for _ in range(50)] == [b"%d" % number for number in range(50)]
    server.until_all(writes=writes + 10, rounds=1, deliveries=500)


def test_an_event_waits_for_company_and_a_reply_takes_it_along(start: Start) -> None:
    server = start(coalesce_ms=1000)
    client = Client.connect(server)
    connection = admitted(server, client)
    server.core.send(connection, b"reply", REPLY)
    server.core.flush()
    assert client.receive() == (2, b"reply")
    writes = server.core.counters()["writes"]
    for number in range(3):
        server.core.send(connection, b"event %d" % number, EVENT)
        server.core.flush()
        server.above("queued_bytes", 9 * number)
    server.core.send(connection, b"reply", REPLY)
    server.core.flush()
    expected = b"".join(b"\x82\x07event %d" % number for number in range(3)) + b"\x82\x05reply"
    assert client.take(len(expected)) == expected
    assert server.core.counters()["writes"] == writes + 1
    server.until("queued_bytes", 0)


@pytest.mark.parametrize("company", [0, 3])
def test_a_reply_is_not_held_back_although_an_event_of_another_is(start: Start, company: int) -> None:
    server = start(coalesce_ms=1000)
    clients = [Client.connect(server) for _ in range(2)]
    asking, other = [admitted(server, client) for client in clients]
    server.core.send_many([asking, other], b"just now", REPLY)
    server.core.flush()
    assert [client.receive()[1] for client in clients] == [b"just now"] * 2
    server.core.send(other, b"later", EVENT)
    for _ in range(company):
        server.core.send(asking, b"event", EVENT)
    server.core.flush()
    server.core.send(asking, b"reply", REPLY)
    server.core.flush()
    assert [clients[0].receive()[1] for _ in range(company + 1)] == [b"event"] * company + [b"reply"]
    assert not select.select([clients[1].stream], [], [], 0)[0], "what was held back before it still is"
    assert clients[1].receive()[1] == b"later"


@pytest.mark.parametrize("delivery", [EVENT, TRANSIENT, LOW])
def test_what_is_held_back_leaves_by_itself_or_when_it_is_enough(start: Start, delivery: int) -> None:
    server = start(coalesce_ms=100)
    client = Client.connect(server)
    connection = admitted(server, client)
    for payload in (b"one", bytes(20_000), b"two", b"three"):
        server.core.send(connection, payload, delivery)
        server.core.flush()
    assert [client.receive()[1] for _ in range(4)] == [b"one", bytes(20_000), b"two", b"three"]
    server.until("queued_bytes", 0)


def test_a_close_takes_along_what_is_held_back(start: Start) -> None:
    server = start(coalesce_ms=1000)
    client = Client.connect(server)
    connection = admitted(server, client)
    server.core.send(connection, b"event", EVENT)
    server.core.flush()
    server.core.close(connection, 4000)
    server.core.flush()
    assert client.receive() == (2, b"event")
    assert client.close_code() == 4000
    assert server.closed(connection) == 4000


@pytest.mark.parametrize("websocket", [True, False])
def test_a_close_leaves_behind_a_reply_that_had_no_room_beside_what_is_held_back(start: Start, websocket: bool) -> None:
    server = start(coalesce_ms=1000)
    client = Client.connect(server) if websocket else Client(connect(server))
    client.stream.sendall(frame(b"hello") if websocket else b"\0LLP\0\0\0\x05hello")
    connection = server.count(1)[0][1]
    server.core.admit(connection)
    server.core.send(connection, b"reply", REPLY)
    server.core.flush()
    server.until("messages_out", 1)
    held = bytes(16 * 1024 - 4)
    server.core.send(connection, held, EVENT)
    server.core.flush()
    server.above("queued_bytes", len(held) - 1)
    server.core.send(connection, b"last words", REPLY)
    server.core.close(connection, 4000)
    server.core.flush()
    head = [b"\x82\x0a", b"\x88\x02"] if websocket else [b"\0\0\0\x0a", b"\x01\0\0\x02"]
    client.take_until(head[0] + b"last words" + head[1] + (4000).to_bytes(2, "big"))
    assert server.closed(connection) == 4000


def test_what_is_held_back_counts_in_what_all_may_hold(start: Start) -> None:
    server = start(coalesce_ms=1000, queue_bytes=64 * 1024, total_queue_bytes=64 * 1024)
    clients = [Client.connect(server) for _ in range(10)]
    connections = [admitted(server, client) for client in clients]
    for delivery in (REPLY, EVENT):
        server.core.send_many(connections, KIB8, delivery)
        server.core.flush()
    server.until("messages_out", 20)
    assert server.core.counters()["queued_bytes"] <= 16 * 1024
    for client in clients:
        assert [client.receive() for _ in range(2)] == [(2, KIB8)] * 2


# At the bounds --------------------------------------------------------------------------------------------------------


def test_a_slow_subscriber_loses_the_low_class_first_and_is_told_of_the_events(start: Start) -> None:
    server = start(stall_timeout_ms=60_000)
    slow, connection = deaf(server)
    quick = member(server)
    join(server, connection, TOPIC)
    order: list[str] = []
    sent, seen = 0, 0
    while "dropped_events" not in order:
        for delivery in (LOW, TRANSIENT, EVENT):
            publish(server, KIB8, delivery=delivery)
            sent += 2
            counters = settle(server, sent)
            order += [name for name in DROPPED if counters[name] and name not in order]
            seen += 1
            assert quick.receive() == (2, KIB8), "the others get everything"
    assert order == ["dropped_low", "dropped_transient", "dropped_events"]
    assert counters["queued_bytes"] <= LIMITS["queue_bytes"] / 2 + len(KIB8)
    dropped = counters["dropped_events"]
    server.core.send(connection, b"end", REPLY)
    server.core.flush()
    while slow.receive()[1] != b"end":
        pass
    assert server.count(1) == [(MISSED, connection, dropped)]
    server.until("queued_bytes", 0)
    assert seen == sent // 2


def test_a_subscriber_that_never_reads_is_dropped_and_leaves_its_topics(start: Start) -> None:
    server = start(stall_timeout_ms=300)
    _, connection = deaf(server)
    quick = member(server)
    join(server, connection, TOPIC)
    publish(server, b"one")
    assert server.closed(connection) == 4001
    publish(server, b"two")
    assert [quick.receive()[1] for _ in range(2)] == [b"one", b"two"]
    server.until_all(subscriptions=1, queued_bytes=0, stalled=1)


@pytest.mark.parametrize(
    ("delivery", "name", "share"),
    [(LOW, "dropped_low", 1 / 4), (TRANSIENT, "dropped_transient", 3 / 8), (EVENT, "dropped_events", 1 / 2)],
)
def test_what_gathers_for_a_topic_is_bounded_by_the_shares_of_a_queue(
    start: Start, delivery: int, name: str, share: float
) -> None:
    server = start()
    members = [member(server) for _ in range(3)]
    publish(server, *[KIB8] * 60, delivery=delivery)
    counters = settle(server, 3 * 60)
    room = int(LIMITS["queue_bytes"] * share / (len(KIB8) + 16))
    assert counters[name] == 3 * (60 - room)
    for client in members:
        assert [client.receive()[1] for _ in range(room)] == [KIB8] * room
    if delivery == EVENT:
        told = server.count(3)
        assert [(kind, number) for kind, _, number in told] == [(MISSED, 60 - room)] * 3
    assert counters["crowded_out"] == 0


def test_what_waits_for_all_together_is_bounded_class_by_class(start: Start) -> None:
    server = start(stall_timeout_ms=60_000, queue_bytes=1 << 20, total_queue_bytes=1 << 20)
    _, hog = deaf(server)
    other, connection = deaf(server)
    order: list[str] = []
    while "dropped_events" not in order:
        before = handled(server.core.counters())
        server.core.send(hog, KIB8, REPLY)
        for delivery in (LOW, TRANSIENT, EVENT):
            server.core.send(connection, b"x", delivery)
        server.core.flush()
        counters = server.until_handled(before + 4)
        order += [name for name in DROPPED if counters[name] and name not in order]
    assert order == list(DROPPED)
    assert counters["crowded_out"] == sum(counters[name] for name in DROPPED)
    for _ in range(80):
        server.core.send(hog, KIB8, REPLY)
    server.core.flush()
    server.until("slow_closed", 1)
    assert server.core.counters()["queued_bytes"] <= 1 << 20, "its own queue was not full, but all together were"
    server.core.send(connection, b"end", REPLY)
    server.core.flush()
    while other.receive()[1] != b"end":
        pass
    assert server.count(1) == [(MISSED, connection, 1)]


def test_a_topic_whose_subscribers_have_gone_holds_nothing(start: Start) -> None:
    server = start()
    client = member(server)
    publish(server, b"first", window_ms=LONGEST)
    assert client.receive() == (2, b"first")
    publish(server, KIB8, window_ms=LONGEST)
    server.above("queued_bytes", 0)
    client.stream.sendall(frame((1000).to_bytes(2, "big"), 8))
    server.until_all(queued_bytes=0, topics=0)
