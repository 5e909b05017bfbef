"""The registrar: who gives way is ended by the gateway that holds him, and who missed something hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

import pytest

from longlink import errors
from longlink.errors import LonglinkError
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Frame, Missed, body_name
from longlink.routing.bus.base import Ending, Parcel
from longlink.routing.bus.local import LocalBus
from longlink.routing.delivery import EVENT
from longlink.routing.registrar import Registrar
from longlink.routing.registry import FORGOTTEN
from longlink.routing.sessions import FRESH, Arrival, Session

from .crowd import EAST, WEST, Hall, on, session


class Gateway:
    """Writes down whom it is to end, and what it is to write."""

    def __init__(self) -> None:
        self.ended: list[Ending] = []
        self.parcels: list[Parcel] = []

    def receive(self, parcels: Sequence[Parcel]) -> None:
        self.parcels += parcels

    def end(self, endings: Sequence[Ending]) -> None:
        self.ended += endings

    def broadcast(self, binary: bytes, text: bytes) -> None:
        raise AssertionError("nothing is broadcast here")

    def sessions(self, most: int) -> Iterator[list[tuple[Session, Arrival]]]:
        raise AssertionError("nobody asks here")

    def missed(self) -> None:
        raise AssertionError("nothing is lost here")


class Stage(Hall):
    """A registrar with two gateways."""

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)
        self.east, self.west = Gateway(), Gateway()
        bus = LocalBus()
        bus.attach(EAST, self.east)
        bus.attach(WEST, self.west)
        self.registrar = Registrar(self.sessions, bus, self.counts)


def play(story: Callable[[Stage], Awaitable[None]], **settings: object) -> None:
    async def whole() -> None:
        stage = Stage(**settings)
        try:
            await story(stage)
        finally:
            stage.registrar.stop()

    asyncio.run(whole())


def test_the_same_device_on_another_gateway_ends_the_session_of_the_first() -> None:
    async def story(stage: Stage) -> None:
        first, second = session(7), session(8, gateway=WEST)
        await stage.registrar.add(first)
        await stage.registrar.add(second)
        await stage.registrar.remove(first)
        assert stage.east.ended == [Ending(first.link, 7, errors.REPLACED.code, "device 'phone' connected again")]
        assert stage.west.ended == []
        assert stage.attached("alice") == [second]

    play(story)


def test_one_device_too_many_ends_the_oldest_wherever_it_is() -> None:
    async def story(stage: Stage) -> None:
        await stage.registrar.add(session(1))
        await stage.registrar.add(session(2, "tablet", gateway=WEST))
        ((_, connection, code, message),) = stage.east.ended
        assert (connection, code) == (1, errors.REPLACED.code)
        assert message == "device 'tablet' connected, and 'phone' was the oldest of as many as a user may have"

    play(story, per_user=1)


def test_a_restored_session_gives_way_to_a_newer_one_of_its_device_that_is_there_already() -> None:
    async def story(stage: Stage) -> None:
        newer, older = session(9), session(4, gateway=WEST)
        await stage.registrar.restore(newer)
        await stage.registrar.restore(older)
        why = "device 'phone' connected again, or as many newer ones as a user may have"
        assert stage.west.ended == [Ending(older.link, 4, errors.REPLACED.code, why)]
        assert stage.attached("alice") == [newer]

    play(story)


def test_a_session_that_is_resumed_on_another_gateway_ends_its_old_link() -> None:
    async def story(stage: Stage) -> None:
        first = session(7)
        second = on(first, 8, WEST)
        await stage.registrar.add(first)
        assert stage.registrar.resume(second, first.link, 0) is False
        await stage.registrar.add(second, Arrival(link=first.link))
        why = "a newer connection has resumed the session"
        assert stage.east.ended == [Ending(first.link, 7, errors.RESUMED.code, why)]
        assert (stage.west.ended, stage.west.parcels) == ([], [])

    play(story)


def test_who_was_told_that_nothing_was_missed_hears_of_it_when_that_has_changed() -> None:
    async def story(stage: Stage) -> None:
        first = session(7)
        second = Session(first.user, first.device, "", first.id, on(first, 8, WEST).link, 8, Encoding.TEXT)
        await stage.registrar.add(first)
        assert stage.registrar.resume(second, first.link, 0) is False
        await stage.sessions.reach(["alice"], 0)
        await stage.registrar.add(second, Arrival(link=first.link))
        payload = Encoding.TEXT.encode(Frame(missed=Missed()))
        assert stage.west.parcels == [Parcel((8,), payload, EVENT, text=True)]

    play(story)


def test_coming_to_the_foreground_tells_of_what_was_left_out() -> None:
    async def story(stage: Stage) -> None:
        first = session(7)
        await stage.registrar.add(first, Arrival(background=True))
        await stage.sessions.reach(["alice"], 0)
        stage.registrar.adjust(first, background=False)
        ((connections, payload, _, _),) = stage.east.parcels
        assert (connections, body_name(Encoding.BINARY.decode(payload))) == ((7,), "missed")

    play(story)


def test_a_logout_ends_the_session_but_leaves_its_own_link_to_the_gateway() -> None:
    async def story(stage: Stage) -> None:
        phone, tab = session(1), session(2, "tab", gateway=WEST)
        for one in (phone, tab):
            await stage.registrar.add(one)
        assert stage.registrar.log_out(phone, everywhere=False) == 1
        assert (stage.attached("alice"), stage.east.ended, stage.west.ended) == ([tab], [], [])
        with pytest.raises(LonglinkError, match="session_unknown"):
            stage.registrar.require(phone)
        assert stage.registrar.resume(on(phone, 3), phone.link, 0) is None
        assert stage.counts.logouts == 1

    play(story)


def test_a_logout_everywhere_ends_those_who_are_there_and_those_who_wait() -> None:
    async def story(stage: Stage) -> None:
        phone, tab, web = session(1), session(2, "tab", gateway=WEST), session(3, "web")
        bob = session(4, user="bob")
        for one in (phone, tab, web, bob):
            await stage.registrar.add(one)
        await stage.registrar.remove(web)
        assert stage.registrar.log_out(phone, everywhere=True) == 3
        assert stage.east.ended == []
        assert [(each.link, each.code) for each in stage.west.ended] == [(tab.link, errors.LOGGED_OUT.code)]
        assert (stage.attached("alice", "bob"), stage.waiting("alice")) == ([bob], [])

    play(story)


def test_who_logs_out_without_a_link_of_his_own_has_the_one_of_his_session_ended() -> None:
    async def story(stage: Stage) -> None:
        phone = session(1)
        await stage.registrar.add(phone)
        by_http = Session("alice", "phone", "", phone.id, phone.link, 0, Encoding.BINARY)
        stage.registrar.require(by_http)
        assert stage.registrar.log_out(by_http, everywhere=False) == 1
        assert [each.link for each in stage.east.ended] == [phone.link]
        nobody = Session("alice", "http", "", 0, 0, 0, Encoding.BINARY)
        assert stage.registrar.log_out(nobody, everywhere=False) == 0

    play(story)


def test_an_old_key_ends_the_session_for_its_thief_and_for_its_owner(caplog: pytest.LogCaptureFixture) -> None:
    async def story(stage: Stage) -> None:
        first = session(1)
        second, third = on(first, 2), on(first, 3, WEST)
        await stage.registrar.add(first)
        await stage.registrar.add(second, Arrival(link=first.link))
        await stage.registrar.add(third, Arrival(link=second.link))
        stage.east.ended.clear()
        with pytest.raises(LonglinkError) as caught:
            stage.registrar.resume(on(first, 4), first.link, 0)
        assert caught.value.row is errors.KEY_REUSED
        assert [(each.link, each.code) for each in stage.west.ended] == [(third.link, errors.KEY_REUSED.code)]
        assert (stage.attached("alice"), stage.waiting("alice"), stage.east.ended) == ([], [], [])
        assert stage.counts.keys_reused == 1
        assert stage.registrar.resume(on(first, 5), third.link, 0) is None, "the newest key is worthless too"
        [record] = [each for each in caplog.records if each.message == "resume_key_reused"]
        assert (record.levelname, record.__dict__["fields"]["user"]) == ("WARNING", "alice")

    play(story)


def test_an_old_key_over_http_ends_the_session_too_also_while_it_waits() -> None:
    async def story(stage: Stage) -> None:
        first = session(1)
        await stage.registrar.add(first)
        for number in (2, 3):
            await stage.registrar.add(on(first, number), Arrival(link=on(first, number - 1).link))
        await stage.registrar.remove(on(first, 3))
        for good in (3, 2):
            stage.registrar.require(Session("alice", "phone", "", first.id, on(first, good).link, 0, Encoding.BINARY))
        with pytest.raises(LonglinkError, match="key_reused"):
            stage.registrar.require(Session("alice", "phone", "", first.id, first.link, 0, Encoding.BINARY))
        assert stage.waiting("alice") == []

    play(story)


def test_the_operator_ends_one_device_or_all() -> None:
    async def story(stage: Stage) -> None:
        phone, tab, web = session(1), session(2, "tab"), session(3, "web", gateway=WEST)
        for one in (phone, tab, web):
            await stage.registrar.add(one)
        await stage.registrar.remove(tab)
        assert [record.session for record in stage.registrar.end("alice", "web")] == [web]
        why = "the operator has ended this session"
        assert stage.west.ended == [Ending(web.link, 3, errors.SESSION_ENDED.code, why)]
        assert len(stage.registrar.end("alice", None)) == 2
        assert [each.link for each in stage.east.ended] == [phone.link]
        assert stage.registrar.end("alice", None) == []
        assert stage.counts.sessions_ended == 3

    play(story)


def test_resumes_are_counted_by_what_followed() -> None:
    async def story(stage: Stage) -> None:
        first = session(1)
        await stage.registrar.add(first)
        for link, received in ((first.link, 0), (first.link, 4), (first.link, 0)):
            stage.registrar.resume(on(first, 2), link, received)
        stage.registrar.resume(session(2, user="bob"), 9, 0)
        assert stage.counts.resumes == {"whole": 2, "missed": 1, "unknown": 1}

    play(story)


def test_whoever_does_not_come_back_is_forgotten_by_itself() -> None:
    async def story(stage: Stage) -> None:
        await stage.registrar.add(session(1))
        await stage.registrar.remove(session(1))
        stage.clock.now_s += 300
        async with asyncio.timeout(10):
            while stage.counts.sessions_detached:  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.01)
        assert stage.counts.sessions_expired == 1

    play(story, detached_ms=1_000)


def test_a_gateway_is_forgotten_with_all_its_links_and_no_others() -> None:
    async def story(stage: Stage) -> None:
        for number in range(1, FORGOTTEN + 11):
            for gateway in (EAST, WEST):
                one = session(number, f"at-{gateway}", f"user-{number}", gateway)
                await stage.registrar.add(one, FRESH)
        assert stage.sessions.count == 2 * (FORGOTTEN + 10)
        await stage.registrar.forget(EAST)
        found = stage.attached(*(f"user-{number}" for number in range(1, FORGOTTEN + 11)))
        assert {one.gateway for one in found} == {WEST}
        assert len(found) == stage.sessions.count == stage.counts.sessions_detached == FORGOTTEN + 10

    play(story)
