"""Chapter 13: the short link. The same requests over HTTP and over the long link give the same answers (F8-2, WX-1)."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from longlink import errors
from longlink.access.http.endpoints import OPENAPI
from longlink.access.keys import read_data_key
from longlink.errors import Row
from longlink.protocol.codec import encode_text
from longlink.protocol.frames import Connect, Frame, Logout
from longlink.testing import RunningServer, run_server

from . import jwt
from .conftest import WORKERS
from .people import Door, ends_with, error_of, eventually, failures, metric
from .raw import ANSWER_S, Kind

BOTH = True
TOO_LONG: Final = 1009
"""Of a message beyond the bound (RFC 6455 section 7.4.1)."""
DESCRIPTION: Final = json.loads(OPENAPI.read_bytes())


def call(server: RunningServer, token: str, name: str, body: object, scheme: str = "Bearer") -> tuple[int, Any]:
    """Status and answer of one call. token: or a key, with the scheme Longlink."""
    return post(server, name, json.dumps(body).encode(), f"{scheme} {token}")


def post(server: RunningServer, name: str, body: bytes, proof: str, device: str = "") -> tuple[int, Any]:
    """Status and answer of one call, which have the shapes that the description of the short link gives them."""
    headers = {"Authorization": proof, "Content-Type": "application/json"} | (
        {"Longlink-Device": device} if device else {}
    )
    request = urllib.request.Request(f"{server.http}/v1/{name}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
            status, said = answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            status, said = error.code, json.loads(error.read())
    told = DESCRIPTION["paths"][f"/v1/{name}"]["post"]["responses"]
    shape = (told.get(str(status)) or told["default"]) if status != 200 else told["200"]
    shape = DESCRIPTION["components"]["responses"]["Error"] if "$ref" in shape else shape
    schema = shape["content"]["application/json"]["schema"]
    Draft202012Validator(schema | {"components": DESCRIPTION["components"]}).validate(said)
    return status, said


def test_a_message_sent_by_http_arrives_on_the_long_link(server: RunningServer, door: Door) -> None:
    alice, bob = door.enter("alice"), door.enter("bob")
    token = server.token(alice.user)
    status, opened = call(server, token, "open_direct", {"user": bob.user})
    assert status == 200
    said = {"conversation": opened["id"], "clientId": "m-1", "content": {"text": "by post"}}
    status, sent = call(server, token, "send", said)
    assert (status, sent["seq"]) == (200, "1")
    assert bob.message().content.text == "by post"
    assert alice.message().content.text == "by post", "the caller's devices are others than the call"
    status, page = call(server, token, "read_history", {"conversation": opened["id"]})
    assert [message["clientId"] for message in page["messages"]] == ["m-1"]


def test_calls_that_come_twice_or_in_another_order_do_no_harm(server: RunningServer, door: Door) -> None:
    alice, bob = door.enter("alice"), door.enter("bob")
    token, chat = server.token(alice.user), alice.direct(bob.user)
    said = [{"conversation": chat, "clientId": f"m-{n}", "content": {"text": f"{n}"}} for n in range(3)]
    seqs = [call(server, token, "send", said[n])[1]["seq"] for n in (1, 0, 1, 2, 0, 1)]
    assert seqs == ["1", "2", "1", "3", "2", "1"]
    assert [bob.message().seq for _ in range(3)] == [1, 2, 3]
    assert bob.pending() == []
    marks = [call(server, server.token(bob.user), "ack", {"conversation": chat, "seq": n})[1] for n in (3, 1)]
    assert [mark["seq"] for mark in marks] == ["3", "3"], "marks never go back"


def test_many_frames_go_in_one_call(server: RunningServer, door: Door) -> None:
    alice, bob = door.enter("alice"), door.enter("bob")
    chat = alice.direct(bob.user)
    frames = [
        {"id": n, "send": {"conversation": chat, "clientId": f"f-{n}", "content": {"text": f"{n}"}}}
        for n in range(1, 31)
    ]
    status, told = call(server, server.token(alice.user), "frames", {"frames": frames})
    assert status == 200
    assert [int(reply["sent"]["seq"]) for reply in told["frames"]] == list(range(1, 31))
    assert [bob.message().seq for _ in range(30)] == list(range(1, 31))


SAME: Final[list[tuple[str, str]]] = [
    ("open_direct", '{"user": "BOB"}'),
    ("open_direct", '{"user": "nobody.at.all"}'),
    ("open_direct", '{"user": ""}'),
    ("open_direct", "{}"),
    ("open_direct", '{"user": 7}'),
    ("send", '{"conversation": "CHAT", "clientId": "same-1", "content": {"text": "once"}}'),
    ("send", '{"conversation": "CHAT", "client_id": "same-1", "content": {"text": "once"}}'),
    ("send", '{"conversation": "CHAT", "clientId": "same-1", "content": {"text": "other words"}}'),
    ("send", '{"conversation": "CHAT", "clientId": "same-2"}'),
    ("send", '{"conversation": "CHAT", "clientId": "same-2", "content": {"text": "a", "custom": {"type": "b"}}}'),
    ("send", '{"conversation": "CHAT", "clientId": "same-2", "content": {"custom": {"type": "b", "data": "?"}}}'),
    ("send", '{"conversation": "d_nowhere", "clientId": "same-3", "content": {"text": "x"}}'),
    ("ack", '{"conversation": "CHAT", "seq": "99"}'),
    ("ack", '{"conversation": "CHAT", "read": 1}'),
    ("ack", '{"marks": [{"conversation": "CHAT", "seq": 1}, {"conversation": "FOREIGN", "seq": 1}]}'),
    ("ack", '{"conversation": "CHAT"}'),
    ("read_history", '{"conversation": "CHAT", "limit": 5}'),
    ("read_history", '{"conversation": "CHAT", "limit": 201}'),
    ("read_history", '{"conversation": "CHAT", "after": -1}'),
    ("read_history", '{"conversation": "FOREIGN"}'),
    ("list_conversations", "{}"),
    ("list_conversations", '{"cursor": "x"}'),
    ("list_conversations", '{"colour": "red"}'),
    ("sync", "{}"),
    ("sync", '{"since": 9007199254740991}'),
    ("sync", '{"messages": 101}'),
]
MALFORMED: Final = ['{"cursor": ', '{"limit": NaN}', '{"limit": 1, "limit": 2}', "[" * 30_000, '{"cursor": "\xff"}']


@pytest.mark.parametrize(("name", "body"), SAME, ids=[f"{name}-{number}" for number, (name, _) in enumerate(SAME)])
def test_both_links_answer_alike(server: RunningServer, door: Door, name: str, body: str) -> None:
    alice, bob, carol = door.enter("alice", kind=Kind.WS_JSON), door.enter("bob"), door.enter("carol")
    chat = alice.direct(bob.user)
    alice.say(chat, "once", "same-1")
    for word, meant in {"BOB": bob.user, "CHAT": chat, "FOREIGN": carol.direct(bob.user)}.items():
        body = body.replace(word, meant)
    alice.wire.send(f'{{"id": 99, "{in_json(name)}": {body}}}'.encode())
    [long] = [value for key, value in json.loads(encode_text(alice.reply(99))).items() if key != "id"]
    status, short = post(server, name, body.encode(), f"Bearer {server.token(alice.user)}")
    if "code" in long:
        row = errors.TABLE[long["code"]]
        own = {"remedy": row.remedy, "retry": row.retry}
        assert (status, short) == (row.http, {"error": long | own})
    else:
        assert status == 200
        assert steady(short) == steady(long)


def in_json(name: str) -> str:
    """A request's name as a frame in JSON has it."""
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def steady(answer: Any) -> Any:
    """An answer without what depends on the moment in which it was asked for."""
    return {key: value for key, value in answer.items() if key != "syncedAt"}


