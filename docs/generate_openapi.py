"""Makes the description of the HTTP API from the code: openapi.json, which is served, and docs/reference/http.md.

Methods come from calls.METHODS, shapes and words from longlink.proto, errors from errors.TABLE. `make docs` runs it;
with --check it writes nothing and fails when a file is stale. Needs the dev dependencies. Read next: generate.py.
"""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from docs.generate import ROOT, Schema, read_schema
from docs.openapi_rules import (
    CONTENT,
    CUSTOM,
    EXAMPLES,
    ID,
    ITEM,
    MARK,
    MARK_RULE,
    MORE,
    RULES,
    TAG,
    TAGS,
    needs_body,
    required,
)
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

from longlink import errors
from longlink.access.http.calls import METHODS
from longlink.access.http.frames import FRAMES
from longlink.errors import TABLE

OPENAPI: Final = ROOT / "src/longlink/access/http/openapi.json"
PAGE: Final = ROOT / "docs/reference/http.md"
SERVER_OWN: Final = 4900
JSON_TYPE: Final = "application/json"
Json = dict[str, Any]

_F = FieldDescriptorProto
WHOLE: Final = {"type": "string", "pattern": "^-?[0-9]+$"}
SCALARS: Final[dict[int, Json]] = {
    _F.TYPE_STRING: {"type": "string"},
    _F.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    _F.TYPE_BOOL: {"type": "boolean"},
    _F.TYPE_UINT32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    _F.TYPE_UINT64: WHOLE | {"format": "uint64"},
    _F.TYPE_INT64: WHOLE | {"format": "int64"},
}
"""As answers have them."""
INTRO: Final = (
    "Every request of Longlink's protocol that is not about a link, as an HTTP call: the same rules, the same answers "
    "and the same errors as on a connection. Whole numbers of 64 bits are written as strings and taken as either; "
    "fields at their default are left out. A call may be repeated: what it did is not done twice."
)


def answer_of(comment: str) -> str:
    """The name of the reply: every request's comment says it."""
    found = re.search(r"Answer: (\w+)", comment)
    if found is None:
        raise ValueError(f"a request whose comment names no answer: {comment[:60]!r}")
    return found[1]


def camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


# The document --------------------------------------------------------------------------------------------------------


