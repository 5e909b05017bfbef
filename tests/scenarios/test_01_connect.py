"""Chapter 1, connect: who comes in, who does not and what he is told. Read next: test_02_send.py."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from longlink import errors
from longlink.errors import Row
from longlink.protocol.frames import Frame, ListConversations, body_name
from longlink.testing import RunningServer, run_server

from . import jwt
from .people import Door, Guest, connect_frame, ends_with, error_of, eventually, metric, refuses, send_frame
from .raw import BINARY_OPCODE, Kind, websocket_frame


@pytest.mark.parametrize("kind", Kind, ids=str)
def test_a_good_token_opens_a_session_on_every_kind_of_link(door: Door, kind: Kind) -> None:
    link = door.open(kind)
    user = door.name("alice")
    before_ms = time.time_ns() // 1_000_000
    connected = link.connect(user, "laptop-1", door.server.token(user))
    after_ms = time.time_ns() // 1_000_000
    assert (connected.user, connected.device) == (user, "laptop-1")
    assert 0 < int(connected.session) < 2**52, "a JavaScript number holds it"
    assert before_ms <= connected.server_time <= after_ms
    assert connected.heartbeat_ms == 240_000
    assert connected.max_frame_bytes == 65_536
    assert connected.server.startswith("longlink/")


def test_the_json_twin_can_be_written_and_read_by_hand(door: Door) -> None:
    link = door.open(Kind.WS_JSON)
    token = door.server.token(door.name("alice"))
    link.wire.send(json.dumps({"id": 7, "connect": {"version": 1, "token": token, "device": "browser"}}).encode())
    answer = json.loads(link.wire.receive())
    assert answer["id"] == 7
    assert answer["connected"]["user"] == door.name("alice")
    assert answer["connected"]["maxFrameBytes"] == 65_536


@pytest.mark.parametrize("kind", Kind, ids=str)
def test_an_empty_message_is_a_heartbeat_and_is_answered_with_one(door: Door, kind: Kind) -> None:
    link = door.enter("alice", kind=kind)
    link.wire.send(b"")
    assert link.wire.receive() == b""


# Tokens ---------------------------------------------------------------------------------------------------------------


class Trust(NamedTuple):
    """A server that believes one RSA key and one secret of the host."""

    server: RunningServer
    key: RSAPrivateKey
    secret: bytes


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trust]:
    folder: Path = tmp_path_factory.mktemp("keys")
    key, secret = jwt.new_rsa(), b"a secret of the host, long enough to be one: 0123456789"
    (folder / "host.pem").write_bytes(jwt.public_pem(key))
    (folder / "host.secret").write_bytes(secret)
    settings = {
        "LONGLINK_AUTH_KEYS": f"{folder / 'host.pem'},secret:{folder / 'host.secret'}",
        "LONGLINK_AUTH_ISSUER": "host",
        "LONGLINK_AUTH_LEEWAY_MS": "0",
    }
    with run_server(settings=settings) as server:
        yield Trust(server, key, secret)


GOOD: Final[dict[str, Callable[[Trust], str]]] = {
    "RS256": lambda trust: jwt.token("RS256", jwt.rs256(trust.key), iss="host"),
    "HS256": lambda trust: jwt.token("HS256", jwt.hs256(trust.secret), iss="host"),
    "audience in a list": lambda trust: jwt.token(
        "HS256", jwt.hs256(trust.secret), iss="host", aud=["other", "longlink"]
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_token_signed_with_a_key_of_the_host_is_believed(trust: Trust, name: str) -> None:
    with Door(trust.server) as door:
        link = door.open()
        assert link.connect("alice", "phone", GOOD[name](trust)).user == "alice"


def _tampered(trust: Trust) -> str:
    """alice's token with bob's name in it, under alice's signature."""
    header, _, signature = jwt.token("RS256", jwt.rs256(trust.key), iss="host").split(".")
    forged = jwt.token("RS256", jwt.unsigned, iss="host", sub="bob").split(".")[1]
    return f"{header}.{forged}.{signature}"


def _hs256(**claims: object) -> Callable[[Trust], str]:
    return lambda trust: jwt.token("HS256", jwt.hs256(trust.secret), **{"iss": "host", **claims})


