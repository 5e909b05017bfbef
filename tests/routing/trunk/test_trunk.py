"""The trunk as a whole: calls, sessions and parcels between processes, and what becomes of them when one of them dies.

Read next: stage.py.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from msgspec import structs

from longlink import errors
from longlink.errors import LonglinkError
from longlink.routing import registry
from longlink.routing.bus.base import Ending, Parcel
from longlink.routing.sessions import FRESH, Arrival
from longlink.routing.trunk import gateway as gateways
from longlink.routing.trunk import logic as logics
from longlink.routing.trunk.frames import Came, Hello, Welcome, encode
from longlink.routing.trunk.gateway import ANNOUNCED
from longlink.routing.trunk.unanswered import Bounds

from .stage import BOUNDS, SECRET, Stage, answers, play, send, session, until

EAST, WEST = 1, 2
HELLO = Hello(SECRET, EAST, again=False, restarts=0, numbers=b"")


def test_calls_are_answered_in_order_whichever_gateway_they_come_from(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        await stage.start_logic()
        (east, _, _), (west, _, _) = await stage.gateway(EAST), await stage.gateway(WEST)
        alice, bob = session("alice", EAST, 1), session("bob", WEST, 1)
        replies = await asyncio.gather(east.handle(send(alice, "a", "b")), west.handle(send(bob, "c")))
        assert [answers(each) for each in replies] == [[(1, "a"), (2, "b")], [(1, "c")]]

    play(tmp_path, story)


def test_batches_take_effect_in_order_whether_or_not_the_first_is_answered(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        logic = await stage.start_logic()
        trunk, _, _ = await stage.gateway(EAST)
        alice = session("alice", EAST, 1)
        logic.open_gate.clear()
        under_way = [asyncio.ensure_future(trunk.handle(send(alice, f"{n}a", f"{n}b"))) for n in range(20)]
        await until(lambda: len(logic.taken) == 40)
        assert logic.taken == [f"{n}{half}" for n in range(20) for half in "ab"]
        logic.open_gate.set()
        assert [answers(await one) for one in under_way] == [[(1, f"{n}a"), (2, f"{n}b")] for n in range(20)]

    play(tmp_path, story)


def test_when_logic_comes_back_it_hears_all_sessions_then_the_unanswered_in_order_then_what_is_new(
    tmp_path: Path,
) -> None:
    async def story(stage: Stage) -> None:
        logic = await stage.start_logic()
        trunk, gateway, _ = await stage.gateway(EAST)
        gateway.here = [session(f"user-{n}", EAST, n) for n in range(ANNOUNCED + 7)]
        alice = gateway.here[0]
        assert answers(await trunk.handle(send(alice, "answered"))) == [(1, "answered")]
        logic.open_gate.clear()
        under_way = [asyncio.ensure_future(trunk.handle(send(alice, f"{n}"))) for n in range(3)]
        await until(lambda: len(logic.taken) == 4)
        await stage.kill_logic()
        under_way += [asyncio.ensure_future(trunk.handle(send(alice, f"{n}"))) for n in range(3, 6)]
        again = await stage.start_logic()
        assert [answers(await one) for one in under_way] == [[(1, f"{n}")] for n in range(6)]
        assert again.taken == [f"{n}" for n in range(6)]
        assert again.known == [ANNOUNCED + 7] * 6, "nobody is unknown when his call takes effect"
        assert [(hello.gateway, hello.again, hello.restarts) for hello in again.here] == [(EAST, True, 3)]
        assert gateway.heard == ["missed"], "once, and not when the trunk opened first"
        assert trunk.numbers() == {
            "attached": 2,
            "resent_calls": 6,
            "refused_calls": 0,
            "expired_calls": 0,
            "late_replies": 0,
            "unanswered_calls": 0,
            "unanswered_bytes": 0,
        }

    play(tmp_path, story)


def test_calls_wait_for_a_logic_that_is_not_there_yet(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        trunk, gateway, _ = await stage.gateway(EAST)
        waiting = asyncio.ensure_future(trunk.handle(send(session("alice", EAST, 1), "early")))
        await asyncio.sleep(0)
        await stage.start_logic()
        assert answers(await waiting) == [(1, "early")]
        assert gateway.heard == []

    play(tmp_path, story)


def test_a_call_that_waits_too_long_is_answered_and_its_late_answer_is_dropped(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        logic = await stage.start_logic()
        trunk, _, counts = await stage.gateway(EAST)
        alice = session("alice", EAST, 1)
        logic.open_gate.clear()
        late = asyncio.ensure_future(trunk.handle(send(alice, "a", "b")))
        await until(lambda: len(logic.taken) == 2)
        stage.clock.now_s += 7.9
        in_time = asyncio.ensure_future(trunk.handle(send(alice, "c")))
        trunk.give_up()
        await until(lambda: len(logic.taken) == 3)
        assert not late.done()
        stage.clock.now_s += 0.1
        trunk.give_up()
        assert answers(await late) == [(1, "logic_unavailable"), (2, "logic_unavailable")]
        logic.open_gate.set()
        assert answers(await in_time) == [(1, "c")]
        assert trunk.numbers()["late_replies"] == trunk.numbers()["expired_calls"] == 2
        assert counts.errors == {errors.LOGIC_UNAVAILABLE.name: 2}

    play(tmp_path, story)


def test_a_call_that_was_given_up_is_not_sent_again(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        trunk, _, _ = await stage.gateway(EAST)
        alice = session("alice", EAST, 1)
        late = asyncio.ensure_future(trunk.handle(send(alice, "late")))
        await asyncio.sleep(0)
        stage.clock.now_s += 5
        waiting = asyncio.ensure_future(trunk.handle(send(alice, "waiting")))
        await asyncio.sleep(0)
        stage.clock.now_s += 3
        trunk.give_up()
        assert answers(await late) == [(1, "logic_unavailable")]
        logic = await stage.start_logic()
        assert answers(await waiting) == [(1, "waiting")]
        assert logic.taken == ["waiting"]

    play(tmp_path, story)


def test_more_calls_than_may_wait_are_refused_at_once_and_the_others_are_answered(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        trunk, _, counts = await stage.gateway(EAST, Bounds(3, 10_000, 8.0))
        alice = session("alice", EAST, 1)
        first = asyncio.ensure_future(trunk.handle(send(alice, "a", "b")))
        await asyncio.sleep(0)
        assert answers(await trunk.handle(send(alice, "c", "d"))) == [(1, "overloaded"), (2, "overloaded")]
        assert trunk.numbers()["refused_calls"] == counts.errors[errors.OVERLOADED.name] == 2
        await stage.start_logic()
        assert answers(await first) == [(1, "a"), (2, "b")]

    play(tmp_path, story)


def test_before_a_logic_that_reads_nothing_no_more_piles_up_than_may_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateways, "HIGH_BYTES", 2**20)

    async def story(stage: Stage) -> None:
        trunk, _, _ = await stage.gateway(EAST)
        alice = session("alice", EAST, 1)
        with await stage.hung_logic() as hung:
            await asyncio.get_running_loop().sock_sendall(hung, encode([Welcome()]))
            await trunk.attached()
            said: list[str] = []
            while "overloaded" not in said and len(said) < 100:
                late = asyncio.ensure_future(trunk.handle(send(alice, "x" * 2**16)))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                stage.clock.now_s += BOUNDS.answer_s
                trunk.give_up()
                said += [name for _, name in answers(await late)]
        assert set(said[:-1]) == {"logic_unavailable"}
        assert said[-1] == "overloaded"
        assert trunk.numbers()["refused_calls"] == 1
        await stage.start_logic()
        await until(lambda: trunk.numbers()["attached"] == 2)
        assert answers(await trunk.handle(send(alice, "a"))) == [(1, "a")]

    play(tmp_path, story)


# Sessions -------------------------------------------------------------------------------------------------------------


def test_a_session_that_is_resumed_while_all_are_announced_is_one_of_them(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        logic = await stage.start_logic()
        trunk, gateway, _ = await stage.gateway(EAST)
        await trunk.attached()
        await stage.kill_logic()
        resumed = session("alice", EAST, 10 * ANNOUNCED)
        gateway.here = [session(f"user-{n}", EAST, n + 1) for n in range(2 * ANNOUNCED)]
        adding: list[asyncio.Task[None]] = []
        gateway.between = lambda: adding.append(asyncio.ensure_future(trunk.add(resumed, Arrival(link=7))))
        logic = await stage.start_logic()
        await trunk.handle(send(resumed, "a"))
        assert adding
        assert logic.present("alice") == [resumed]
        assert gateway.heard == ["missed"]

    play(tmp_path, story)


def test_a_call_meets_the_session_that_was_added_before_it(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        logic = await stage.start_logic()
        trunk, _, _ = await stage.gateway(EAST)
        alice, bob = session("alice", EAST, 1), session("bob", EAST, 2)
        await trunk.handle(send(alice, "the trunk is open"))
        await trunk.add(alice, FRESH)
        await trunk.add(bob, FRESH)
        await trunk.remove(bob)
        await trunk.handle(send(alice, "a"))
        assert logic.present("alice", "bob") == [alice]

    play(tmp_path, story)


def test_the_same_device_on_another_gateway_ends_the_first_one_there(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        logic = await stage.start_logic()
        (east, first, _), (west, second, _) = await stage.gateway(EAST), await stage.gateway(WEST)
        older, newer = session("alice", EAST, 1), session("alice", WEST, 2)
        await asyncio.gather(east.handle(send(older, "open")), west.handle(send(newer, "open")))
        await east.add(older, FRESH)
        await east.handle(send(older, "added"))
        await west.add(newer, FRESH)
        await until(lambda: len(first.heard) == 1)
        assert first.heard == [Ending(older.link, 1, errors.REPLACED.code, "device 'phone' connected again")]
        assert second.heard == []
        assert logic.present("alice") == [newer]

    play(tmp_path, story)


def test_a_gateway_that_ends_is_forgotten_and_the_others_stay(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        logic = await stage.start_logic()
        (east, first, _), (west, second, _) = await stage.gateway(EAST), await stage.gateway(WEST)
        first.here = [session(f"user-{n}", EAST, n) for n in range(50)]
        second.here = [session(f"user-{n}", WEST, n, "tablet") for n in range(50)]
        # Announced when the trunk opens, which is after this turn of the loop.
        await asyncio.gather(east.handle(send(first.here[0], "a")), west.handle(send(second.here[0], "b")))
        assert logic.sessions.count == 100
        await east.stop()
        await until(lambda: logic.sessions.count == 50)
        assert logic.hub.gateways == [WEST]
        logic.hub.publish(EAST, [Parcel((1,), b"x", 1, text=False)])
        logic.hub.end(EAST, [Ending(1, 1, 4520, "")])

    play(tmp_path, story)


def test_a_trunk_that_its_gateway_ends_is_not_told_as_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(stage: Stage) -> None:
        await stage.start_logic()
        (east, _, _), (west, _, _) = await stage.gateway(EAST), await stage.gateway(WEST)
        await asyncio.gather(east.attached(), west.attached())
        await east.stop()
        assert "trunk_lost" not in caplog.messages
        await stage.kill_logic()
        await until(lambda: "trunk_lost" in caplog.messages)

    play(tmp_path, story)


def test_a_new_process_takes_the_place_of_one_whose_end_logic_has_not_seen(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        logic = await stage.start_logic()
        old, gateway = session("old", EAST, 1), session("new", EAST, 2)
        with socket.socket(socket.AF_UNIX) as frozen:
            frozen.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(frozen, stage.path)
            await loop.sock_sendall(frozen, encode([HELLO]))
            await loop.sock_recv(frozen, 100)
            await loop.sock_sendall(frozen, encode([Came([(old, FRESH)], again=False)]))
            await until(lambda: logic.sessions.count == 1)
            trunk, receiver, _ = await stage.gateway(EAST)
            receiver.here = [gateway]
            await trunk.handle(send(gateway, "a"))
            assert await loop.sock_recv(frozen, 100) == b""
        assert logic.present("old", "new") == [gateway]
        assert logic.hub.gateways == [EAST]

    play(tmp_path, story)


def test_a_new_process_is_welcomed_only_when_all_sessions_of_the_one_before_are_detached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that forgetting takes many turns of the loop.
    monkeypatch.setattr(registry, "FORGOTTEN", 1)

    async def story(stage: Stage) -> None:
        logic = await stage.start_logic()
        count = 400
        old, before, _ = await stage.gateway(EAST)
        before.here = [session(f"user-{n}", EAST, n) for n in range(count)]
        await old.handle(send(before.here[0], "a"))
        assert logic.sessions.count == count
        await old.stop()
        new, after, _ = await stage.gateway(EAST)
        after.here = [session(f"user-{n}", EAST, count + n) for n in range(count)]
        await new.handle(send(after.here[0], "b"))
        assert logic.present(*(f"user-{n}" for n in range(count))) == after.here

    play(tmp_path, story)


# The bus --------------------------------------------------------------------------------------------------------------


def test_parcels_and_endings_arrive_in_order_at_the_gateway_they_are_for(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        logic = await stage.start_logic()
        (east, first, _), (_, second, _) = await stage.gateway(EAST), await stage.gateway(WEST)
        await east.handle(send(session("alice", EAST, 1), "open"))
        parcels = [Parcel((n, n + 1), bytes([n]), 1, text=bool(n % 2)) for n in range(10)]
        ending = Ending(5, 5, 4520, "why")
        logic.hub.publish(EAST, parcels[:5])
        logic.hub.end(EAST, [ending])
        logic.hub.publish(EAST, parcels[5:])
        await until(lambda: len(first.heard) == 11)
        assert first.heard == [*parcels[:5], ending, *parcels[5:]]
        assert second.heard == []

    play(tmp_path, story)


def test_a_broadcast_reaches_every_gateway(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        logic = await stage.start_logic()
        assert logic.hub.broadcast(b"a", b"b") == 0
        (east, first, _), (west, second, _) = await stage.gateway(EAST), await stage.gateway(WEST)
        await asyncio.gather(east.attached(), west.attached())
        assert logic.hub.broadcast(b"frame", b"{}") == 2
        await until(lambda: bool(first.heard and second.heard))
        assert first.heard == second.heard == [(b"frame", b"{}")]

    play(tmp_path, story)


def test_a_broadcast_passes_by_a_gateway_that_does_not_keep_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logics, "WAITING_BYTES", 2**20)

    async def story(stage: Stage) -> None:
        logic = await stage.start_logic()
        (east, slow, _), (west, second, _) = await stage.gateway(EAST), await stage.gateway(WEST)
        await asyncio.gather(east.attached(), west.attached())
        while not logic.hub.numbers()["dropped_parcels"]:
            await asyncio.sleep(0)
            for _ in range(10):
                logic.hub.publish(EAST, [Parcel((1,), bytes(2**20), 1, text=False)])
        dropped = logic.hub.numbers()["dropped_parcels"]
        assert logic.hub.broadcast(b"frame", b"{}") == 1
        assert logic.hub.numbers()["dropped_parcels"] == dropped + 1
        await until(lambda: bool(second.heard) and "missed" in slow.heard)
        assert (b"frame", b"{}") not in slow.heard

    play(tmp_path, story)


def test_a_gateway_that_does_not_keep_up_loses_parcels_and_hears_of_it_when_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logics, "WAITING_BYTES", 2**20)

    async def story(stage: Stage) -> None:
        logic = await stage.start_logic()
        trunk, gateway, _ = await stage.gateway(EAST)
        alice = session("alice", EAST, 1)
        await trunk.handle(send(alice, "open"))
        # The loop goes round between these, but the other end reads little of what one turn writes.
        parcel = Parcel((1,), bytes(2**20), 1, text=False)
        published = 0
        while not logic.hub.numbers()["dropped_parcels"]:
            for _ in range(10):
                logic.hub.publish(EAST, [parcel])
                published += 1
            await asyncio.sleep(0)
        await until(lambda: "missed" in gateway.heard)
        assert gateway.heard.count(parcel) == published - logic.hub.numbers()["dropped_parcels"]
        assert gateway.heard[-1] == "missed"
        logic.hub.publish(EAST, [parcel])
        await until(lambda: gateway.heard[-1] == parcel)

    play(tmp_path, story)


# Questions and strangers ----------------------------------------------------------------------------------------------


def test_both_ends_can_ask_the_other_one(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        logic = await stage.start_logic()
        trunk, _, _ = await stage.gateway(EAST)
        await trunk.handle(send(session("alice", EAST, 1), "open"))
        assert list(await asyncio.gather(trunk.ask("greeting"), trunk.ask("greeting"))) == [b"hello", b"hello"]
        assert await logic.hub.ask(EAST, "numbers") == b"good day"
        with pytest.raises(LonglinkError, match="the disk is full") as caught:
            await trunk.ask("trouble")
        assert caught.value.row is errors.STORAGE_UNAVAILABLE

    play(tmp_path, story)


def test_the_late_answer_to_one_question_is_no_answer_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(stage: Stage) -> None:
        logic = await stage.start_logic()
        trunk, _, _ = await stage.gateway(EAST)
        await trunk.handle(send(session("alice", EAST, 1), "open"))
        logic.open_gate.clear()
        monkeypatch.setattr(gateways, "ASKED_S", 0.01)
        with pytest.raises(LonglinkError, match="logic has not answered"):
            await trunk.ask("greeting")
        monkeypatch.setattr(gateways, "ASKED_S", 10.0)
        asked = asyncio.ensure_future(trunk.ask("other greeting"))
        await asyncio.sleep(0)
        logic.open_gate.set()
        assert await asked == b"good evening"

    play(tmp_path, story)


def test_a_question_to_an_end_that_is_away_or_goes_is_answered_with_that(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        trunk, _, _ = await stage.gateway(EAST)
        with pytest.raises(LonglinkError, match="logic is not there"):
            await trunk.ask("greeting")
        logic = await stage.start_logic()
        with pytest.raises(LonglinkError, match="gateway 2 is not there"):
            await logic.hub.ask(WEST, "numbers")
        await trunk.handle(send(session("alice", EAST, 1), "open"))
        logic.open_gate.clear()
        asked = asyncio.ensure_future(trunk.ask("greeting"))
        await asyncio.sleep(0)
        await stage.kill_logic()
        with pytest.raises(LonglinkError, match="logic has gone"):
            await asked

    play(tmp_path, story)


STRANGER = encode([structs.replace(HELLO, secret=b"guessed")])


@pytest.mark.parametrize("said", [b"", b"\xff" * 8, b"\x01\0\0\0\xff", encode([])])
def test_who_does_not_know_the_secret_or_speaks_no_trunk_is_let_go_and_changes_nothing(
    tmp_path: Path, said: bytes
) -> None:
    async def story(stage: Stage) -> None:
        logic = await stage.start_logic()
        trunk, _, _ = await stage.gateway(EAST)
        alice = session("alice", EAST, 1)
        await trunk.handle(send(alice, "open"))
        stranger = socket.socket(socket.AF_UNIX)
        stranger.setblocking(False)
        with stranger:
            loop = asyncio.get_running_loop()
            await loop.sock_connect(stranger, stage.path)
            await loop.sock_sendall(stranger, said + STRANGER)
            assert await asyncio.wait_for(loop.sock_recv(stranger, 1), 10) == b""
        assert answers(await trunk.handle(send(alice, "a"))) == [(1, "a")]
        assert logic.hub.gateways == [EAST]

    play(tmp_path, story)