def document(schema: Schema) -> Json:
    """OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Longlink HTTP API",
            "version": version("longlink"),
            "description": INTRO,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": TAGS,
        "security": [{"token": []}, {"key": []}],
        "paths": {f"/v1/{name}": {"post": operation(schema, name)} for name in METHODS} | {"/v1/frames": frames()},
        "components": {
            "schemas": schemas(schema),
            "responses": {"Error": content("An error of the table.", ref("Error"))},
            "securitySchemes": security(),
        },
    }


def operation(schema: Schema, name: str) -> Json:
    said = schema.comment(*schema.messages[camel(name)])
    return {
        "operationId": name,
        "tags": [TAG[name]],
        "summary": said.partition(". ")[0].rstrip("."),
        "description": said,
        "requestBody": {
            "required": needs_body(name),
            "content": {JSON_TYPE: {"schema": ref(camel(name)), "example": EXAMPLES[name]}},
        },
        "responses": {"200": content(answer_of(said), ref(answer_of(said))), **refusals()},
    }


def frames() -> Json:
    asked = {"type": "object", "required": ["frames"], "additionalProperties": False}
    asked["properties"] = {
        "frames": {"type": "array", "items": ITEM, "minItems": 1, "maxItems": FRAMES},
    }
    told = {
        "type": "object",
        "required": ["frames"],
        "properties": {"frames": {"type": "array", "items": ref("Reply")}},
    }
    said = (
        "Many requests at once, as frames with ids of their own; each gets its reply, in order, also if it is an error."
    )
    return {
        "post": {
            "operationId": "frames",
            "tags": ["messages"],
            "summary": "Many requests at once",
            "description": said,
            "requestBody": {"required": True, "content": {JSON_TYPE: {"schema": asked, "example": EXAMPLES["frames"]}}},
            "responses": {"200": content("The replies.", told), **refusals()},
        }
    }


def refusals() -> Json:
    return {
        status: {"$ref": "#/components/responses/Error"} for status in ("401", "413", "422", "429", "503", "default")
    }


def content(description: str, schema: Json) -> Json:
    return {"description": description, "content": {JSON_TYPE: {"schema": schema}}}


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def security() -> Json:
    return {
        "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "key": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Longlink KEY`, with `Connected.key` of a session that has a long link or a stream.",
        },
    }


# Shapes --------------------------------------------------------------------------------------------------------------


def schemas(schema: Schema) -> Json:
    """Requests with their rules, replies as they are, and what both are made of."""
    replies = {answer_of(schema.comment(*schema.messages[camel(name)])) for name in METHODS}
    found = {name: shape(schema, schema.message(name)) for name in within(schema, replies)}
    found |= {camel(name): asked(schema, name) for name in METHODS}
    found["Mark"] = limited(schema, "Mark", MARK) | MARK_RULE
    found["SentContent"] = limited(schema, "Content", CONTENT)
    found["SentContent"] |= {"oneOf": [{"required": ["text"]}, {"required": ["custom"]}]}
    found["SentCustom"] = limited(schema, "Custom", CUSTOM) | {"required": ["type"]}
    names: Json = {name: ref(camel(name)) for name in METHODS}
    found["Request"] = one_of("A request with an id of its own.", names, id=ID) | {"additionalProperties": False}
    found["Request"]["required"] = ["id"]
    told = {snake(name): ref(name) for name in sorted(replies)} | {"error": ref("ErrorReply")}
    found["Reply"] = one_of("The answer to the request of this id.", told, id=ID)
    return found | {"Error": error_shape(), "ErrorReply": error_fields()}


def asked(schema: Schema, name: str) -> Json:
    made = limited(schema, camel(name), RULES[name])
    if needed := required(name):
        made["required"] = needed
    return made | MORE.get(name, {})


def limited(schema: Schema, name: str, rules: Json) -> Json:
    """A message as callers write it: with its rules, and null for every field that may be left out."""
    made = shape(schema, schema.message(name))
    made["additionalProperties"] = False
    for field, rule in rules.items():
        said = made["properties"][field].get("description")
        made["properties"][field] = rule | ({"description": said} if said else {})
    if {*rules} != {*made["properties"]}:
        raise ValueError(f"{name}: expected rules for {sorted(made['properties'])}, got {sorted(rules)}")
    return made


def within(schema: Schema, names: set[str]) -> list[str]:
    """These messages and all that they are made of, in the order of the schema."""
    found: set[str] = set()
    due = [*names]
    while due:
        name = due.pop()
        found.add(name)
        inner = {field.type_name.rpartition(".")[2] for field in schema.message(name).field if field.type_name}
        due += sorted((inner & {*schema.messages}) - found)
    return [name for name in schema.messages if name in found]


def one_of(said: str, bodies: Json, **fields: Json) -> Json:
    """An object with exactly one of these bodies."""
    properties = fields | {lower(name): body for name, body in bodies.items()}
    return {
        "description": said,
        "type": "object",
        "properties": properties,
        "oneOf": [{"required": [lower(name)]} for name in bodies],
    }


def lower(name: str) -> str:
    made = camel(name)
    return made[0].lower() + made[1:]


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def shape(schema: Schema, message: DescriptorProto) -> Json:
    path = schema.messages[message.name]
    fields: Json = {}
    for index, field in enumerate(message.field):
        made = field_shape(schema, field, message)
        if said := schema.comment(*path, 2, index):
            made = made | {"description": said}
        fields[field.json_name] = made
    made = {"type": "object", "properties": fields}
    said = schema.comment(*path)
    return {"description": said, **made} if said else made


def field_shape(schema: Schema, field: FieldDescriptorProto, message: DescriptorProto) -> Json:
    one = SCALARS.get(field.type)
    if one is None:
        name = field.type_name.rpartition(".")[2]
        kinds = {kind.name: [value.name for value in kind.value] for kind in message.enum_type}
        # The frame's own error has another shape than the body of a refused call.
        one = (
            {"type": "string", "enum": kinds[name]} if name in kinds else ref("ErrorReply" if name == "Error" else name)
        )
    return {"type": "array", "items": one} if field.label == _F.LABEL_REPEATED else one


def error_fields() -> Json:
    rows = [row for row in sorted(TABLE.values(), key=lambda row: row.code) if row.code < SERVER_OWN]
    fields: Json = {
        "code": {"type": "integer", "enum": [row.code for row in rows]},
        "name": {"type": "string", "enum": [row.name for row in rows]},
        "message": {"type": "string", "description": "What was expected and what came, for people."},
        "retryAfterMs": {
            "type": "integer",
            "minimum": 0,
            "description": "Earliest useful time to try again, in ms from now; also as Retry-After, in seconds.",
        },
        "remedy": {"type": "string", "description": "What to do about it."},
        "retry": {"type": "boolean", "description": "Whether the same call may succeed later without any change."},
    }
    needed = ["code", "name", "message", "remedy", "retry"]
    return {"type": "object", "required": needed, "properties": fields}


def error_shape() -> Json:
    return {"type": "object", "required": ["error"], "properties": {"error": error_fields()}}


def openapi(schema: Schema) -> str:
    return json.dumps(document(schema), ensure_ascii=False, indent=1) + "\n"


# The page ------------------------------------------------------------------------------------------------------------


def page(schema: Schema) -> str:
    lines = ["<!-- Made by docs/generate_openapi.py; do not edit. -->", "# The HTTP API", "", INTRO, ""]
    lines += [
        "`GET /v1/openapi.json` is the same for machines (OpenAPI 3.1). How to use it: [guide](../guides/http.md)."
    ]
    lines += ["", "| call | body | answer | |", "|---|---|---|---|"]
    for name in METHODS:
        said = schema.comment(*schema.messages[camel(name)])
        lines.append(
            f"| `POST /v1/{name}` | {link(camel(name))} | {link(answer_of(said))} | {said.partition('. ')[0]} |"
        )
    lines.append(
        f"| `POST /v1/frames` | `frames`: at most {FRAMES} | `frames` | Many requests at once, each with its reply |"
    )
    lines += ["", "`Authorization: Bearer TOKEN` or `Authorization: Longlink KEY`; bodies are `application/json`.", ""]
    limited = errors.RATE_LIMITED
    lines += [f"Errors are those of [the table](errors.md), by their HTTP status; `{limited.name}` says `Retry-After`."]
    return "\n".join(lines) + "\n"


def link(name: str) -> str:
    return f"[{name}](frames.md)"


def main() -> int:
    schema = read_schema()
    files: dict[Path, str] = {OPENAPI: openapi(schema), PAGE: page(schema)}
    check = "--check" in sys.argv
    old = [path for path, text in files.items() if not path.is_file() or path.read_text("utf-8") != text]
    for path in old:
        sys.stdout.write(f"{'stale' if check else 'written'}: {path.relative_to(ROOT)}\n")
        if not check:
            path.write_text(files[path], "utf-8")
    return 1 if check and old else 0


if __name__ == "__main__":
    sys.exit(main())
