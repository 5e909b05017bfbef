"""Chapter 13: the short link. The same requests over HTTP and over the long link give the same answers (F8-2, WX-1)."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any, Final

import pytest

from longlink import errors
from longlink.protocol.codec import decode_text, encode_text
from longlink.protocol.frames import Frame
from longlink.testing import RunningServer, run_server

from .people import Door, ends_with, eventually, metric
from .raw import ANSWER_S

BOTH = True


def call(server: RunningServer, token: str, name: str, body: object, scheme: str = "Bearer") -> tuple[int, Any]:
    """Status and answer of one call. token: or a key, with the scheme Longlink."""
    data = json.dumps(body).encode()
    headers = {"Authorization": f"{scheme} {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.http}/v1/{name}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


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


SAME: Final[list[tuple[str, dict[str, Any]]]] = [
    ("open_direct", {"user": "BOB"}),
    ("open_direct", {"user": "nobody.at.all"}),
    ("open_direct", {"user": ""}),
    ("send", {"conversation": "CHAT", "clientId": "same-1", "content": {"text": "once"}}),
    ("send", {"conversation": "CHAT", "clientId": "same-1", "content": {"text": "other words"}}),
    ("send", {"conversation": "CHAT", "clientId": "same-2"}),
    ("send", {"conversation": "d_nowhere", "clientId": "same-3", "content": {"text": "x"}}),
    ("ack", {"conversation": "CHAT", "seq": "99"}),
    ("ack", {"conversation": "CHAT"}),
    ("read_history", {"conversation": "CHAT", "limit": 5}),
    ("read_history", {"conversation": "CHAT", "limit": 201}),
    ("read_history", {"conversation": "FOREIGN"}),
    ("list_conversations", {"cursor": "x"}),
    ("list_conversations", {"colour": "red"}),
]


@pytest.mark.parametrize(("name", "body"), SAME, ids=[f"{name}-{number}" for number, (name, _) in enumerate(SAME)])
def test_both_links_answer_alike(server: RunningServer, door: Door, name: str, body: dict[str, Any]) -> None:
    alice, bob, carol = door.enter("alice"), door.enter("bob"), door.enter("carol")
    chat = alice.direct(bob.user)
    alice.say(chat, "once", "same-1")
    places = {"BOB": bob.user, "CHAT": chat, "FOREIGN": carol.direct(bob.user)}
    asked = {key: places.get(value, value) if isinstance(value, str) else value for key, value in body.items()}
    status, short = call(server, server.token(alice.user), name, asked)
    long = _over_the_long_link(alice, name, asked)
    if "error" in long:
        assert {key: short["error"][key] for key in ("code", "message")} == long["error"]
        assert status == errors.TABLE[short["error"]["code"]].http
    else:
        [answer] = [value for key, value in long.items() if key != "id"]
        assert (status, short) == (200, answer)


def _over_the_long_link(link: Any, name: str, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        frame = decode_text(json.dumps({name: asked}))
    except errors.LonglinkError as refused:
        return {"error": {"code": refused.code, "message": refused.message}}
    reply: Frame = link.ask(frame)
    told = dict(json.loads(encode_text(reply)))
    return {"error": {key: told["error"][key] for key in ("code", "message")}} if "error" in told else told


def test_who_has_no_token_or_an_old_one_is_nobody(server: RunningServer, door: Door) -> None:
    alice = door.enter("alice")
    assert call(server, "", "list_conversations", {})[1]["error"]["name"] == "token_missing"
    assert call(server, "a.b.c", "list_conversations", {})[0] == 401
    old = server.token(alice.user, days=-1)
    assert call(server, old, "list_conversations", {})[1]["error"]["name"] == "token_expired"


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


def test_a_user_who_calls_too_often_waits_and_others_do_not(server: RunningServer, door: Door) -> None:
    alice, bob = door.enter("alice"), door.enter("bob")
    token = server.token(alice.user)
    frames = {"frames": [{"id": n, "listConversations": {"limit": 1}} for n in range(1, 65)]}
    answers = [call(server, token, "frames", frames) for _ in range(8)]
    refused = [said["error"] for status, said in answers if status == 429]
    assert refused
    assert all(error["name"] == "rate_limited" and error["retryAfterMs"] > 0 for error in refused)
    assert call(server, server.token(bob.user), "list_conversations", {})[0] == 200
    eventually(lambda: metric(server, "longlink_http_limited_total") >= len(refused), "they are counted")


def test_the_description_is_served(server: RunningServer) -> None:
    with urllib.request.urlopen(f"{server.http}/v1/openapi.json", timeout=ANSWER_S) as answer:
        assert json.loads(answer.read())["openapi"] == "3.1.0"


def test_a_body_beyond_the_bound_is_refused_whatever_is_in_it() -> None:
    with run_server(settings={"LONGLINK_CONNECTION_MAX_MESSAGE_BYTES": "2000"}) as small, Door(small) as door:
        alice = door.enter("alice")
        said = {"conversation": "c", "clientId": "m", "content": {"text": "x" * 2000}}
        status, answer = call(small, small.token(alice.user), "send", said)
        assert (status, answer["error"]["name"]) == (413, "frame_too_large")
