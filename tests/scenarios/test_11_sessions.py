"""Chapter 11, sessions: they outlive connections, gateways and logic, and say truly whether anything was missed.

Read next: ../routing/test_registry_model.py, the same in every order.
"""

from __future__ import annotations

import json
import socket
import struct
import urllib.error
import urllib.request
from typing import Any, Final

import pytest

from longlink import errors
from longlink.access import control
from longlink.access.resume import NAME, ResumeKeys
from longlink.errors import Row
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Adjust, Connect, Connected, Frame, Logout, body_name
from longlink.routing.sessions import Session
from longlink.testing import RunningServer, run_server

from .conftest import WORKERS
from .people import Door, Guest, ends_with, error_of, eventually, metric
from .raw import ANSWER_S, ClosedError, Kind
from .test_10_workers import restarted, worker_of

BOTH: Final = True
COUNTED: Final = ("message", "delivered", "read")
"""Events that a client counts."""


class Client:
    """One device: its link, the key that it was given there, and how many events came on it."""

    def __init__(self, door: Door, user: str, device: str = "phone", kind: Kind = Kind.WS_BINARY, **more: Any) -> None:
        self.door, self.user, self.device, self.kind = door, door.name(user), device, kind
        self.link = door.open(kind)
        self.connected = self._connect(token=door.server.token(self.user), **more)

    def _connect(self, **how: Any) -> Connected:
        answer = self.link.ask(Frame(connect=Connect(version=1, device=self.device, **how)))
        assert body_name(answer) == "connected", answer
        self.received = 0
        # Until logic has heard of this connection too: another one could reach it first, over the trunk of its gateway.
        self.link.pending()
        return answer.connected

    def hear(self) -> list[str | None]:
        """The names of the events until now, counted as a client counts them."""
        self.link.pending()
        names: list[str | None] = [body_name(frame) for frame in self.link.events]
        self.link.events.clear()
        self.received += sum(name in COUNTED for name in names)
        return names

    def cut(self) -> None:
        """The connection ends without a goodbye (a reset), and what was not counted is lost with it."""
        self.link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.link.close()

    def come_back(self, **more: Any) -> Connected:
        """Over a new connection, by key; the answer must be Connected."""
        self.link = self.door.open(self.kind)
        self.connected = self._connect(key=self.connected.key, received=self.received, **more)
        assert self.connected.resumed
        return self.connected

    def try_key(self, row: Row, key: str = "", device: str = "") -> None:
        """Another connection with this key is refused so, and serves a token then."""
        with self.door.open(self.kind) as link:
            asked = Connect(version=1, device=device or self.device, key=key or self.connected.key)
            error_of(link.ask(Frame(connect=asked)), row)
            assert link.connect(self.door.name("a-guest"), "other", self.door.server.token(self.door.name("a-guest")))


def shown(server: RunningServer, client: Client) -> list[dict[str, Any]]:
    """What the operator sees of the sessions of this device."""
    sessions: list[dict[str, Any]] = control.ask(server.data, "sessions", {"user": client.user})["sessions"]
    return [each for each in sessions if each["device"] == client.device]


def waits(server: RunningServer, client: Client) -> None:
    """Returns when the server knows that the link of this device has ended."""
    eventually(lambda: [each["attached"] for each in shown(server, client)] == [False], "the session waits")


@pytest.fixture
def conversation(door: Door) -> tuple[Guest, str]:
    """Alice, and her conversation with bob."""
    door.enter("bob", "first").close()
    alice = door.enter("alice")
    return alice, alice.direct(door.name("bob"))


Talk = tuple[Guest, str]


# Coming back ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", Kind, ids=str)
def test_a_client_comes_back_in_one_round_trip_and_has_missed_nothing(
    door: Door, conversation: Talk, kind: Kind
) -> None:
    alice, id_ = conversation
    bob = Client(door, "bob", kind=kind)
    alice.say(id_, "one")
    assert bob.hear() == ["message"]
    session, key = bob.connected.session, bob.connected.key
    bob.cut()
    back = bob.come_back()
    assert (back.missed, back.session, back.user) == (False, session, bob.user)
    assert back.key not in ("", key)
    alice.say(id_, "two")
    assert bob.link.message().content.text == "two"


def test_what_came_while_nobody_was_there_is_missed_and_the_next_time_it_is_not(
    server: RunningServer, door: Door, conversation: Talk
) -> None:
    alice, id_ = conversation
    bob = Client(door, "bob")
    bob.cut()
    waits(server, bob)
    alice.say(id_, "one")
    assert bob.come_back().missed
    bob.cut()
    assert not bob.come_back().missed


def test_what_was_on_the_way_when_the_link_broke_is_missed(door: Door, conversation: Talk) -> None:
    alice, id_ = conversation
    bob = Client(door, "bob")
    alice.say(id_, "one")
    bob.cut()
    assert bob.come_back().missed