@pytest.mark.parametrize("body", MALFORMED, ids=["cut", "NaN", "doubled", "deep", "no UTF-8"])
def test_what_is_no_json_is_refused_with_the_same_code(server: RunningServer, door: Door, body: str) -> None:
    alice = door.enter("alice", kind=Kind.WS_JSON)
    data = body.encode("latin-1")
    status, short = post(server, "list_conversations", data, f"Bearer {server.token(alice.user)}")
    assert (status, short["error"]["name"]) == (400, "frame_malformed")
    alice.wire.send(b'{"id": 1, "list_conversations": ' + data + b"}")
    # Text that is no UTF-8 breaks a rule of WebSocket itself (RFC 6455 section 8.1), before anybody reads a frame.
    assert alice.end().code == (1007 if b"\xff" in data else short["error"]["code"])


STRANGERS: Final[list[tuple[str, Row]]] = [
    ("nothing", errors.TOKEN_MISSING),
    ("nonsense", errors.TOKEN_INVALID),
    ("expired", errors.TOKEN_EXPIRED),
    ("signed by a stranger", errors.TOKEN_INVALID),
    ("for another audience", errors.TOKEN_FOREIGN),
    ("forged key", errors.KEY_INVALID),
    ("key of another device", errors.KEY_FOREIGN),
    ("key of a session that has ended", errors.SESSION_UNKNOWN),
]