BAD: Final[dict[str, tuple[Row, Callable[[Trust], str]]]] = {
    "none at all": (errors.TOKEN_MISSING, lambda _: ""),
    "garbage": (errors.TOKEN_INVALID, lambda _: "not a token"),
    "three dots": (errors.TOKEN_INVALID, lambda _: "..."),
    "a long one": (errors.TOKEN_INVALID, lambda _: "e" * 9_000),
    "expired": (errors.TOKEN_EXPIRED, _hs256(exp=int(time.time()) - 60)),
    "not valid yet": (errors.TOKEN_INVALID, _hs256(nbf=int(time.time()) + 3600)),
    "no end": (errors.TOKEN_INVALID, _hs256(exp=None)),
    "an end that is no time": (errors.TOKEN_INVALID, _hs256(exp="tomorrow")),
    "no user": (errors.TOKEN_INVALID, _hs256(sub=None)),
    "an empty user": (errors.TOKEN_INVALID, _hs256(sub="")),
    "a number as user": (errors.TOKEN_INVALID, _hs256(sub=17)),
    "forged with another key": (
        errors.TOKEN_INVALID,
        lambda _: jwt.token("RS256", jwt.rs256(jwt.new_rsa()), iss="host"),
    ),
    "forged with another secret": (
        errors.TOKEN_INVALID,
        lambda _: jwt.token("HS256", jwt.hs256(b"x" * 32), iss="host"),
    ),
    "tampered with": (errors.TOKEN_INVALID, _tampered),
    "unsigned, alg none": (errors.TOKEN_INVALID, lambda _: jwt.token("none", jwt.unsigned, iss="host")),
    "unsigned, alg None": (errors.TOKEN_INVALID, lambda _: jwt.token("None", jwt.unsigned, iss="host")),
    "signed with the public key as a secret": (
        errors.TOKEN_INVALID,
        lambda trust: jwt.token("HS256", jwt.hs256(jwt.public_pem(trust.key)), iss="host"),
    ),
    "for another audience": (errors.TOKEN_FOREIGN, _hs256(aud="elsewhere")),
    "for no audience": (errors.TOKEN_FOREIGN, _hs256(aud=None)),
    "from another issuer": (errors.TOKEN_FOREIGN, _hs256(iss="somebody")),
    "from no issuer": (errors.TOKEN_FOREIGN, _hs256(iss=None)),
}


@pytest.mark.parametrize("name", BAD)
def test_a_token_that_is_not_believed_ends_the_link_with_its_code(trust: Trust, name: str) -> None:
    row, make = BAD[name]
    with Door(trust.server) as door:
        link = door.open()
        refuses(link, link.post(connect_frame(make(trust))), row)


def test_a_token_in_an_error_or_a_log_line_is_never_shown(trust: Trust) -> None:
    token = jwt.token("HS256", jwt.hs256(b"x" * 32), iss="host")
    with Door(trust.server) as door:
        link = door.open()
        request = link.post(connect_frame(token))
        shown = str(link.reply(request))
        link.end()
    assert token.rpartition(".")[2] not in shown
    assert token.rpartition(".")[2] not in str(trust.server.log)


def test_a_session_ends_with_its_token(trust: Trust) -> None:
    with Door(trust.server) as door:
        link = door.open()
        exp = int(time.time()) + 2
        link.connect("alice", "phone", jwt.token("HS256", jwt.hs256(trust.secret), iss="host", exp=exp))
        ends_with(link, errors.TOKEN_EXPIRED)
        assert exp - 1 < time.time() < exp + 3


def test_a_key_file_that_became_a_page_is_refused_at_sighup_and_the_page_is_no_secret(
    tmp_path: Path, processes: dict[str, str]
) -> None:
    key, page = jwt.new_rsa(), b"<html><head><title>503 Service Temporarily Unavailable</title></head></html>"
    file = tmp_path / "jwks.pem"
    file.write_bytes(jwt.public_pem(key))
    with run_server(settings={"LONGLINK_AUTH_KEYS": str(file)} | processes) as server, Door(server) as door:
        good, forged = jwt.token("RS256", jwt.rs256(key)), jwt.token("HS256", jwt.hs256(page))
        assert door.open().connect("alice", "phone", good)
        file.write_bytes(page)
        os.kill(server.pid, signal.SIGHUP)
        gateways = max(1, int(processes.get("LONGLINK_SERVER_WORKERS", "1")))
        failed = f"{file}: expected a JWKS (JSON) or public keys in PEM, got HTML or XML"
        eventually(lambda: sum(failed in str(line) for line in server.log) == gateways, "the reload failed")
        for _ in range(4):
            assert door.open().connect("alice", "phone", good)
            link = door.open()
            refuses(link, link.post(connect_frame(forged)), errors.TOKEN_INVALID)


# The order of frames --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", Kind, ids=str)
def test_a_request_before_connect_ends_the_link(door: Door, kind: Kind) -> None:
    link = door.open(kind)
    refuses(link, link.post(send_frame("d_unknown", "hello", "1")), errors.FRAME_UNEXPECTED)


def _at_once(link: Guest, *frames: Frame) -> None:
    """Send these requests, under the ids 1, 2, ..., in one write, so that the server meets them together."""
    for number, frame in enumerate(frames, 1):
        frame.id = number
    link.pipe.send(b"".join(websocket_frame(link.kind.encoding.encode(frame), BINARY_OPCODE) for frame in frames))


def test_a_connect_behind_a_refused_frame_opens_nothing(door: Door) -> None:
    first = door.enter("alice")
    link = door.open()
    token = door.server.token(door.name("alice"))
    _at_once(link, send_frame("d_unknown", "hello", "1"), connect_frame(token))
    refuses(link, 1, errors.FRAME_UNEXPECTED)
    assert link.answered(2) is None or body_name(link.reply(2)) == "error"
    assert first.pending() == [], "the session that was there must stay"