def test_who_never_got_the_answer_and_shows_the_older_key_has_missed_something(door: Door) -> None:
    bob = Client(door, "bob")
    bob.cut()
    with door.open() as lost:
        lost.ask(Frame(connect=Connect(version=1, device="phone", key=bob.connected.key)))
        assert lost.pending() == [], "logic has heard of the link too"
    assert bob.come_back().missed


def test_an_old_key_ends_the_session_of_thief_and_owner_and_the_owner_has_a_token(
    server: RunningServer, door: Door
) -> None:
    bob = Client(door, "bob")
    stolen = bob.connected.key
    bob.come_back()
    bob.come_back()
    ended = metric(server, "longlink_keys_reused_total")
    bob.try_key(errors.KEY_REUSED, stolen)
    ends_with(bob.link, errors.KEY_REUSED)
    bob.try_key(errors.SESSION_UNKNOWN)
    bob.try_key(errors.SESSION_UNKNOWN, stolen)
    assert Client(door, "bob").connected.key
    eventually(lambda: metric(server, "longlink_keys_reused_total") == ended + 1, "it is counted")
    [line] = [line for line in server.log if line.get("event") == "resume_key_reused" and line["user"] == bob.user]
    assert (line["level"], line["device"]) == ("warning", "phone")


def test_an_old_key_over_http_ends_the_session_too(server: RunningServer, door: Door) -> None:
    bob = Client(door, "bob")
    stolen = bob.connected.key
    bob.come_back()
    before = bob.connected.key
    bob.come_back()
    for key, name in ((bob.connected.key, ""), (before, ""), (stolen, "key_reused"), (before, "session_unknown")):
        request = urllib.request.Request(f"{server.http}/v1/list_conversations", b"{}", method="POST")
        request.add_header("Authorization", f"Longlink {key}")
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
                said = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                said = json.loads(error.read())
        assert said.get("error", {}).get("name", "") == name
    ends_with(bob.link, errors.KEY_REUSED)


def test_a_new_token_on_a_living_connection_moves_its_end_and_gives_a_key(door: Door) -> None:
    bob = Client(door, "bob")
    assert 86_000_000 < bob.connected.lifetime_ms < 87_000_000
    answer = bob.link.ask(Frame(adjust=Adjust(token=door.server.token(bob.user, days=2.0))))
    assert 172_000_000 < answer.adjusted.lifetime_ms < 173_000_000
    foreign = bob.link.ask(Frame(adjust=Adjust(token=door.server.token(door.name("alice")))))
    error_of(foreign, errors.TOKEN_FOREIGN)
    bob.connected.key = answer.adjusted.key
    assert bob.come_back().lifetime_ms > 172_000_000


def test_a_link_that_is_half_open_gives_way_to_the_new_one(server: RunningServer, door: Door) -> None:
    bob = Client(door, "bob")
    old = bob.link
    assert not bob.come_back().missed
    closed = ends_with(old, errors.RESUMED)
    assert closed.reason == "resumed: a newer connection has resumed the session"
    assert bob.hear() == []
    eventually(lambda: metric(server, "longlink_takeovers_total") >= 1, "it is counted")


def test_a_sender_gets_no_echo_and_has_missed_nothing_of_his_own(door: Door, conversation: Talk) -> None:
    _, id_ = conversation
    bob = Client(door, "bob")
    assert bob.link.say(id_, "mine").seq == 1
    bob.cut()
    assert not bob.come_back().missed


# Keys -----------------------------------------------------------------------------------------------------------------


def test_a_key_that_is_not_good_is_refused_and_the_connection_serves_a_token(server: RunningServer, door: Door) -> None:
    bob = Client(door, "bob")
    key = bob.connected.key
    bob.try_key(errors.KEY_INVALID, key[:-1])
    bob.try_key(errors.KEY_INVALID, f"{key[:-2]}AA" if key[-2:] != "AA" else f"{key[:-2]}BB")
    bob.try_key(errors.KEY_INVALID, "anything")
    bob.try_key(errors.KEY_FOREIGN, device="tab")
    session = Session(bob.user, "phone", "", 7, 7, 1, Encoding.BINARY)
    bob.try_key(errors.KEY_INVALID, ResumeKeys(b"\0" * 32).make(session, 2e9))
    keys = ResumeKeys.from_folder(server.data)
    bob.try_key(errors.KEY_EXPIRED, keys.make(session, 1.0))
    bob.try_key(errors.SESSION_UNKNOWN, keys.make(session, 2e9))
    assert not bob.come_back().missed, "nothing of this touched the session"


