"""The description of the short link: a valid OpenAPI 3.1 document, fresh, and true of the answers."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from longlink.access.http.calls import METHODS
from longlink.errors import TABLE, LonglinkError
from longlink.protocol.frames import Content, Frame, History, Message, Sent
from longlink.routing.calls import Call

from .short_link import Stage
from .test_calls import SEND


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return Stage(tmp_path_factory.mktemp("data"), answer_all).ask("GET", "/v1/openapi.json").json()


def answer_all(call: Call) -> Frame | LonglinkError:
    if call.frame.HasField("read_history"):
        message = Message(conversation="c", seq=1, sender="bob", content=Content(text="hi", mentions=["alice"]))
        return Frame(history=History(conversation="c", messages=[message], head=1))
    return Frame(sent=Sent(conversation="c", seq=2**53))


def check(document: Any, name: str, value: object) -> None:
    """The value has the shape that the document gives to this name, and no field that it does not name."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": closed(document["components"])}
    Draft202012Validator(schema).validate(value)


def closed(part: Any) -> Any:
    """The same shapes without room for what they do not name; a client must leave that room, a test must not."""
    if isinstance(part, list):
        return [closed(each) for each in part]
    if not isinstance(part, dict):
        return part
    within = {name: closed(each) for name, each in part.items()}
    return within | {"additionalProperties": False} if part.get("type") == "object" else within


def test_it_is_an_openapi_document(document: Any) -> None:
    validate(document)
    assert document["openapi"].startswith("3.1")


def test_it_says_which_version_it_is_of_and_shows_nothing_that_only_connections_have(document: Any) -> None:
    assert document["info"]["version"] == version("longlink")
    assert not {"Connect", "Connected", "Adjust", "Delivered", "Closing"} & {*document["components"]["schemas"]}


def test_every_example_is_a_request_of_its_schema_that_the_server_takes(document: Any, tmp_path: Path) -> None:
    stage = Stage(tmp_path, answer_all)
    for path, methods in document["paths"].items():
        body = methods["post"]["requestBody"]["content"]["application/json"]
        schema = {**body["schema"], "components": document["components"]}
        Draft202012Validator(schema).validate(body["example"])
        assert stage.post(path, body["example"]).status_code == 200, path
        assert methods["post"]["tags"]


def test_it_names_every_method_and_every_error(document: Any) -> None:
    assert {*document["paths"]} == {f"/v1/{name}" for name in (*METHODS, "frames")}
    names = document["components"]["schemas"]["Error"]["properties"]["error"]["properties"]["name"]["enum"]
    assert names == [row.name for row in sorted(TABLE.values(), key=lambda row: row.code) if row.code < 4900]
    for path in document["paths"].values():
        assert len(path["post"]["description"]) > len("Answer: X."), "words for people"


def test_answers_and_errors_have_the_shapes_that_it_gives(document: Any, tmp_path: Path) -> None:
    stage = Stage(tmp_path, answer_all)
    check(document, "Sent", stage.post("/v1/send", SEND).json())
    check(document, "History", stage.post("/v1/read_history", {"conversation": "c"}).json())
    check(document, "Error", stage.post("/v1/send", {}).json())
    for reply in stage.post("/v1/frames", {"frames": [{"id": 1, "send": SEND}, {"id": 2}]}).json()["frames"]:
        check(document, "Reply", reply)


REQUESTS: Final = [
    ("Send", SEND, True),
    ("Send", SEND | {"color": 1}, False),
    ("Ack", {"conversation": "c", "seq": 7}, True),
    ("Ack", {"conversation": "c", "seq": "7"}, True),
    ("Ack", {"conversation": "c", "seq": "seven"}, False),
    ("Sync", {"limit": -1}, False),
    ("Sync", {"limit": "200", "cursor": None}, True),
    ("Sync", {"limit": 201}, False),
    ("ReadHistory", {"conversation": "c", "after": "9007199254740993"}, False),
    ("Send", {"conversation": "c", "clientId": "m"}, False),
    ("Send", SEND | {"content": {}}, False),
    ("Send", SEND | {"content": {"text": "a", "custom": {"type": "b"}}}, False),
    ("Send", SEND | {"clientId": "x" * 65}, False),
    ("Ack", {"conversation": "c"}, False),
    ("Ack", {"conversation": "c", "seq": 0, "read": 3}, True),
    ("Ack", {"marks": [{"conversation": "c", "seq": 1}]}, True),
    ("Ack", {"conversation": "c", "marks": [{"conversation": "c", "seq": 1}]}, False),
]


@pytest.mark.parametrize(("name", "body", "good"), REQUESTS)
def test_it_takes_the_requests_that_the_server_takes(document: Any, name: str, body: object, good: bool) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    assert Draft202012Validator(schema).is_valid(json.loads(json.dumps(body))) is good