def test_a_request_together_with_connect_ends_the_link(door: Door) -> None:
    first = door.enter("alice")
    link = door.open()
    token = door.server.token(door.name("alice"))
    _at_once(link, connect_frame(token), Frame(list_conversations=ListConversations()))
    refuses(link, 2, errors.FRAME_UNEXPECTED)
    assert link.answered(1) is None
    assert first.pending() == [], "the session that was there must stay"


def test_a_client_that_goes_before_its_answer_leaves_no_session_behind(door: Door) -> None:
    token = door.server.token(door.name("alice"))
    for n in range(40):
        link = door.open(list(Kind)[n % 4])
        link.post(connect_frame(token, f"d{n}"))
        link.close()
    bob = door.enter("bob")
    door.enter("alice").close()
    conversation = bob.direct(door.name("alice"))

    def sessions() -> float:
        before = metric(door.server, "longlink_deliveries_total")
        bob.say(conversation, "who is there?")
        return metric(door.server, "longlink_deliveries_total") - before

    eventually(lambda: sessions() == 0, "nobody is there")


def test_a_second_connect_is_refused_and_the_session_goes_on(door: Door) -> None:
    link = door.enter("alice")
    answer = link.ask(connect_frame(door.server.token(door.name("bob"))))
    error_of(answer, errors.FRAME_UNEXPECTED)
    conversation = link.direct(door.name("alice"))
    assert link.say(conversation, "still alice").seq == 1
    assert link.history(conversation).messages[0].sender == door.name("alice")


@pytest.mark.parametrize("version", [0, 2, 2**32 - 1])
def test_a_version_that_the_server_does_not_speak_is_refused(door: Door, version: int) -> None:
    link = door.open()
    request = link.post(connect_frame(door.server.token(door.name("alice")), version=version))
    refuses(link, request, errors.VERSION_UNSUPPORTED)


@pytest.mark.parametrize("device", ["", "a" * 65, "two words", "naïve", "nul\x00"])
def test_a_bad_device_name_is_refused(door: Door, device: str) -> None:
    link = door.open()
    request = link.post(connect_frame(door.server.token(door.name("alice")), device))
    refuses(link, request, errors.FIELD_INVALID)


# Devices --------------------------------------------------------------------------------------------------------------


def test_the_same_device_again_replaces_the_first_and_other_devices_stay(door: Door) -> None:
    first, other = door.enter("alice", "phone"), door.enter("alice", "tablet")
    second = door.enter("alice", "phone", Kind.TCP_JSON)
    closing = first.event()
    assert body_name(closing) == "closing"
    assert (closing.closing.code, closing.closing.name) == (errors.REPLACED.code, "replaced")
    ends_with(first, errors.REPLACED)
    conversation = second.direct(door.name("alice"))
    second.say(conversation, "to my other devices")
    assert other.message().content.text == "to my other devices"


def test_the_same_device_name_of_two_users_is_two_devices(door: Door) -> None:
    alice, bob = door.enter("alice", "phone"), door.enter("bob", "phone")
    assert (alice.pending(), bob.pending()) == ([], [])


def test_a_device_that_replaces_itself_many_times_at_once_ends_with_one_session(door: Door) -> None:
    token = door.server.token(door.name("alice"))
    links = [door.open(kind) for kind in [*Kind, *Kind]]
    requests = [link.post(connect_frame(token)) for link in links]
    for link, request in zip(links, requests, strict=True):
        assert body_name(link.reply(request)) == "connected"
    talker = door.enter("bob")
    conversation = talker.direct(door.name("alice"))
    talker.say(conversation, "who is there?")
    heard = 0
    for link in links:
        frame = link.event()
        if body_name(frame) == "message":
            heard += 1
        else:
            ends_with(link, errors.REPLACED)
    assert heard == 1


def test_a_client_that_never_says_who_it_is_is_closed_in_time() -> None:
    with run_server(settings={"LONGLINK_CONNECTION_HELLO_TIMEOUT_MS": "300"}) as server, Door(server) as door:
        silent = [door.open(kind) for kind in Kind]
        staying = door.enter("alice")
        for link in silent:
            ends_with(link, errors.HANDSHAKE_TIMEOUT)
        assert staying.pending() == []


def test_a_client_that_sends_nothing_is_closed_and_one_that_beats_stays() -> None:
    settings = {"LONGLINK_CONNECTION_HEARTBEAT_MS": "400", "LONGLINK_CONNECTION_IDLE_TIMEOUT_MS": "1200"}
    with run_server(settings=settings) as server, Door(server) as door:
        beating = door.enter("alice")
        silent = door.enter("bob")
        until = time.monotonic() + 2.0
        while time.monotonic() < until:
            beating.wire.send(b"")
            assert beating.wire.receive() == b""
            time.sleep(0.2)
        ends_with(silent, errors.IDLE)
        assert beating.pending() == []
