"""Calls that wait for logic: their order, their bounds, their deadlines."""

from __future__ import annotations

import asyncio

from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Content, Frame, Send
from longlink.routing.calls import Call, Reply
from longlink.routing.sessions import Session
from longlink.routing.trunk.unanswered import Bounds, Unanswered

ALICE = Session("alice", "phone", "", 1, 1, 1, Encoding.BINARY)
BOUNDS = Bounds(calls=10, call_bytes=1_000, answer_s=8.0)


def calls(count: int, size: int = 10) -> list[Call]:
    frames = [Frame(id=number, send=Send(content=Content(text="x" * size))) for number in range(1, count + 1)]
    return [Call(ALICE, frame) for frame in frames]


def future() -> asyncio.Future[list[Reply]]:
    return asyncio.get_running_loop().create_future()


def test_batches_wait_in_the_order_in_which_they_came() -> None:
    async def story() -> None:
        waiting = Unanswered(BOUNDS)
        first, second, third = (waiting.add(calls(n), future(), float(n)) for n in (1, 2, 3))
        assert first is not None
        assert second is not None
        assert third is not None
        assert waiting.pop(second.frame.number) is second
        assert waiting.pop(second.frame.number) is None
        fourth = waiting.add(calls(1), future(), 4.0)
        assert list(waiting) == [first, third, fourth]
        assert [request for _, request in third.frame.calls] == [call.frame.SerializeToString() for call in calls(3)]

    asyncio.run(story())


def test_a_batch_beyond_the_bound_of_calls_or_bytes_is_refused_whole_and_fits_once_there_is_room() -> None:
    async def story() -> None:
        for fitting, over in ((calls(10), calls(1)), (calls(2, 450), calls(1, 100))):
            waiting = Unanswered(BOUNDS)
            kept = waiting.add(fitting, future(), 0.0)
            assert kept is not None
            assert waiting.add(over, future(), 0.0) is None
            assert waiting.calls == len(fitting)
            assert waiting.pop(kept.frame.number) is kept
            assert (waiting.calls, waiting.bytes) == (0, 0)
            assert waiting.add(over, future(), 0.0) is not None

    asyncio.run(story())


def test_where_nothing_waits_any_batch_is_taken_so_that_none_is_refused_for_ever() -> None:
    async def story() -> None:
        waiting = Unanswered(BOUNDS)
        assert waiting.add(calls(11, 1_000), future(), 0.0) is not None
        assert waiting.add(calls(1), future(), 0.0) is None

    asyncio.run(story())


def test_what_has_waited_too_long_is_given_up_oldest_first_and_makes_room() -> None:
    async def story() -> None:
        waiting = Unanswered(BOUNDS)
        batches = [waiting.add(calls(2), future(), at) for at in (0.0, 1.0, 2.0)]
        deadlines = [waiting.next_until_s]
        assert waiting.expired(7.9) == []
        assert waiting.expired(9.0) == batches[:2]
        deadlines.append(waiting.next_until_s)
        assert waiting.calls == 2
        assert waiting.expired(99.0) == batches[2:]
        deadlines.append(waiting.next_until_s)
        assert deadlines == [8.0, 10.0, None]
        assert (waiting.calls, waiting.bytes) == (0, 0)

    asyncio.run(story())
