"""What the fields of a request may hold, as JSON Schema: the same rules as protocol/limits.py, from the same numbers.

Every rule takes what the server takes: 64-bit numbers as text too, and null for a field that may be left out. What JSON
Schema cannot say has a `format` of its own: the name of a user is bounded in bytes, a cursor comes from an answer.
Read next: generate_openapi.py.
"""

from __future__ import annotations

from typing import Any, Final

from longlink.protocol.limits import (
    CURSOR_MAX,
    MARKS_MAX,
    MENTIONS_MAX,
    MESSAGES_MAX,
    NAME_MAX,
    PAGE_MAX,
    SEQ_MAX,
    TYPE_MAX,
)

Json = dict[str, Any]

_DIGITS: Final = {
    MESSAGES_MAX: "0{0,17}([0-9]{1,2}|100)",
    PAGE_MAX: "0{0,17}(1?[0-9]{1,2}|200)",
    SEQ_MAX: "0{0,4}([0-9]{1,15}|[1-8][0-9]{15})",
}
"""Whole numbers from 0 up to each; of SEQ_MAX those below 9 * 10^15, which is nearly as much."""


def whole(most: int, least: int = 0) -> Json:
    """A number or its decimal digits; null where 0 is allowed, because it stands for it."""
    above = "(?=0*[1-9])" if least else ""
    types = ["integer", "string"] + ([] if least else ["null"])
    return {"type": types, "minimum": least, "maximum": most, "pattern": f"^{above}{_DIGITS[most]}$"}


def printable(most: int = NAME_MAX) -> Json:
    return {"type": "string", "minLength": 1, "maxLength": most, "pattern": "^[ -~]+$"}


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


USER: Final[Json] = {"type": "string", "minLength": 1, "maxLength": NAME_MAX, "format": "longlink-user"}
FLAG: Final[Json] = {"type": ["boolean", "null"]}
CURSOR: Final[Json] = {"type": ["string", "null"], "maxLength": CURSOR_MAX, "format": "longlink-cursor"}
PAGE: Final = whole(PAGE_MAX)
PLACE: Final = whole(SEQ_MAX)
REACHED: Final = whole(SEQ_MAX, 1)
ID: Final[Json] = {"type": "integer", "minimum": 1, "maximum": 2**32 - 1}
ITEM: Final[Json] = {
    "description": "A request. Whatever else stands here is answered alone, by an error in its place.",
    "anyOf": [ref("Request"), {}],
}
ZERO: Final[Json] = {"enum": [0, "0", None]}

MARK: Final[Json] = {"conversation": printable(), "seq": PLACE, "read": PLACE}
MARK_RULE: Final[Json] = {
    "anyOf": [
        {"required": ["conversation", "seq"], "properties": {"seq": REACHED}},
        {"required": ["conversation", "read"], "properties": {"read": REACHED}},
    ]
}
CUSTOM: Final[Json] = {
    "type": printable(TYPE_MAX),
    "data": {"type": ["string", "null"], "contentEncoding": "base64", "pattern": "^([A-Za-z0-9+/]{4})*$"},
}
CONTENT: Final[Json] = {
    "text": {"type": "string", "minLength": 1},
    "custom": ref("SentCustom"),
    "mentions": {"type": ["array", "null"], "items": USER, "maxItems": MENTIONS_MAX},
    "mentionsAll": FLAG,
}
RULES: Final[dict[str, Json]] = {
    "open_direct": {"user": USER},
    "send": {"conversation": printable(), "clientId": printable(), "content": ref("SentContent")},
    "ack": {
        "conversation": {"type": ["string", "null"], "maxLength": NAME_MAX, "pattern": "^[ -~]*$"},
        "seq": PLACE,
        "read": PLACE,
        "marks": {"type": ["array", "null"], "items": ref("Mark"), "maxItems": MARKS_MAX},
    },
    "read_history": {"conversation": printable(), "after": PLACE, "before": PLACE, "limit": PAGE},
    "list_conversations": {"since": PLACE, "limit": PAGE, "cursor": CURSOR},
    "sync": {
        "since": PLACE,
        "cursor": CURSOR,
        "limit": PAGE,
        "messages": whole(MESSAGES_MAX),
        "epoch": CURSOR,
        "newest": PLACE,
    },
    "logout": {"everywhere": FLAG},
}
"""Of each request, by the names of its fields in JSON."""
_REQUIRED: Final = {
    "open_direct": ["user"],
    "send": ["conversation", "clientId", "content"],
    "read_history": ["conversation"],
}
_ONE_MARK: Final[Json] = {"conversation": printable(), "marks": {"maxItems": 0}}
MORE: Final[dict[str, Json]] = {
    "ack": {
        "anyOf": [
            {"required": ["conversation", "seq"], "properties": _ONE_MARK | {"seq": REACHED}},
            {"required": ["conversation", "read"], "properties": _ONE_MARK | {"read": REACHED}},
            {
                "required": ["marks"],
                "properties": {
                    "marks": {"type": "array", "minItems": 1},
                    "conversation": {"enum": ["", None]},
                    "seq": ZERO,
                    "read": ZERO,
                },
            },
        ]
    }
}
"""What holds between the fields of a request: one mark, or many."""


def required(name: str) -> list[str]:
    """Fields that a request must have; an Ack has its own rule."""
    return _REQUIRED.get(name, [])


def needs_body(name: str) -> bool:
    return name in _REQUIRED or name in MORE


TAG: Final = {
    "open_direct": "conversations",
    "list_conversations": "conversations",
    "sync": "conversations",
    "send": "messages",
    "ack": "messages",
    "read_history": "messages",
    "logout": "sessions",
}
TAGS: Final = [
    {"name": "conversations", "description": "Which there are, and what has changed in them."},
    {"name": "messages", "description": "Sending, reading and acknowledging."},
    {"name": "sessions", "description": "Ending them."},
]
_CHAT: Final = "d_3f2c9a51b7e84d06"
_SEND: Final[Json] = {"conversation": _CHAT, "clientId": "order-4711", "content": {"text": "Your parcel is on its way"}}
EXAMPLES: Final[dict[str, Json]] = {
    "open_direct": {"user": "bob"},
    "send": _SEND,
    "ack": {"conversation": _CHAT, "seq": 7, "read": 5},
    "read_history": {"conversation": _CHAT, "limit": 20},
    "list_conversations": {"limit": 50},
    "sync": {"messages": 20},
    "logout": {"everywhere": True},
    "frames": {"frames": [{"id": 1, "send": _SEND}, {"id": 2, "readHistory": {"conversation": _CHAT, "limit": 20}}]},
}