def test_a_key_dies_when_its_device_connects_with_a_token(door: Door) -> None:
    bob = Client(door, "bob")
    key = bob.connected.key
    old = bob.link
    again = Client(door, "bob")
    ends_with(old, errors.REPLACED)
    again.try_key(errors.SESSION_UNKNOWN, key)


def test_a_client_may_go_on_with_a_token_on_the_same_connection(door: Door) -> None:
    bob = Client(door, "bob")
    ended = bob.connected.key
    assert bob.link.ask(Frame(logout=Logout())).logged_out.sessions == 1
    bob.link = door.open()
    error_of(bob.link.ask(Frame(connect=Connect(version=1, device="phone", key=ended))), errors.SESSION_UNKNOWN)
    assert not bob._connect(token=door.server.token(bob.user)).resumed


# Waiting --------------------------------------------------------------------------------------------------------------


def test_a_session_that_waited_too_long_is_unknown_and_without_a_wait_there_is_no_key(
    processes: dict[str, str],
) -> None:
    with run_server(settings=processes | {"LONGLINK_SESSIONS_DETACHED_MS": "50"}) as server, Door(server) as door:
        bob = Client(door, "bob")
        assert bob.connected.detached_ms == 50
        bob.cut()
        eventually(lambda: metric(server, "longlink_sessions_expired_total") == 1, "the session ends by itself")
        bob.try_key(errors.SESSION_UNKNOWN)
    with run_server(settings=processes | {"LONGLINK_SESSIONS_DETACHED_MS": "0"}) as server, Door(server) as door:
        assert Client(door, "bob").connected.key == ""


# Who may be there together --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "others", "why"),
    [
        ("all", [], ""),
        ("platform", ["phone"], "device 'new' connected, and a user may have one device of platform 'ios'"),
        ("one", ["phone", "web"], "device 'new' connected, and a user may have one device"),
    ],
)
def test_a_new_device_ends_the_others_as_the_policy_says(policy: str, others: list[str], why: str) -> None:
    settings = WORKERS | {"LONGLINK_SESSIONS_POLICY": policy}
    with run_server(settings=settings) as server, Door(server) as door:
        known = door.open()
        known.connect(door.name("peer"), "peer", server.token(door.name("peer")))
        devices = {"phone": Client(door, "bob", "phone", platform="ios")}
        if policy != "one":
            devices["web"] = Client(door, "bob", "web", platform="web")
        new = Client(door, "bob", "new", platform="ios")
        for name, device in devices.items():
            if name in others:
                assert device.link.event().closing.message == why
                ends_with(device.link, errors.REPLACED)
                device.try_key(errors.SESSION_UNKNOWN)
            else:
                assert device.hear() == []
        assert new.hear() == []


# Ending ---------------------------------------------------------------------------------------------------------------


def test_a_logout_ends_the_session_and_its_key(door: Door) -> None:
    bob, tab = Client(door, "bob"), Client(door, "bob", "tab")
    assert bob.link.ask(Frame(logout=Logout())).logged_out.sessions == 1
    ends_with(bob.link, errors.LOGGED_OUT)
    bob.try_key(errors.SESSION_UNKNOWN)
    assert tab.hear() == []


def test_a_logout_everywhere_ends_all_sessions_of_the_user_also_those_that_wait(
    server: RunningServer, door: Door
) -> None:
    phone, tab, web = (Client(door, "bob", device) for device in ("phone", "tab", "web"))
    alice = Client(door, "alice")
    web.cut()
    waits(server, web)
    assert phone.link.ask(Frame(logout=Logout(everywhere=True))).logged_out.sessions == 3
    for device in (phone, tab):
        ends_with(device.link, errors.LOGGED_OUT)
    for device in (phone, tab, web):
        device.try_key(errors.SESSION_UNKNOWN)
    assert alice.hear() == []


def test_the_operator_ends_sessions_and_their_keys(server: RunningServer, door: Door) -> None:
    phone, tab = Client(door, "bob"), Client(door, "bob", "tab")
    assert shown(server, phone)[0]["session"] == phone.connected.session
    assert shown(server, tab)[0]["attached"]
    assert control.ask(server.data, "end", {"user": phone.user, "device": "tab"}) == {"sessions": 1}
    ends_with(tab.link, errors.SESSION_ENDED)
    tab.try_key(errors.SESSION_UNKNOWN)
    assert phone.hear() == []
    assert control.ask(server.data, "end", {"user": phone.user, "device": None}) == {"sessions": 1}
    ends_with(phone.link, errors.SESSION_ENDED)


# Other terms ----------------------------------------------------------------------------------------------------------