@pytest.mark.parametrize(("shown", "row"), STRANGERS, ids=[shown for shown, _ in STRANGERS])
def test_both_links_refuse_a_stranger_alike(server: RunningServer, door: Door, shown: str, row: Row) -> None:
    secret = read_data_key(server.data)
    alice, phone = door.name("alice"), door.open()
    key = phone.connect(alice, "phone", server.token(alice)).key
    tokens = {
        "nothing": "",
        "nonsense": "a.b.c",
        "expired": server.token(alice, days=-1),
        "signed by a stranger": jwt.token("HS256", jwt.hs256(b"x" * 32), sub=alice),
        "for another audience": jwt.token("HS256", secret.sign, sub=alice, aud="others"),
    }
    keys = {"forged key": key[:9] + ("A" if key[9] != "A" else "B") + key[10:]}
    device = "tablet" if shown == "key of another device" else "phone"
    if shown == "key of a session that has ended":
        phone.ask(Frame(logout=Logout()))
    stranger = door.open()
    if shown in tokens:
        proof = f"Bearer {tokens[shown]}"
        refused = stranger.ask(Frame(connect=Connect(version=1, token=tokens[shown], device=device)))
    else:
        proof = f"Longlink {keys.get(shown, key)}"
        refused = stranger.ask(Frame(connect=Connect(version=1, key=keys.get(shown, key), device=device)))
    status, short = post(server, "list_conversations", b"{}", proof, device)
    assert (short["error"]["name"], status) == (row.name, row.http)
    assert error_of(refused, row).code == short["error"]["code"]


def test_a_key_calls_for_its_session_and_dies_with_it(server: RunningServer, door: Door) -> None:
    bob, phone, tablet = door.enter("bob"), door.open(), door.enter("alice", "tablet")
    key = phone.connect(tablet.user, "phone", server.token(tablet.user)).key
    chat = tablet.direct(bob.user)
    said = {"conversation": chat, "clientId": "k-1", "content": {"text": "by key"}}
    assert call(server, key, "send", said, "Longlink")[1]["seq"] == "1"
    assert (bob.message().seq, tablet.message().seq) == (1, 1)
    assert phone.pending() == [], "its own session gets no echo"
    forged = key[:9] + ("A" if key[9] != "A" else "B") + key[10:]
    assert call(server, forged, "send", said, "Longlink")[1]["error"]["name"] == "key_invalid"
    assert call(server, key, "logout", {}, "Longlink") == (200, {"sessions": 1})
    ends_with(phone, errors.LOGGED_OUT)
    status, answer = call(server, key, "send", said, "Longlink")
    assert (status, answer["error"]["name"]) == (401, "session_unknown")
    assert tablet.pending() == []


