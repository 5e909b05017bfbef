"""The short link, asked in memory: who may call, what a call may hold, and that answers are those of the handler."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from longlink import errors
from longlink.access.http.calls import METHODS, OUTCOMES
from longlink.access.http.frames import ANSWER_BYTES, FRAMES
from longlink.errors import LonglinkError, Row
from longlink.protocol.codec import decode_text
from longlink.protocol.frames import REQUESTS, Acked, Content, Frame, History, LoggedOut, Message, Sent
from longlink.routing.calls import Call
from longlink.routing.work import HTTP_CALL

from .short_link import MOST_BYTES, Stage

SEND = {"conversation": "c", "clientId": "m", "content": {"text": "hi"}}


def say_sent(call: Call) -> Frame | LonglinkError:
    return Frame(sent=Sent(conversation=call.frame.send.conversation, seq=7, client_id=call.frame.send.client_id))


def say_by_body(call: Call) -> Frame | LonglinkError:
    if call.frame.HasField("ack"):
        return Frame(acked=Acked(conversation=call.frame.ack.conversation, seq=call.frame.ack.seq))
    return say_sent(call)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path, say_by_body)


def test_every_request_is_a_call_but_those_about_a_link() -> None:
    assert {*REQUESTS} - {*METHODS} == {"connect", "adjust"}


def test_a_call_is_the_request_in_json_and_its_answer_the_reply(stage: Stage) -> None:
    answer = stage.post("/v1/send", SEND)
    assert (answer.status_code, answer.json()) == (200, {"conversation": "c", "seq": "7", "clientId": "m"})
    assert answer.headers["cache-control"] == "no-store"
    [[call]] = stage.batches
    assert (call.session.user, call.session.device) == ("alice", "http")
    assert (call.session.id, call.session.link, call.session.connection) == (0, 0, 0)


def test_no_body_stands_for_a_request_without_fields(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lambda _: Frame(logged_out=LoggedOut(sessions=2)))
    assert stage.post("/v1/logout", content=b"").json() == {"sessions": 2}


def test_a_key_calls_for_its_session(stage: Stage) -> None:
    assert stage.post("/v1/send", SEND, {"Authorization": f"longlink {stage.key()}"}).status_code == 200
    [[call]] = stage.batches
    session = call.session
    assert (session.user, session.device, session.platform, session.id, session.link) == ("alice", "phone", "ios", 7, 8)


def test_a_device_may_be_named(stage: Stage) -> None:
    stage.post("/v1/send", SEND, {"Longlink-Device": "cron-1"})
    assert stage.batches[0][0].session.device == "cron-1"


def test_an_error_of_logic_has_the_status_of_its_row(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lambda _: LonglinkError(errors.OVERLOADED, "too much waits", retry_after_ms=1500))
    answer = stage.post("/v1/send", SEND)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["error"] == {
        "code": 4010,
        "name": "overloaded",
        "message": "too much waits",
        "remedy": errors.OVERLOADED.remedy,
        "retry": True,
        "retryAfterMs": 1500,
    }
    assert stage.counts.errors["overloaded"] == 0, "logic has counted it"
    told = decode_text(answer.content, strict=False).error
    assert (told.code, told.retry_after_ms) == (4010, 1500), "it reads as the Error of a frame"


REFUSED: list[tuple[str, dict[str, str], bytes, Row]] = [
    ("no proof", {"Authorization": ""}, b"{}", errors.TOKEN_MISSING),
    ("another scheme", {"Authorization": "Basic YTpi"}, b"{}", errors.TOKEN_MISSING),
    ("a broken token", {"Authorization": "Bearer x.y.z"}, b"{}", errors.TOKEN_INVALID),
    ("an empty token", {"Authorization": "Bearer "}, b"{}", errors.TOKEN_MISSING),
    ("a forged key", {"Authorization": "Longlink 1abc"}, b"{}", errors.KEY_INVALID),
    ("a bad device", {"Longlink-Device": "a b"}, b"{}", errors.FIELD_INVALID),
    ("another type", {"Content-Type": "text/plain"}, b"{}", errors.FRAME_MALFORMED),
    ("no type", {"Content-Type": ""}, b"{}", errors.FRAME_MALFORMED),
    ("a key of another device", {"Authorization": "KEY", "Longlink-Device": "tablet"}, b"{}", errors.KEY_FOREIGN),
    ("no JSON", {}, b"{", errors.FRAME_MALFORMED),
    ("no text", {}, b"\xff{}", errors.FRAME_MALFORMED),
    ("no object", {}, b"[]", errors.FRAME_MALFORMED),
    ("a doubled field", {}, b'{"seq": 1, "seq": 2}', errors.FRAME_MALFORMED),
    ("an unknown field", {}, b'{"conversaton": "c"}', errors.FIELD_INVALID),
    ("a whole frame", {}, b'{"id": 1, "ack": {}}', errors.FIELD_INVALID),
    ("a field out of range", {}, b'{"conversation": "c", "seq": "0"}', errors.FIELD_INVALID),
    ("too much", {}, b" " * (MOST_BYTES + 1), errors.FRAME_TOO_LARGE),
]


@pytest.mark.parametrize(("headers", "body", "row"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_wrong_is_refused_before_logic(stage: Stage, headers: dict[str, str], body: bytes, row: Row) -> None:
    if headers.get("Authorization") == "KEY":
        headers = headers | {"Authorization": f"Longlink {stage.key()}"}
    answer = stage.post("/v1/ack", content=body, headers={"Content-Type": "application/json"} | headers)
    assert (answer.status_code, answer.json()["error"]["name"]) == (row.http, row.name)
    assert stage.batches == []
    assert stage.counts.errors[row.name] == 1


def test_a_body_is_refused_by_its_announced_length_before_it_is_read(stage: Stage) -> None:
    assert run_raw(stage, [], [(b"content-length", b"1001")])[0]["status"] == 413
    assert run_raw(stage, [], [(b"content-length", b"9" * 5_000)])[0]["status"] == 413


def test_a_body_without_a_length_is_refused_as_soon_as_it_is_too_long(stage: Stage) -> None:
    part = {"type": "http.request", "body": b" " * 600, "more_body": True}
    assert run_raw(stage, [part, part], [])[0]["status"] == 413


def test_who_goes_before_his_request_is_whole_is_not_answered_and_is_no_defect(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    part = {"type": "http.request", "body": b"{", "more_body": True}
    assert run_raw(stage, [part, {"type": "http.disconnect"}], []) == []
    assert (caplog.records, stage.batches) == ([], [])


def test_a_defect_is_told_without_its_details_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Call) -> Frame | LonglinkError:
        raise RuntimeError("at the secret place")

    stage = Stage(tmp_path, fail)
    answer = stage.post("/v1/send", SEND)
    assert (answer.status_code, answer.json()["error"]["name"]) == (500, "internal")
    assert "secret" not in answer.text
    assert "call_defect" in caplog.text
    assert stage.counts.http_calls["send,later"] == 1


def run_raw(stage: Stage, parts: list[dict[str, object]], headers: list[tuple[bytes, bytes]]) -> list[dict[str, Any]]:
    """What the app says to a request of alice whose body comes in these parts, and not one more."""
    told: list[dict[str, Any]] = []
    own = [(b"authorization", f"Bearer {stage.token()}".encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/send", "headers": [*own, *headers]}

    async def receive() -> Any:
        return parts.pop(0)

    async def send(message: Any) -> None:
        told.append(message)

    async def ask() -> None:
        await stage.app(scope, receive, send)

    asyncio.run(ask())
    return told


@pytest.mark.parametrize("field", ["Authorization", "Longlink-Device"])
def test_a_field_that_says_who_asks_comes_once(stage: Stage, field: str) -> None:
    given = {"Authorization": f"Longlink {stage.key()}", "Longlink-Device": "phone"}
    answer = stage.ask("POST", "/v1/send", json=SEND, headers=[*given.items(), (field, given[field])])
    assert answer.json()["error"]["name"] == "field_invalid"
    assert stage.batches == []


def test_an_expired_key_is_refused(stage: Stage) -> None:
    key = stage.key()
    stage.now_s += 61
    answer = stage.post("/v1/send", SEND, {"Authorization": f"Longlink {key}"})
    assert (answer.status_code, answer.json()["error"]["name"]) == (401, "key_expired")


def test_a_user_who_calls_too_often_is_told_how_long_to_wait(tmp_path: Path) -> None:
    stage = Stage(tmp_path, say_sent, rate=2, burst=2)
    assert [stage.post("/v1/send", SEND).status_code for _ in range(4)] == [200, 200, 429, 429]
    answer = stage.post("/v1/send", SEND)
    assert answer.headers["retry-after"] == "1"
    assert 0 < answer.json()["error"]["retryAfterMs"] <= 1_000
    bob = {"Authorization": f"Bearer {stage.token('bob')}"}
    assert stage.post("/v1/send", SEND, bob).status_code == 200
    stage.now_s += 1.0
    assert stage.post("/v1/send", SEND).status_code == 200
    assert stage.counts.account_refused == 3


def test_frames_get_their_replies_in_order_and_those_of_one_body_go_together(stage: Stage) -> None:
    frames = [
        {"id": 4, "send": SEND},
        {"id": 3, "ack": {"conversation": "c", "seq": "7"}},
        {"id": 9, "send": SEND | {"clientId": "n"}},
        {"id": 5, "send": SEND | {"colour": 1}},
        {"id": 6, "adjust": {}},
        {"id": 7, "connect": {"version": 1, "device": "d", "token": "t"}},
        {"send": SEND},
        {"id": 8},
    ]
    replies = stage.post("/v1/frames", {"frames": frames}).json()["frames"]
    assert [reply.get("id", 0) for reply in replies] == [4, 3, 9, 5, 6, 7, 0, 8]
    assert [reply["sent"]["clientId"] for reply in (replies[0], replies[2])] == ["m", "n"]
    assert replies[1]["acked"] == {"conversation": "c", "seq": "7"}
    names = [reply["error"]["name"] for reply in replies[3:]]
    assert names == ["field_invalid", "frame_unexpected", "frame_unexpected", "field_invalid", "frame_unknown"]
    assert sorted(len(batch) for batch in stage.batches) == [1, 2]


LISTS: list[tuple[dict[str, object], str]] = [
    ({"frames": []}, f"frames: expected an array of 1 to {FRAMES} frames, got 0 of them"),
    ({"frames": [{}] * (FRAMES + 1)}, f"frames: expected an array of 1 to {FRAMES} frames, got {FRAMES + 1} of them"),
    ({"frames": {}}, f"frames: expected an array of 1 to {FRAMES} frames, got a JSON object"),
    ({}, f"frames: expected an array of 1 to {FRAMES} frames, got a JSON null"),
    ({"frame": [], "frames": []}, '"frame": no such field; there is frames alone'),
]


@pytest.mark.parametrize(("body", "message"), LISTS, ids=[str(number) for number in range(len(LISTS))])
def test_a_list_of_frames_that_is_none_or_too_long_is_refused(
    stage: Stage, body: dict[str, object], message: str
) -> None:
    error = stage.post("/v1/frames", content=json.dumps(body), headers=JSON).json()["error"]
    assert (error["name"], error["message"]) == ("field_invalid", message)
    assert stage.batches == []


def test_a_long_answer_leaves_turns_to_others(tmp_path: Path) -> None:
    text = "x" * 1_000
    page = Frame(history=History(messages=[Message(seq=1, content=Content(text=text))]))
    stage = Stage(tmp_path, lambda _: page)
    turns: list[int] = []

    async def count_turns() -> None:
        while True:
            turns.append(len(turns))
            await asyncio.sleep(0)

    frames = {"frames": [{"id": number, "readHistory": {"conversation": "c"}} for number in range(1, 11)]}

    async def ask() -> int:
        counting = asyncio.create_task(count_turns())
        answer = await stage.ask_within("POST", "/v1/frames", json=frames, headers=stage.bearer())
        counting.cancel()
        return len(answer.json()["frames"])

    assert asyncio.run(ask()) == 10
    before = len(turns)
    turns.clear()
    frames["frames"] = frames["frames"][:1]
    assert asyncio.run(ask()) == 1
    assert before >= len(turns) + 2, "a turn for others behind each page"


def test_a_call_of_many_frames_costs_more_than_a_call_of_one(tmp_path: Path) -> None:
    stage = Stage(tmp_path, say_sent, rate=1, burst=10)
    waits = []
    for user, number in (("alice", 1), ("bob", 8)):
        headers = {"Authorization": f"Bearer {stage.token(user)}"}
        frames = [{"id": each, "send": SEND} for each in range(1, number + 1)]
        assert stage.post("/v1/frames", {"frames": frames}, headers).status_code == 200
        stage.accounts.charge(user, 10 * HTTP_CALL)
        waits.append(stage.accounts.wait_s(user))
    assert waits[1] > waits[0] > 0


def test_an_answer_has_a_bound_and_the_frames_behind_it_are_asked_again(tmp_path: Path) -> None:
    page = Frame(history=History(messages=[Message(seq=1, content=Content(text="x" * (ANSWER_BYTES // 4)))]))
    stage = Stage(tmp_path, lambda _: page)
    frames = [{"id": number, "readHistory": {"conversation": "c"}} for number in range(1, 11)]
    replies = stage.post("/v1/frames", {"frames": frames}).json()["frames"]
    assert [reply["error"]["name"] for reply in replies if "error" in reply] == ["overloaded"] * 6
    assert len(stage.batches) == 4, "nothing is read for an answer that is full"


def test_a_page_of_another_origin_may_call_and_reads_every_answer(stage: Stage) -> None:
    preflight = stage.ask("OPTIONS", "/v1/send", headers={"Origin": "https://app.example"})
    assert (preflight.status_code, preflight.content) == (204, b"")
    assert preflight.headers["access-control-allow-methods"] == "POST"
    allowed = preflight.headers["access-control-allow-headers"].split(", ")
    assert allowed == ["Authorization", "Content-Type", "Longlink-Device"]
    for answer in (preflight, stage.post("/v1/send", SEND), stage.post("/v1/send", {}), stage.post("/v1/nothing")):
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_another_method_is_refused_and_the_right_ones_named(stage: Stage, method: str) -> None:
    answer = stage.ask(method, "/v1/send")
    assert (answer.status_code, answer.headers["allow"]) == (405, "OPTIONS, POST")
    assert answer.json()["error"]["message"] == f"expected one of OPTIONS, POST for /v1/send, got {method}"


def test_calls_are_counted_by_method_and_outcome(tmp_path: Path) -> None:
    stage = Stage(tmp_path, say_by_body, rate=1, burst=3)
    assert set(stage.counts.http_calls) == {f"{name},{each}" for name in ("frames", *METHODS) for each in OUTCOMES}
    stage.post("/v1/send", SEND)
    stage.post("/v1/send", {})
    stage.post("/v1/ack", {"conversation": "c", "seq": 1})
    stage.post("/v1/ack", {"conversation": "c", "seq": 1})
    stage.post("/v1/send", headers={"Authorization": ""})
    counted = {label: count for label, count in stage.counts.http_calls.items() if count}
    assert counted == {"send,done": 1, "send,refused": 2, "ack,done": 1, "ack,later": 1}
    assert sum(stage.counts.http_seconds.counts) == 5


JSON = {"Content-Type": "application/json"}


def test_an_address_that_sends_too_many_requests_without_a_token_is_refused_and_cut(tmp_path: Path) -> None:
    stage = Stage(tmp_path, say_by_body, burst=3, strangers_rate=1)
    nobody = {"Authorization": "Bearer x.y.z"}
    for method, path, status in (("POST", "/v1/send", 401), ("GET", "/v1/openapi.json", 200), ("GET", "/no", 404)):
        assert stage.ask(method, path, headers=nobody).status_code == status
    for method, path in (("POST", "/v1/send"), ("OPTIONS", "/v1/send"), ("GET", "/v1/openapi.json"), ("GET", "/no")):
        answer = stage.ask(method, path, headers=nobody)
        assert (answer.status_code, answer.json()["error"]["name"]) == (429, "rate_limited")
        assert (answer.headers["retry-after"], answer.headers["connection"]) == ("1", "close")
    assert stage.counts.http_strangers == 4
    assert stage.counts.errors["rate_limited"] == 4
    assert stage.post("/v1/send", SEND).status_code == 200, "a valid token is no stranger's"
    stage.now_s += 1
    assert stage.ask("GET", "/v1/openapi.json").status_code == 200


@pytest.mark.parametrize(
    ("authorization", "error"),
    [("", "invalid_request"), ("Bearer x.y.z", "invalid_token"), ("Longlink 1abc", "invalid_token")],
)
def test_every_401_says_which_proof_is_expected_and_pages_of_other_origins_may_read_it(
    stage: Stage, authorization: str, error: str
) -> None:
    answer = stage.post("/v1/send", SEND, {"Authorization": authorization})
    assert answer.status_code == 401
    scheme, _, parts = answer.headers["www-authenticate"].partition(" ")
    told = dict(re.findall(r'(\w+)="([^"]*)"', parts))
    assert (scheme, told["error"]) == ("Bearer", error)
    assert told["error_description"] == answer.json()["error"]["message"].replace('"', "'")[:200]
    assert "WWW-Authenticate" in answer.headers["access-control-expose-headers"]


def test_a_401_of_logic_has_the_scheme_too_and_other_errors_have_none(tmp_path: Path) -> None:
    ended = Stage(tmp_path, lambda _: LonglinkError(errors.SESSION_ENDED, 'a "quoted" \\ reason \u00fc'))
    said = ended.post("/v1/send", SEND).headers["www-authenticate"]
    assert said.endswith("error_description=\"a 'quoted' ' reason '\"")
    assert "www-authenticate" not in ended.post("/v1/send", {"clientId": 1}).headers


def test_fields_have_their_names_of_json_in_errors(stage: Stage) -> None:
    message = stage.post("/v1/send", {"conversation": "c", "content": {"text": "x"}}).json()["error"]["message"]
    assert message.startswith("send.clientId: expected 1 to 64 characters")
    assert message.endswith("got nothing: it is missing or empty")
    frames = [{"id": 5, "readHistory": {"conversation": "c", "limit": 201}}]
    [reply] = stage.post("/v1/frames", {"frames": frames}).json()["frames"]
    assert reply["error"]["message"].startswith("readHistory.limit: expected 0 to 200")


def test_errors_among_many_frames_say_what_to_do_as_those_of_single_calls_do(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lambda _: LonglinkError(errors.OVERLOADED, "too much waits", retry_after_ms=1500))
    frames = [{"id": 1, "ack": {}}, {"id": 2, "send": SEND}, {"nonsense": {}}]
    wrong, late, unknown = stage.post("/v1/frames", {"frames": frames}).json()["frames"]
    assert (wrong["id"], wrong["error"]["remedy"], wrong["error"]["retry"]) == (1, errors.FIELD_INVALID.remedy, False)
    assert (late["id"], late["error"]["remedy"], late["error"]["retry"]) == (2, errors.OVERLOADED.remedy, True)
    assert late["error"]["retryAfterMs"] == 1500
    assert ("id" in unknown, unknown["error"]["remedy"]) == (False, errors.FRAME_UNKNOWN.remedy)
