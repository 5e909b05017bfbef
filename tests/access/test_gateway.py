"""The gateway with a core that says what the test wants: the orders of events that real sockets show only by chance.

Handshake, tokens, sessions and the bus are the real ones. Read next: ../scenarios/ for the same over sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from longlink import _core, errors
from longlink.access.arrivals import Arrivals, Event
from longlink.access.gateway import (
    ARRIVALS,
    MISSED_STEP_S,
    POLL_LIMIT,
    REASON_BYTES,
)
from longlink.config import Auth
from longlink.errors import LonglinkError
from longlink.protocol import limits
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import (
    Adjust,
    Closing,
    Frame,
    Logout,
    body_name,
)
from longlink.routing.bus.base import Ending, Parcel
from longlink.routing.calls import Call, Reply
from longlink.routing.sessions import Arrival, Session

from .gateway_bench import MISSED_PER_S, NOW_S, Bench, ack, message, play, send, turns


def test_a_good_connect_is_admitted_for_the_life_of_its_token(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.core.happen(bench.connect(7))
        await turns()
        leeway_ms = Auth().leeway_ms
        lifetime_ms, idle_ms = bench.core.admitted[7]
        assert 3_600_000 <= lifetime_ms <= 3_600_000 + leeway_ms
        assert idle_ms == 2.25 * 2_000
        assert [(to, body_name(frame)) for to, frame in bench.core.sent] == [(7, "connected")]
        (session,) = bench.present("alice")
        assert (session.device, session.connection, session.encoding) == ("phone", 7, Encoding.BINARY)

    play(tmp_path, story)


def test_a_token_of_a_month_is_not_ended_before_its_time_and_one_of_a_century_after_a_year(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.core.happen(bench.connect(7, days=30), bench.connect(8, "bob", days=36_500))
        await turns()
        day_ms = 86_400_000
        assert 30 * day_ms <= bench.core.admitted[7][0] <= 30 * day_ms + Auth().leeway_ms
        assert bench.core.admitted[8][0] == 365 * day_ms

    play(tmp_path, story)


def test_one_poll_hands_over_one_batch_for_each_kind_of_request_in_order(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.enter(1)
        await bench.enter(2, "bob")
        bench.core.happen(send(1, 11), send(2, 21), ack(1, 12), send(1, 13), ack(2, 22))
        await turns()
        shown = [[(call.session.user, call.frame.id) for call in batch] for batch in bench.batches]
        assert shown == [[("alice", 11), ("bob", 21), ("alice", 13)], [("alice", 12), ("bob", 22)]]
        assert [(to, frame.id) for to, frame in bench.core.sent] == [(1, 11), (2, 21), (1, 13), (1, 12), (2, 22)]

    play(tmp_path, story)


def test_a_batch_with_one_bad_frame_serves_the_others(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.enter(1)
        await bench.enter(2, "bob")
        bench.core.happen(send(1, 0), (_core.BINARY, 2, b"\xff"), send(1, 12))
        await turns()
        answers = [(to, frame.id, frame.error.name) for to, frame in bench.core.sent]
        assert answers == [
            (1, 0, errors.FIELD_INVALID.name),
            (2, 0, errors.FRAME_MALFORMED.name),
            (1, 12, ""),
        ]
        assert [(to, code) for to, code, _ in bench.core.closed] == [(2, errors.FRAME_MALFORMED.code)]
        assert bench.counts.errors == {errors.FIELD_INVALID.name: 1, errors.FRAME_MALFORMED.name: 1}

    play(tmp_path, story)


def test_a_defect_in_one_frame_costs_its_request_and_no_other_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def check(frame: Frame) -> None:
        if frame.id == 13:
            raise RuntimeError("a defect")

    async def story(bench: Bench) -> None:
        await bench.enter(1)
        await bench.enter(2, "bob")
        monkeypatch.setattr(limits, "check", check)
        bench.core.happen(send(1, 12), send(1, 13), send(1, 14), (_core.CLOSED, 2, 1006))
        await turns()
        answers = sorted((frame.id, frame.error.name) for _, frame in bench.core.sent)
        assert answers == [(12, ""), (13, errors.INTERNAL.name), (14, "")]
        assert bench.core.closed == []
        assert bench.present("bob") == []

    play(tmp_path, story)
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == ["frame_defect"]


def test_a_connection_that_goes_while_it_connects_leaves_no_session(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.open_gate.clear()
        bench.core.happen(bench.connect(7))
        await turns()
        bench.core.happen((_core.CLOSED, 7, 1006))
        await turns()
        bench.open_gate.set()
        await turns()
        assert bench.core.admitted == {}
        assert bench.present("alice") == []

    play(tmp_path, story)


def test_a_frame_while_it_connects_is_refused_and_nobody_is_admitted(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.open_gate.clear()
        bench.core.happen(bench.connect(7))
        await turns()
        bench.core.happen(send(7, 2))
        await turns()
        bench.open_gate.set()
        await turns()
        assert [(to, frame.id, frame.error.name) for to, frame in bench.core.sent] == [
            (7, 2, errors.FRAME_UNEXPECTED.name)
        ]
        assert bench.core.admitted == {}
        assert [code for _, code, _ in bench.core.closed] == [errors.FRAME_UNEXPECTED.code]

    play(tmp_path, story)


def test_nothing_counts_behind_a_refusal(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.enter(1)
        bench.core.happen(send(7, 1), bench.connect(7))
        bench.core.happen(bench.connect(8), send(8, 2), bench.connect(8), send(8, 3))
        await turns()
        assert [(to, code) for to, code, _ in bench.core.closed] == [
            (7, errors.FRAME_UNEXPECTED.code),
            (8, errors.FRAME_UNEXPECTED.code),
        ]
        assert [session.connection for session in bench.present("alice")] == [1]
        assert list(bench.core.admitted) == [1]

    play(tmp_path, story)


def test_the_same_device_again_closes_the_first_and_its_end_does_not_touch_the_second(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.enter(1)
        bench.core.happen(bench.connect(2))
        await turns()
        assert [(to, body_name(frame)) for to, frame in bench.core.sent] == [(2, "connected"), (1, "closing")]
        assert [(to, code) for to, code, _ in bench.core.closed] == [(1, errors.REPLACED.code)]
        bench.core.happen((_core.CLOSED, 1, errors.REPLACED.code))
        await turns()
        assert [session.connection for session in bench.present("alice")] == [2]
        bench.core.happen((_core.CLOSED, 2, 1000))
        await turns()
        assert bench.present("alice") == []

    play(tmp_path, story)


def test_a_user_with_too_many_devices_loses_the_oldest_and_is_told_why(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        for number in range(1, 10):
            bench.core.happen(bench.connect(number, device=f"device-{number}"))
            await turns()
        assert [(to, code) for to, code, _ in bench.core.closed] == [(1, errors.REPLACED.code)]
        ((to, told),) = [(to, frame) for to, frame in bench.core.sent if body_name(frame) == "closing"]
        assert (to, told.closing.message) == (
            1,
            "device 'device-9' connected, and 'device-1' was the oldest of as many as a user may have",
        )

    play(tmp_path, story)


def test_a_newer_connection_that_goes_while_it_is_registered_still_ends_the_older_one(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.enter(1)
        add = bench.registrar.add

        async def add_slowly(session: Session, arrival: Arrival) -> None:
            await turns(3)
            await add(session, arrival)

        bench.registrar.add = add_slowly  # type: ignore[method-assign,assignment]
        bench.core.happen(bench.connect(2))
        await turns(3)
        bench.core.happen((_core.CLOSED, 2, 1006))
        await turns()
        assert [(to, code) for to, code, _ in bench.core.closed] == [(1, errors.REPLACED.code)]
        assert bench.present("alice") == []

    play(tmp_path, story)


def test_an_ending_closes_exactly_the_session_that_it_names(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.enter(1)
        (session,) = bench.present("alice")
        told = Ending(session.link, 1, errors.REPLACED.code, "somebody else is here")
        bench.bus.end(0, [told._replace(link=session.link + 1), told._replace(connection=2)])
        await turns()
        assert (bench.core.sent, bench.core.closed) == ([], [])
        bench.bus.end(0, [told])
        await turns()
        ((to, frame),) = bench.core.sent
        assert (to, frame.closing.code, frame.closing.message) == (1, errors.REPLACED.code, "somebody else is here")
        assert bench.core.closed == [(1, errors.REPLACED.code, "replaced: somebody else is here")]

    play(tmp_path, story)


@pytest.mark.parametrize("encoding", Encoding)
def test_a_reply_comes_in_the_encoding_of_its_session(tmp_path: Path, encoding: Encoding) -> None:
    async def story(bench: Bench) -> None:
        _, _, data = bench.connect(7)
        assert isinstance(data, bytes)
        bench.core.happen(message(7, Encoding.BINARY.decode(data), encoding))
        await turns()
        ((to, frame),) = bench.core.sent
        assert (to, frame.id, frame.connected.user) == (7, 1, "alice")

    play(tmp_path, story)


def test_a_session_that_gives_way_while_it_is_registered_is_connected_and_closed_at_once(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        add = bench.registrar.add

        async def add_and_end(session: Session, arrival: Arrival) -> None:
            await add(session, arrival)
            bench.bus.end(0, [Ending(session.link, session.connection, errors.REPLACED.code, "a newer one is here")])

        bench.registrar.add = add_and_end  # type: ignore[method-assign,assignment]
        bench.core.happen(bench.connect(1))
        await turns()
        assert [body_name(frame) for _, frame in bench.core.sent] == ["connected", "closing"]
        assert [(to, code) for to, code, _ in bench.core.closed] == [(1, errors.REPLACED.code)]

    play(tmp_path, story)


def test_a_connect_that_the_store_cannot_take_is_answered_and_closed_with_its_code(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.refusal = LonglinkError(errors.STORAGE_UNAVAILABLE, "the disk is full")
        bench.core.happen(bench.connect(7))
        await turns()
        assert [(to, frame.error.name) for to, frame in bench.core.sent] == [(7, errors.STORAGE_UNAVAILABLE.name)]
        assert [(to, code) for to, code, _ in bench.core.closed] == [(7, errors.STORAGE_UNAVAILABLE.code)]
        assert (bench.core.admitted, bench.present("alice")) == ({}, [])

    play(tmp_path, story)


def test_a_session_hears_what_it_missed_and_a_connection_without_one_hears_nothing(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.enter(1)
        bench.core.happen((_core.MISSED, 1, 17), (_core.MISSED, 9, 5))
        await turns()
        assert [(to, frame.missed.events) for to, frame in bench.core.sent] == [(1, 17)]

    play(tmp_path, story)


def test_after_a_loss_every_session_that_stays_is_told_a_few_at_a_time(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        for number in range(1, 6):
            await bench.enter(number, device=f"device-{number}")
        bench.bus.end(0, [Ending(next(bench.gateway.sessions(1))[0][0].link, 1, errors.REPLACED.code, "gone")])
        told: list[int] = []
        bench.gateway.missed()
        bench.gateway.missed()
        while len(told) < 4:
            await asyncio.sleep(0)
            parcels, bench.core.parcels = bench.core.parcels, []
            assert sum(len(parcel[0]) for parcel in parcels) <= MISSED_PER_S * MISSED_STEP_S
            told += [connection for parcel in parcels for connection in parcel[0]]
            assert all(body_name(Encoding.BINARY.decode(data)) == "missed" for _, data, _, text in parcels if not text)
        assert told == [2, 3, 4, 5]

    play(tmp_path, story)


def test_a_broadcast_goes_to_every_session_in_its_encoding_and_to_nobody_else(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.enter(1)
        await bench.enter(2, "bob")
        _, _, data = bench.connect(3, "carol")
        assert isinstance(data, bytes)
        bench.core.happen(message(3, Encoding.BINARY.decode(data), Encoding.TEXT), message(4, Frame(id=1)))
        await turns()
        assert bench.bus.broadcast(b"frame", b"{}") == 1
        assert bench.core.parcels == [((1, 2), b"frame", _core.TRANSIENT, False), ((3,), b"{}", _core.TRANSIENT, True)]

    play(tmp_path, story)


def test_parcels_go_to_the_core_as_they_are_with_one_flush_a_turn(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        flushes = bench.core.flushes
        parcels = [Parcel((1, 2), b"binary", 1, text=False), Parcel((3,), b"text", 2, text=True)]
        bench.bus.publish(0, parcels)
        bench.bus.publish(0, parcels)
        await turns()
        assert bench.core.parcels == [tuple(parcel) for parcel in [*parcels, *parcels]]
        assert bench.core.flushes == flushes + 1

    play(tmp_path, story)


def test_more_events_than_one_pass_takes_are_all_served(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.enter(1)
        count = 2 * POLL_LIMIT + 5
        bench.core.happen(*(send(1, id_) for id_ in range(1, count + 1)))
        await turns(30)
        assert [frame.id for _, frame in bench.core.sent] == list(range(1, count + 1))
        assert max(len(batch) for batch in bench.batches) == POLL_LIMIT

    play(tmp_path, story)


def test_a_drain_tells_every_session_and_waits_for_the_calls_under_way(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.enter(1)
        bench.open_gate.clear()
        bench.core.happen(send(1, 5))
        await turns()
        closing = Closing(code=errors.DRAINING.code, name=errors.DRAINING.name)
        drain = asyncio.ensure_future(bench.gateway.drain(0, closing, 5_000))
        await turns()
        assert not drain.done()
        told = [(to, Encoding.BINARY.decode(data).closing.code) for to, data, _, text in bench.core.parcels if not text]
        assert told == [((1,), errors.DRAINING.code)]
        bench.open_gate.set()
        await drain
        assert [frame.id for _, frame in bench.core.sent] == [5]

    play(tmp_path, story)


def test_a_drain_gives_up_calls_that_do_not_end(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.enter(1)
        bench.open_gate.clear()
        bench.core.happen(send(1, 5))
        await turns()
        await bench.gateway.drain(0, Closing(code=errors.DRAINING.code), 20)
        assert bench.core.sent == []

    play(tmp_path, story)


def test_the_reason_of_a_close_fits_into_its_frame_and_is_cut_between_characters(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.core.happen((_core.TEXT, 7, f'{{"{"ü" * 200}": 1}}'.encode()))
        await turns()
        ((_, _, reason),) = bench.core.closed
        assert reason.startswith("frame_unknown: ")
        assert 100 < len(reason.encode()) <= REASON_BYTES

    play(tmp_path, story)


def test_a_defect_in_a_task_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(bench: Bench) -> None:
        await bench.enter(1)
        bench._reply = lambda call: Frame(id=call.frame.id, sent=17)  # type: ignore[arg-type,method-assign]
        bench.core.happen(send(1, 5))
        await turns()

    play(tmp_path, story)
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == ["task_failed"]


# By key ---------------------------------------------------------------------------------------------------------------


def test_a_key_is_enough_to_come_back_and_the_old_link_is_closed(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        key = await bench.enter(1)
        (before,) = bench.present("alice")
        bench.core.happen(bench.resume(2, key, platform="web"))
        await turns()
        ((_, frame), _) = bench.core.sent
        assert (frame.connected.resumed, frame.connected.missed) == (True, False)
        assert bench.core.admitted[2][0] == pytest.approx(bench.core.admitted[1][0], abs=1)
        assert [(to, code) for to, code, _ in bench.core.closed] == [(1, errors.RESUMED.code)]
        (now,) = bench.present("alice")
        assert (now.id, now.connection, now.platform) == (before.id, 2, "")
        assert now.link > before.link
        bench.core.happen((_core.CLOSED, 1, errors.RESUMED.code))
        await turns()
        assert bench.present("alice") == [now]
        assert frame.connected.key not in ("", key)
        assert bench.keys.read(frame.connected.key, NOW_S).link == now.link

    play(tmp_path, story)


def test_an_ending_closes_the_link_that_it_names_and_no_other_of_the_session(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        key = await bench.enter(1)
        bench.core.happen((_core.CLOSED, 1, 1006), bench.resume(2, key))
        await turns()
        (now,) = bench.present("alice")
        told = Ending(now.id, 2, errors.RESUMED.code, "too late")
        bench.bus.end(0, [told])
        assert bench.core.closed == []
        bench.bus.end(0, [told._replace(link=now.link)])
        assert [(to, code) for to, code, _ in bench.core.closed] == [(2, errors.RESUMED.code)]

    play(tmp_path, story)


def test_who_is_told_that_something_was_missed_is_not_told_again(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        key = await bench.enter(1)
        bench.core.happen(bench.resume(2, key, received=5))
        await turns()
        assert bench.core.sent[0][1].connected.missed
        assert bench.core.parcels == []

    play(tmp_path, story)


def test_when_thousands_come_at_once_those_who_are_there_do_not_stand_behind_them(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.enter(1)
        crowd = 3 * ARRIVALS
        bench.core.happen(*(bench.connect(n, f"user-{n}") for n in range(2, crowd + 2)), send(1, 5))
        bench.core.happen((_core.CLOSED, crowd, 1006))
        await turns(30)
        sizes = [(body_name(batch[0].frame), len(batch)) for batch in bench.batches]
        assert sizes == [("send", 1), *[("connect", ARRIVALS)] * 3]
        assert bench.counts.sessions_attached == crowd
        assert bench.present(f"user-{crowd}") == [], "its end did not overtake its beginning"

    play(tmp_path, story)


def test_a_full_waiting_room_leaves_events_to_the_core(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.gateway._arrivals = Arrivals(most=2 * ARRIVALS)
        crowd = 2 * POLL_LIMIT
        bench.core.happen(*(bench.connect(n, f"user-{n}") for n in range(1, crowd + 1)))
        await turns(3)
        assert bench.core.events
        assert len(bench.gateway._arrivals) <= POLL_LIMIT
        await turns(3 * crowd // ARRIVALS)
        assert bench.counts.sessions_attached == crowd

    play(tmp_path, story)


def test_logic_sees_neither_token_nor_key_but_the_link_that_the_key_names(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.core.happen(bench.connect(1))
        await turns()
        (session,) = bench.present("alice")
        ((_, connected),) = bench.core.sent
        bench.core.happen(bench.resume(2, connected.connected.key))
        await turns()
        asked = [call.frame.connect for batch in bench.batches for call in batch]
        assert [(each.token, each.key) for each in asked] == [("", ""), ("", str(session.link))]

    play(tmp_path, story)


def test_a_refused_key_leaves_the_connection_for_a_token(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        key = await bench.enter(1)
        unknown = bench.keys.make(Session("alice", "phone", "", 7, 7, 1, Encoding.BINARY), NOW_S + 1)
        expired = bench.keys.make(Session("alice", "phone", "", 7, 7, 1, Encoding.BINARY), NOW_S)
        for refused, row in (
            (bench.resume(2, key[:-3]), errors.KEY_INVALID),
            (bench.resume(2, expired), errors.KEY_EXPIRED),
            (bench.resume(2, key, device="tab"), errors.KEY_FOREIGN),
            (bench.resume(2, unknown), errors.SESSION_UNKNOWN),
        ):
            bench.core.happen(refused)
            await turns()
            ((to, frame),) = bench.core.sent
            assert (to, frame.error.name) == (2, row.name)
            assert key[:20] not in frame.error.message
            bench.core.sent.clear()
        assert bench.core.closed == []
        bench.core.happen(bench.connect(2, device="tab"))
        await turns()
        assert bench.heard(2) == ["connected"]

    play(tmp_path, story)


def test_without_a_wait_there_is_no_key(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.detached_ms = 0
        assert await bench.enter(1) == ""

    play(tmp_path, story)


def test_what_was_lost_between_the_answer_and_the_link_is_told_behind_connected(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        key = await bench.enter(1)
        bench.open_gate.clear()
        bench.core.happen(bench.resume(2, key))
        handle = bench.gateway._handler

        async def answer_and_lose(calls: Sequence[Call]) -> list[Reply]:
            replies = await handle(calls)
            await bench.sessions.reach(["alice"], 0)
            return replies

        bench.gateway._handler = answer_and_lose
        bench.open_gate.set()
        await turns()
        assert bench.heard(2) == ["connected"]
        (connections, payload, _, _) = bench.core.parcels[-1]
        assert (connections, body_name(Encoding.BINARY.decode(payload))) == ((2,), "missed")

    play(tmp_path, story)


def test_a_link_that_ends_leaves_a_session_that_waits_and_a_drain_does_so_too(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.enter(1)
        bench.core.happen((_core.CLOSED, 1, 1006))
        await turns()
        assert (bench.counts.sessions_attached, bench.counts.sessions_detached) == (0, 1)

    play(tmp_path, story)


# Other terms ----------------------------------------------------------------------------------------------------------


def test_the_background_gets_no_notices_and_no_missed_and_is_announced_as_such(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        key = await bench.enter(1)
        await bench.enter(2, "bob")
        bench.core.happen(message(1, Frame(id=5, adjust=Adjust(background=True))))
        await turns()
        assert bench.heard(1) == ["adjusted"]
        assert bench.core.admitted[1][1] == 2.25 * 4_000, "and another silence was agreed on"
        bench.bus.broadcast(b"frame", b"{}")
        bench.gateway.missed()
        await turns()
        assert {connection for parcel in bench.core.parcels for connection in parcel[0]} == {2}
        announced = {here.user: arrival.background for part in bench.gateway.sessions(9) for here, arrival in part}
        assert announced == {"alice": True, "bob": False}
        bench.core.happen(message(1, Frame(id=6, adjust=Adjust())))
        await turns()
        assert bench.core.topics[1] == [2, 1]
        bench.core.happen(bench.resume(3, key, background=True))
        await turns()
        assert 3 not in bench.core.topics[1]
        assert [record.background for record, _ in bench.sessions.of("alice")] == [True]

    play(tmp_path, story)


def renewal(bench: Bench, token: str, id_: int = 5) -> Event:
    return message(1, Frame(id=id_, adjust=Adjust(token=token, background=True)))


def test_a_new_token_of_the_same_user_gives_the_connection_its_lifetime_and_a_key_as_long(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        key = await bench.enter(1)
        assert bench.core.admitted[1][0] == 3_605_000
        bench.core.happen(renewal(bench, bench._signer.sign("alice", days=1)))
        await turns()
        [(_, answer)] = [sent for sent in bench.core.sent if sent[0] == 1]
        assert answer.adjusted.lifetime_ms == bench.core.admitted[1][0] == 86_405_000
        assert answer.adjusted.key not in ("", key)
        assert bench.core.admitted[1][1] == 2.25 * 4_000, "the other terms hold too"
        [[call]] = bench.batches
        assert "eyJ" not in call.frame.adjust.token, "logic is not handed the token"
        bench.core.happen(bench.resume(2, answer.adjusted.key))
        await turns()
        assert bench.core.admitted[2][0] == 86_405_000

    play(tmp_path, story)


def test_a_token_that_is_refused_answers_the_request_and_changes_nothing(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.enter(1)
        before = bench.core.admitted[1]
        for token, row in (
            (bench._signer.sign("bob"), errors.TOKEN_FOREIGN),
            (bench._signer.sign("alice", audience="other"), errors.TOKEN_FOREIGN),
            (bench._signer.sign("alice", days=-1), errors.TOKEN_EXPIRED),
            ("nonsense", errors.TOKEN_INVALID),
        ):
            bench.core.sent.clear()
            bench.core.happen(renewal(bench, token))
            await turns()
            [(_, answer)] = [sent for sent in bench.core.sent if sent[0] == 1]
            assert (answer.id, answer.error.name) == (5, row.name)
        assert (bench.core.admitted[1], bench.core.closed, bench.batches) == (before, [], [])
        assert 1 in bench.core.topics, "it is not in the background either"
        bench.core.happen(send(1, 6))
        await turns()
        assert bench.heard(1)[-1] == "sent"

    play(tmp_path, story)


def test_a_logout_is_answered_and_then_closed(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.enter(1)
        bench.core.happen(message(1, Frame(id=5, logout=Logout())))
        await turns()
        assert bench.heard(1) == ["logged_out", "closing"]
        assert [(to, code) for to, code, _ in bench.core.closed] == [(1, errors.LOGGED_OUT.code)]

    play(tmp_path, story)


def test_the_end_of_a_connection_does_not_overtake_what_it_said_before(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        crowd = [bench.connect(n, f"user-{n}") for n in range(1, 6 * ARRIVALS)]
        bench.core.happen(*crowd, crowd[0])
        while 1 not in bench.gateway._sessions:
            await turns(1)
        assert 1 in bench.gateway._arrivals
        bench.core.happen((_core.CLOSED, 1, 1006))
        await turns(30)
        assert bench.present("user-1") == [], (
            "a second Connect that waited is not admitted for a connection that is gone"
        )
        assert 1 not in bench.gateway._sessions

    play(tmp_path, story)
