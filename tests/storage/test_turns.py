"""Turns by user in front of the writer and the readers: pure, and on a store whose disk stands still."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from longlink import errors
from longlink.config import Storage
from longlink.errors import LonglinkError
from longlink.storage.base import Append, Appended, Mark, Marked
from longlink.storage.sqlite import SqliteStore, open_store
from longlink.storage.sqlite import requests as kinds
from longlink.storage.sqlite.changes import OneQuery, list_query
from longlink.storage.sqlite.history import history_query
from longlink.storage.sqlite.read_turns import ENTRIES, Query, ReadJob, ReadTurns, weigh
from longlink.storage.sqlite.requests import Appends, Job, Part, Request, entries
from longlink.storage.sqlite.shares import SHARE, Shares
from longlink.storage.sqlite.turns import TURN, TURN_BYTES, Turns

from .scene import direct, say, stored, texts


def _job(request: Request) -> Job:
    future: asyncio.Future[kinds.Answer] = asyncio.Future(loop=_LOOP)
    found = entries(request)
    return Job(request, future, found, sum(size for _, size in found))


_LOOP = asyncio.new_event_loop()


def _appends(*senders: str, size: int = 0) -> Job:
    return _job(Appends([Append("c", sender, "", b"x" * size) for sender in senders]))


def _senders(parts: list[Part]) -> list[str]:
    found: list[str] = []
    for part in parts:
        assert isinstance(part.request, Appends)
        found += [item.sender for item in part.request.items]
    return found


# Writes, pure ---------------------------------------------------------------------------------------------------------


def test_what_fits_into_one_commit_keeps_the_order_of_the_calls() -> None:
    turns = Turns(10, 1_000)
    jobs = [_appends("a", "b"), _appends("a"), _appends("c")]
    for job in jobs:
        turns.put(job, late=False)
    assert [(part.job, part.places) for part in turns.take()] == [(job, None) for job in jobs]
    assert turns.take() == []


def test_somebody_with_one_write_waits_for_a_turn_of_the_others_only() -> None:
    turns = Turns(2 * TURN, 1 << 30)
    turns.put(_appends(*["flood"] * 1_000), late=False)
    turns.put(_appends("innocent"), late=False)
    assert _senders(turns.take()) == ["flood"] * TURN + ["innocent"] + ["flood"] * (TURN - 1)


def test_calls_of_many_users_are_split_so_that_each_waits_for_their_own() -> None:
    turns = Turns(2 * TURN, 1 << 30)
    turns.put(_appends(*["flood"] * 500, "one", *["flood"] * 500, "two"), late=False)
    first = turns.take()
    assert _senders(first) == ["flood"] * TURN + ["one", "two"] + ["flood"] * (TURN - 2)
    assert [part.places for part in first][1:3] == [[500], [1_001]]


def test_a_turn_and_a_commit_are_bounded_in_bytes() -> None:
    turns = Turns(1_000, 3 * TURN_BYTES)
    for _ in range(10):
        turns.put(_appends("flood", size=TURN_BYTES // 2 + 1), late=False)
    turns.put(_appends("innocent", size=1), late=False)
    taken = _senders(turns.take())
    assert taken[:3] == ["flood", "flood", "innocent"]
    assert len(taken) <= 7


def test_nothing_is_due_while_only_late_writes_wait() -> None:
    turns = Turns(4, 1_000)
    turns.put(_appends("a"), late=True)
    assert turns.take() == []
    turns.put(_appends("b"), late=False)
    assert _senders(turns.take()) == ["a", "b"]
    for _ in range(4):
        turns.put(_appends("a"), late=True)
    assert len(turns.take()) == 4, "a whole commit of them does not wait"


@given(
    calls=st.lists(st.lists(st.sampled_from("abcde"), min_size=1, max_size=60), max_size=30),
    takes=st.lists(st.booleans(), max_size=60),
    most=st.integers(1, 50),
)
def test_every_write_is_taken_once_and_those_of_one_user_in_their_order(
    calls: list[list[str]], takes: list[bool], most: int
) -> None:
    turns, taken = Turns(most, 1 << 30), dict[str, list[str]]()
    number, waiting = 0, list(calls)

    def take() -> bool:
        parts = turns.take()
        assert sum(len(part.job.entries if part.places is None else part.places) for part in parts) <= max(most, 60)
        for part in parts:
            assert isinstance(part.request, Appends)
            for item in part.request.items:
                taken.setdefault(item.sender, []).append(item.client_id)
        return bool(parts)

    for now in takes:
        if now:
            take()
        elif waiting:
            items = []
            for sender in waiting.pop(0):
                number += 1
                items.append(Append("c", sender, f"{number:06}", b""))
            turns.put(_job(Appends(items)), late=False)
    while take():
        pass
    assert sum(map(len, taken.values())) == number
    assert all(names == sorted(names) for names in taken.values())
    assert not turns


def test_a_user_may_hold_an_eighth_of_the_room_that_is_left() -> None:
    shares = Shares(900, 1 << 30)
    left_out = shares.take([("flood", 0)] * 1_000)
    assert len(left_out) == 1_000 - 900 // SHARE
    assert left_out == list(range(1_000 - len(left_out), 1_000)), "the first ones stay, so that the order is kept"
    assert shares.take([("innocent", 0)]) == []
    assert shares.take([("flood", 0)]) == [0]
    shares.release([("flood", 0)] * (900 // SHARE))
    assert shares.take([("flood", 0)]) == []


def test_many_floods_together_leave_room() -> None:
    shares = Shares(20_000, 1 << 30)
    for number in range(40):
        shares.take([(f"flood-{number}", 0)] * 20_000)
    assert shares.waiting < 20_000
    assert shares.take([("innocent", 0)] * 8) == []


# Writes, on a store ---------------------------------------------------------------------------------------------------


def _count(store: SqliteStore, name: str) -> float:
    value = store.stats()[name]
    assert not isinstance(value, tuple)
    return value


def test_one_who_floods_is_refused_and_nobody_else_waits_for_them(tmp_path: Path) -> None:
    async def story() -> None:
        store = await open_store(tmp_path, Storage(batch=64))
        chat, other = (await direct(store)).id, (await direct(store, "carol", "dave")).id
        order: list[str] = []
        with store.gate:
            flood = [asyncio.ensure_future(say(store, chat, str(number))) for number in range(2_000)]
            while _count(store, "writes_waiting") != 2_000:  # noqa: ASYNC110 - turns of the loop, no wait
                await asyncio.sleep(0)
            innocent = asyncio.ensure_future(say(store, other, "hello", sender="carol"))
            flood[-1].add_done_callback(lambda _: order.append("flood"))
            innocent.add_done_callback(lambda _: order.append("innocent"))
            await asyncio.sleep(0)
        commits = _count(store, "commits")
        await innocent
        assert _count(store, "commits") - commits <= 3
        await asyncio.gather(*flood)
        assert order == ["innocent", "flood"]
        await store.close()

    asyncio.run(asyncio.wait_for(story(), 60))


def test_of_a_batch_only_what_is_beyond_the_share_of_its_user_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        store = await open_store(tmp_path, Storage(queue=800, batch=64))
        chat, other = (await direct(store)).id, (await direct(store, "carol", "dave")).id
        items = [Append(chat, "alice", str(number), b"") for number in range(300)]
        items.insert(200, Append(other, "carol", "hello", b""))
        results = await store.messages.append(items)
        kept, (hello,), refused = results[:100], results[200:201], results[100:200] + results[201:]
        assert [one.seq for one in stored(kept)] == list(range(1, 101))
        assert isinstance(hello, Appended)
        assert {one.row for one in refused if isinstance(one, LonglinkError)} == {errors.OVERLOADED}
        assert all(isinstance(one, LonglinkError) and one.retry_after_ms for one in refused)
        assert _count(store, "writes_over_share") == 200
        assert len(await texts(store, chat)) == 100
        await store.close()

    asyncio.run(asyncio.wait_for(story(), 60))


def test_a_split_batch_is_answered_whole_and_in_its_order(tmp_path: Path) -> None:
    async def story() -> None:
        store = await open_store(tmp_path, Storage(batch=16))
        chat = (await direct(store)).id
        names = [str(number) for number in range(100)]
        results = await store.messages.append(
            [Append(chat, ("alice", "bob")[number % 2], name, name.encode()) for number, name in enumerate(names)]
        )
        by_seq = {one.seq: names[place] for place, one in enumerate(stored(results))}
        assert [by_seq[seq].encode() for seq in range(1, 101)] == await texts(store, chat)
        marks = [Mark(chat, ("alice", "bob")[number % 2], number + 1) for number in range(100)]
        marked = await store.conversations.mark([*marks, Mark("d_none", "bob", 1)])
        assert [one.delivered for one in marked[98:100] if isinstance(one, Marked)] == [99, 100]
        assert isinstance(marked[100], LonglinkError)
        await store.users.remember([f"user-{number}" for number in range(40)])
        await store.close()

    asyncio.run(asyncio.wait_for(story(), 60))


def test_a_read_waits_for_the_writes_of_its_own_user_only(tmp_path: Path) -> None:
    async def story() -> None:
        store = await open_store(tmp_path, Storage())
        chat = (await direct(store)).id
        await say(store, chat, "one")
        with store.gate:
            behind = asyncio.ensure_future(say(store, chat, "two"))
            await asyncio.sleep(0)
            page = await store.messages.history(chat, "bob", after=0, before=0, limit=5, page_bytes=1 << 20)
            assert page.head == 1
            own = asyncio.ensure_future(
                store.messages.history(chat, "alice", after=0, before=0, limit=5, page_bytes=1 << 20)
            )
            await asyncio.sleep(0)
            assert not own.done()
        await behind
        assert (await own).head == 2
        await store.close()

    asyncio.run(asyncio.wait_for(story(), 60))


# Reads ----------------------------------------------------------------------------------------------------------------


def _read(user: str, limit: int = 1) -> ReadJob:
    query: Query = history_query("c", user, 0, 0, limit, 1 << 20)
    return ReadJob(query, asyncio.Future(loop=_LOOP), weigh(query))


def test_of_one_user_one_look_is_under_way() -> None:
    turns = ReadTurns(2)
    for _ in range(3):
        turns.put(_read("flood", 1_000))
    first = turns.take()
    assert [job.query.user for job in first] == ["flood"]
    assert turns.take() == []
    turns.put(_read("innocent"))
    assert [job.query.user for job in turns.take()] == ["innocent"]
    turns.done(first)
    assert [job.query.user for job in turns.take()] == ["flood"]


def test_small_reads_are_one_look_and_a_large_one_goes_alone() -> None:
    turns = ReadTurns(1)
    for user, limit in (("a", 1), ("b", 1), ("large", ENTRIES), ("c", 1)):
        turns.put(_read(user, limit))
    assert [job.query.user for job in turns.take()] == ["a", "b"]
    assert [job.query.user for job in turns.take()] == ["large"]
    assert [job.query.user for job in turns.take()] == ["c"]


def test_one_who_asks_for_large_pages_sits_out_turns_of_those_who_ask_for_small_ones() -> None:
    turns = ReadTurns(1)
    for _ in range(6):
        turns.put(_read("large", 4 * ENTRIES))
        for _ in range(4):
            turns.put(_read("small"))
    served: list[str] = []
    while jobs := turns.take():
        served += [job.query.user for job in jobs]
        turns.done(jobs)
    assert served.count("large") == 6
    assert served.count("small") == 24
    assert served[:11].count("large") <= 3, "about one large page for four small ones"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 500)), max_size=60), st.data())
def test_every_read_is_taken_once_and_those_of_one_user_in_their_order(
    reads: list[tuple[str, int]], data: st.DataObject
) -> None:
    turns = ReadTurns(2)
    waiting = [_read(user, limit) for user, limit in reads]
    under_way: list[list[ReadJob]] = []
    taken: list[ReadJob] = []
    for job in waiting:
        turns.put(job)
    while turns:
        jobs = turns.take()
        if jobs:
            busy = [job.query.user for look in under_way for job in look]
            assert not set(busy) & {job.query.user for job in jobs}
            under_way.append(jobs)
            taken += jobs
        else:
            turns.done(under_way.pop(data.draw(st.integers(0, len(under_way) - 1))))
    assert sorted(map(id, taken)) == sorted(map(id, waiting))
    for user in "abc":
        assert [job for job in taken if job.query.user == user] == [job for job in waiting if job.query.user == user]


def test_reads_beyond_the_share_of_a_user_are_refused_and_those_of_others_are_not(tmp_path: Path) -> None:
    async def story() -> None:
        store = await open_store(tmp_path, Storage(queue=800, readers=1))
        chat = (await direct(store)).id
        await say(store, chat, "one")

        async def read(user: str) -> int:
            return (await store.messages.history(chat, user, after=0, before=0, limit=1, page_bytes=1 << 20)).head

        results = await asyncio.gather(*[read("alice") for _ in range(300)], read("bob"), return_exceptions=True)
        assert results[-1] == 1
        refused = [one for one in results if isinstance(one, LonglinkError)]
        assert 0 < len(refused) <= 300 - 800 // (SHARE + 1)
        assert {one.row for one in refused} == {errors.OVERLOADED}
        assert _count(store, "reads_over_share") == len(refused)
        await store.close()

    asyncio.run(asyncio.wait_for(story(), 60))


def test_the_weight_of_a_read_is_what_it_may_find() -> None:
    assert weigh(OneQuery("a", "c")) == 1
    assert weigh(list_query("a", 0, "", 7)) == 7
