"""The load in Rust against servers that are right and servers that are not: whatever is wrong must be counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.bench.double import Behaviour, Link, double

from longlink._core import Load

DEADLINE_S = 60.0


@contextmanager
def load(plan: str, port: int, **outline: Any) -> Iterator[Load]:
    made = Load(plan, host="127.0.0.1", port=port, **outline)
    try:
        yield made
    finally:
        made.stop()


def until(made: Load, done: Callable[[dict[str, int]], bool]) -> dict[str, int]:
    """The counts, once they are so."""
    give_up = time.monotonic() + DEADLINE_S
    while not done(counts := made.counts()):
        assert time.monotonic() < give_up, {name: count for name, count in counts.items() if count}
        time.sleep(0)  # lets the server have the interpreter, which is in this process
    return counts


def echo(link: Link, payload: bytes) -> None:
    link.say(payload)


class Room:
    """The room protocol; `spread` says what a receiver gets of each message."""

    def __init__(self, spread: Callable[[int, bytes], list[bytes]]) -> None:
        self._spread = spread
        self._members: list[Link] = []

    def __call__(self, link: Link, payload: bytes) -> None:
        if payload == b"+":
            self._members.append(link)
        elif payload[:1] in (b"=", b"~"):
            for number, member in enumerate(self._members):
                for message in self._spread(number, payload[1:]):
                    member.say(message)
        else:
            link.say(payload)


def number_of(message: bytes) -> int:
    return int.from_bytes(message[1:9], "little")


# Echo -----------------------------------------------------------------------------------------------------------------


def test_echoes_come_back_and_are_counted() -> None:
    with double(echo) as port, load("echo", port, size=200) as made:
        made.connect([b""] * 3)
        until(made, lambda counts: counts["joined"] == 3)
        made.talk()
        until(made, lambda counts: counts["echoes"] >= 30)
        made.halt()
        counts = until(made, lambda counts: counts["messages_sent"] == counts["messages_received"])
    assert (counts["altered"], counts["unexpected"], counts["lost"]) == (0, 0, 0)


def test_an_echo_that_was_altered_is_found() -> None:
    def alter(link: Link, payload: bytes) -> None:
        link.say(payload[:-1] + b"?")

    with double(alter) as port, load("echo", port) as made:
        made.connect([b""])
        made.talk()
        until(made, lambda counts: counts["altered"] > 0)
        assert "is not what was sent" in made.words()[0]


def test_an_echo_that_went_to_another_connection_is_found() -> None:
    heard: list[tuple[Link, bytes]] = []

    def swap(link: Link, payload: bytes) -> None:
        heard.append((link, payload))
        if len(heard) == 2:
            (one, first), (other, second) = heard
            one.say(second)
            other.say(first)

    with double(swap) as port, load("echo", port) as made:
        made.connect([b""] * 2)
        until(made, lambda counts: counts["joined"] == 2)
        made.talk()
        assert until(made, lambda counts: counts["messages_received"] >= 2)["echoes"] == 0


def test_a_close_is_counted_by_its_code() -> None:
    with double(lambda link, _: link.close(4001)) as port, load("echo", port) as made:
        made.connect([b""] * 2)
        until(made, lambda counts: counts["joined"] == 2)
        made.talk()
        until(made, lambda counts: counts["lost"] == 2)
        assert made.closes() == {4001: 2}


def test_heartbeats_are_sent_and_their_answers_counted() -> None:
    with double(echo) as port, load("hold", port, heartbeat_ms=20) as made:
        made.connect([b""] * 2)
        until(made, lambda counts: counts["heartbeats_answered"] >= 6)


# Joining --------------------------------------------------------------------------------------------------------------


def test_a_connection_that_fails_is_tried_again() -> None:
    with double(echo) as port:
        pass
    with load("hold", port) as made:
        made.connect([b""])
        until(made, lambda counts: counts["retries"] >= 2)


def test_an_answer_that_is_not_connected_is_no_joining() -> None:
    with double(echo) as port, load("hold", port) as made:
        made.connect([b"\x08\x01\x52\x00"])  # a Connect, which no server sends
        counts = until(made, lambda counts: counts["retries"] >= 1)
        assert counts["joined"] == 0
        assert "expected Connected" in made.words()[0]


def test_connections_that_were_cut_are_not_lost_and_their_place_is_used_again() -> None:
    with double(echo) as port, load("echo", port) as made:
        for turn in range(1, 4):
            made.connect([b""] * 2)
            until(made, lambda counts, joined=turn * 2: counts["joined"] == joined)  # type: ignore[misc]
            made.close()
            until(made, lambda counts: counts["open"] == 0)
        assert made.counts()["lost"] == 0


# Fan-out --------------------------------------------------------------------------------------------------------------


def fanned(behave: Behaviour, gather: bool = False) -> dict[str, int]:
    """Four bursts of three messages to three receivers; counts once everybody has got something of the last."""
    with double(behave) as port, load("fanout", port) as made:
        made.connect([b""] * 4)
        until(made, lambda counts: counts["joined"] == 4)
        made.publish(4, 3, gather)
        return until(made, lambda counts: counts["bursts"] == 4)


@pytest.mark.parametrize("gather", [False, True])
def test_every_receiver_gets_every_message(gather: bool) -> None:
    counts = fanned(Room(lambda _, message: [message]), gather)
    assert (counts["published"], counts["deliveries"]) == (12, 36)
    assert (counts["skipped"], counts["repeated"], counts["altered"]) == (0, 0, 0)


def test_a_delivery_that_is_lost_is_found() -> None:
    counts = fanned(Room(lambda member, message: [] if (member, number_of(message)) == (1, 5) else [message]))
    assert (counts["skipped"], counts["deliveries"]) == (1, 35)


def test_a_delivery_that_is_doubled_is_found() -> None:
    counts = fanned(Room(lambda member, message: [message] * (2 if (member, number_of(message)) == (2, 4) else 1)))
    assert (counts["repeated"], counts["deliveries"]) == (1, 36)


def test_a_delivery_that_is_altered_is_found() -> None:
    counts = fanned(Room(lambda _, message: [message[:-1] + b"!"] * (number_of(message) == 2) + [message]))
    assert counts["altered"] == 3


# Stalling -------------------------------------------------------------------------------------------------------------


def stalled(told: bytes) -> dict[str, int]:
    """One of two receivers stops after two messages and loses two more; then it reads on."""

    def spread(member: int, message: bytes) -> list[bytes]:
        number = number_of(message)
        if member == 1 and number in (4, 5):
            return [told] if number == 5 and told else []
        return [message]

    with double(Room(spread)) as port, load("slow", port, stall_one_in=2, stall_after=2) as made:
        for joined in (1, 2, 3):  # one by one, so that the second to take part is the one that stalls
            made.connect([b""])
            until(made, lambda counts, joined=joined: counts["joined"] == joined)  # type: ignore[misc]
        made.publish(6)
        until(made, lambda counts: counts["bursts"] == 6)
        assert made.counts()["stalled"] == 1
        made.resume()
        return until(made, lambda counts: counts["missed"] == 2 and counts["deliveries"] + counts["received"] == 10)


def test_what_a_stalled_receiver_was_told_to_have_missed_is_compared_with_what_it_missed() -> None:
    counts = stalled(b"!2")
    assert (counts["told"], counts["skipped"]) == (2, 0)
    assert stalled(b"")["told"] == 0


# Wrong use ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "outline", "words"),
    [
        ("dance", {}, "plan: expected hold, comeback, echo, fanout, slow or chat"),
        ("echo", {"size": 8}, "size: expected 40 to 60000, got 8"),
        ("echo", {"at_once": 0}, "at_once"),
        ("echo", {"source": "here"}, "source"),
        ("echo", {"tls": "/nothing/there.pem"}, "/nothing/there.pem"),
    ],
)
def test_a_wrong_outline_is_refused_by_name(plan: str, outline: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Load(plan, host="127.0.0.1", port=1, **outline)


def test_a_plan_does_only_what_it_can() -> None:
    with load("hold", 1) as made, pytest.raises(RuntimeError, match="publish: the plan Hold does not do that"):
        made.publish(1)


def test_after_stop_there_is_nothing_to_order() -> None:
    with load("hold", 1) as made:
        made.stop()
        made.stop()
        with pytest.raises(RuntimeError, match="ended"):
            made.connect([b""])