class Stream:
    """The way down of the fallback: a POST on the long link's port, whose answer does not end."""

    def __init__(self, server: RunningServer, token: str, device: str) -> None:
        self._connection = HTTPConnection("127.0.0.1", server.port, timeout=ANSWER_S)
        frame = Frame(id=1, connect=Connect(version=1, token=token, device=device))
        self._connection.request("POST", "/v1/events", encode_text(frame))
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200

    def next(self) -> dict[str, Any]:
        """The next frame; the close as what it says."""
        while not (line := self._answer.readline()).startswith(b"data: "):
            assert line, "the stream has ended"
        return dict(json.loads(line[len(b"data: ") :]))

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def test_stream_and_frames_together_are_a_whole_link(server: RunningServer, door: Door) -> None:
    bob, name = door.enter("bob"), door.name("alice")
    with Stream(server, server.token(name), "phone") as stream:
        key = stream.next()["connected"]["key"]

        def up(*frames: dict[str, Any]) -> list[dict[str, Any]]:
            return list(call(server, key, "frames", {"frames": frames}, "Longlink")[1]["frames"])

        [opened] = up({"id": 2, "openDirect": {"user": bob.user}})
        chat = opened["conversation"]["id"]
        said = [{"conversation": chat, "clientId": f"s-{n}", "content": {"text": f"{n}"}} for n in range(3)]
        sent = up(*({"id": 3 + n, "send": each} for n, each in enumerate(said)))
        assert [(reply["id"], reply["sent"]["seq"]) for reply in sent] == [(3, "1"), (4, "2"), (5, "3")]
        assert [bob.message().content.text for _ in range(3)] == ["0", "1", "2"]
        bob.say(chat, "an answer")
        assert stream.next()["message"]["content"] == {"text": "an answer"}, "without an echo of its own before"
        [acked] = up({"id": 6, "ack": {"conversation": chat, "seq": 4}})
        assert acked["acked"]["seq"] == "4"
        assert up({"id": 7, "logout": {}}) == [{"id": 7, "loggedOut": {"sessions": 1}}]
        assert stream.next()["closing"]["name"] == "logged_out"
        assert stream.next()["code"] == errors.LOGGED_OUT.code


def test_a_token_logs_out_everywhere_or_nobody(server: RunningServer, door: Door) -> None:
    phone, tablet, bob = door.enter("alice"), door.enter("alice", "tablet"), door.enter("bob")
    token = server.token(phone.user)
    assert call(server, token, "logout", {}) == (200, {}), "a token has no session of its own"
    assert (phone.pending(), tablet.pending()) == ([], [])
    assert call(server, token, "logout", {"everywhere": True}) == (200, {"sessions": 2})
    for link in (phone, tablet):
        ends_with(link, errors.LOGGED_OUT)
    assert bob.pending() == []
    assert call(server, token, "list_conversations", {})[0] == 200, "a token is good until it expires"


def test_who_has_never_connected_calls_too(server: RunningServer, door: Door) -> None:
    bob = door.enter("bob")
    job = server.token(door.name("nightly"))
    status, opened = call(server, job, "open_direct", {"user": bob.user})
    assert status == 200
    said = {"conversation": opened["id"], "clientId": "n-1", "content": {"text": "the backup is done"}}
    assert call(server, job, "send", said)[1]["seq"] == "1"
    assert bob.message().sender == door.name("nightly")


def test_what_a_device_missed_is_one_call(server: RunningServer, door: Door) -> None:
    alice, bob = door.enter("alice"), door.enter("bob")
    chat = alice.direct(bob.user)
    for number in range(3):
        alice.say(chat, f"{number}")
    token = server.token(bob.user)
    synced = call(server, token, "sync", {"messages": 2})[1]
    [change] = synced["changes"]
    assert (change["conversation"]["id"], change["conversation"]["unread"], change["more"]) == (chat, "3", True)
    assert [message["seq"] for message in change["messages"]] == ["2", "3"]
    page = call(server, token, "read_history", {"conversation": chat, "before": 2})[1]
    assert [message["seq"] for message in page["messages"]] == ["1"]
    assert call(server, token, "ack", {"conversation": chat, "seq": 3, "read": 3})[1]["read"] == "3"
    alice.say(chat, "one more")
    later = call(server, token, "sync", {"since": synced["syncedAt"]})[1]
    assert later["changes"][0]["conversation"]["unread"] == "1"