def test_the_background_gets_no_events_and_the_foreground_begins_with_missed(door: Door, conversation: Talk) -> None:
    alice, id_ = conversation
    bob = Client(door, "bob", background=True)
    alice.say(id_, "one")
    assert bob.hear() == []
    bob.link.ask(Frame(adjust=Adjust(background=False)))
    assert bob.hear() == ["missed"]
    alice.say(id_, "two")
    assert bob.hear() == ["message"]
    bob.link.ask(Frame(adjust=Adjust(background=True)))
    alice.say(id_, "three")
    assert bob.hear() == []
    bob.cut()
    assert bob.come_back(background=True).missed
    alice.say(id_, "four")
    assert bob.hear() == []


def test_a_heartbeat_is_agreed_on_within_bounds_and_again_by_adjust(door: Door) -> None:
    assert [Client(door, "bob", heartbeat_ms=asked).connected.heartbeat_ms for asked in (0, 1, 60_000, 2**31)] == [
        240_000,
        30_000,
        60_000,
        300_000,
    ]
    bob = Client(door, "bob", heartbeat_ms=60_000)
    adjusted = [bob.link.ask(Frame(adjust=Adjust(heartbeat_ms=asked))).adjusted.heartbeat_ms for asked in (0, 45_000)]
    assert adjusted == [240_000, 45_000]
    assert bob.come_back(heartbeat_ms=50_000).heartbeat_ms == 50_000


def test_who_asked_for_short_silences_is_closed_after_two_of_them_and_others_are_not(processes: dict[str, str]) -> None:
    small = {"HEARTBEAT_MS": "20000", "HEARTBEAT_LEAST_MS": "100", "IDLE_TIMEOUT_MS": "50000"}
    settings = {f"LONGLINK_CONNECTION_{name}": value for name, value in small.items()}
    with run_server(settings=processes | settings) as server, Door(server) as door:
        quiet = Client(door, "alice")
        short = Client(door, "bob", heartbeat_ms=1)
        assert (quiet.connected.heartbeat_ms, short.connected.heartbeat_ms) == (20_000, 100)
        ends_with(short.link, errors.IDLE)
        quiet.link.ask(Frame(adjust=Adjust(heartbeat_ms=100)))
        ends_with(quiet.link, errors.IDLE)
        assert metric(server, "longlink_core_idle_closed_total") == 2
        assert not short.come_back().missed, "the session goes on"


# Processes that die ---------------------------------------------------------------------------------------------------


def come_back_on(server: RunningServer, client: Client, worker: int) -> Connected:
    """By key over this gateway. The system chooses the gateway, so it is asked until it has."""
    while True:
        connected = client.come_back()
        if shown(server, client)[0]["gateway"] == worker:
            return connected


def test_another_gateway_goes_on_with_the_session() -> None:
    with run_server(settings=WORKERS) as server, Door(server) as door:
        alice = door.enter("alice")
        bob = Client(door, "bob")
        id_ = alice.direct(bob.user)
        for worker in (1, 2, 1):
            assert not come_back_on(server, bob, worker).missed
            alice.say(id_, "hello")
            assert bob.hear() == ["message"]


def test_a_session_outlives_its_gateway() -> None:
    with run_server(settings=WORKERS) as server, Door(server) as door:
        alice = door.enter("alice")
        while worker_of(alice) != 2:
            alice = door.enter("alice")
        bob = Client(door, "bob")
        id_ = alice.direct(bob.user)
        come_back_on(server, bob, 1)
        alice.say(id_, "one")
        assert bob.hear() == ["message"]
        server.kill_worker("gateway-1")
        with pytest.raises((ClosedError, ConnectionError)):
            bob.link.event()
        assert not bob.come_back().missed, "everything had come"
        come_back_on(server, bob, 2)
        alice.say(id_, "two")
        assert bob.hear() == ["message"]


def test_a_session_outlives_logic_but_may_have_missed_something() -> None:
    with run_server(settings=WORKERS) as server, Door(server) as door:
        bob, waiting = Client(door, "bob", background=True), Client(door, "carol")
        waiting.cut()
        waits(server, waiting)
        before = server.kill_worker("logic")
        eventually(lambda: restarted(server, "logic", before) or server.workers["logic"] != before, "logic is back")
        assert bob.hear() == [], "who is in the background hears nothing, also of this"
        assert bob.come_back().missed
        bob.cut()
        assert not bob.come_back().missed
        waiting.try_key(errors.SESSION_UNKNOWN)


def test_after_the_death_of_the_whole_server_a_session_is_unknown_and_a_token_serves_on_the_same_connection(
    processes: dict[str, str],
) -> None:
    with run_server(settings=processes) as server, Door(server) as door:
        bob = Client(door, "bob")
        secret = (server.data / NAME).read_bytes()
        server.kill()
        server.start()
        assert (server.data / NAME).read_bytes() == secret
        bob.try_key(errors.SESSION_UNKNOWN)
        assert Client(door, "bob").connected.session != bob.connected.session