def test_who_goes_in_the_middle_of_a_call_disturbs_nobody(server: RunningServer, door: Door) -> None:
    alice = door.enter("alice")
    host, _, port = server.http.partition("://")[2].partition(":")
    proof = f"Authorization: Bearer {server.token(alice.user)}"
    head = f"POST /v1/sync HTTP/1.1\r\nHost: x\r\n{proof}\r\nContent-Length: 99\r\n\r\n{{"
    for _ in range(20):
        with socket.create_connection((host, int(port)), ANSWER_S) as leaver:
            leaver.sendall(head.encode())
    assert call(server, server.token(alice.user), "sync", {})[0] == 200
    assert failures(server) == []


def test_calls_of_both_links_under_way_when_logic_dies_are_answered_when_it_is_back() -> None:
    with run_server(settings=WORKERS) as server, Door(server) as door:
        alice, bob = door.enter("alice"), door.enter("bob")
        chat, token = alice.direct(bob.user), server.token(alice.user)
        server.kill_worker("logic")
        said = [{"conversation": chat, "clientId": f"w-{n}", "content": {"text": f"{n}"}} for n in range(4)]
        with ThreadPoolExecutor(4) as callers:
            told = list(callers.map(lambda body: call(server, token, "send", body), said))
        assert [status for status, _ in told] == [200] * 4
        assert sorted(answer["seq"] for _, answer in told) == ["1", "2", "3", "4"]
        assert {message.content.text for message in bob.history(chat).messages} == {"0", "1", "2", "3"}


def test_calls_are_counted(server: RunningServer, door: Door) -> None:
    token = server.token(door.enter("alice").user)
    done, refused = (f'longlink_http_calls_total{{method="ack",outcome="{each}"}}' for each in ("done", "refused"))
    unknown = 'longlink_errors_total{name="conversation_unknown"}'
    before = [metric(server, name) for name in (done, refused, unknown)]
    for number in range(3):
        assert call(server, token, "ack", {"conversation": f"d_{number}", "seq": 1})[0] == 404
    eventually(lambda: metric(server, refused) == before[1] + 3, "they are counted")
    assert (metric(server, done), metric(server, unknown)) == (before[0], before[2] + 3), "each error once"


def test_a_user_who_calls_too_often_waits_and_others_do_not(server: RunningServer, door: Door) -> None:
    alice, bob = door.enter("alice"), door.enter("bob")
    token = server.token(alice.user)
    frames = {"frames": [{"id": n, "listConversations": {"limit": 200}} for n in range(1, 65)]}
    said = [call(server, token, "frames", frames)[1] for _ in range(8)]
    refused = [answer["error"] for whole in said for answer in whole.get("frames", [whole]) if "error" in answer]
    assert refused
    assert all(error["name"] == "rate_limited" and error["retryAfterMs"] > 0 for error in refused)
    assert call(server, server.token(bob.user), "list_conversations", {})[0] == 200
    eventually(lambda: metric(server, "longlink_account_refused_total") >= len(refused), "they are counted")


def test_the_description_is_served(server: RunningServer) -> None:
    with urllib.request.urlopen(f"{server.http}/v1/openapi.json", timeout=ANSWER_S) as answer:
        assert json.loads(answer.read())["openapi"] == "3.1.0"


def test_a_body_beyond_the_bound_is_refused_whatever_is_in_it_as_on_the_long_link() -> None:
    with run_server(settings={"LONGLINK_CONNECTION_MAX_MESSAGE_BYTES": "2000"}) as small, Door(small) as door:
        alice = door.enter("alice", kind=Kind.WS_JSON)
        said = {"conversation": "c", "clientId": "m", "content": {"text": "x" * 2000}}
        status, answer = call(small, small.token(alice.user), "send", said)
        assert (status, answer["error"]["name"]) == (413, "frame_too_large")
        alice.post_text("c", "x" * 2000, "m")
        assert alice.end().code == TOO_LONG
