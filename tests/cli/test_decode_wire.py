"""The framing vectors, read by the decoder for people: what the server yields for them, this shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from longlink.cli import decode_wire
from longlink.cli.decode_wire import Part
from longlink.errors import LonglinkError

VECTORS: Final = Path(__file__).parents[2] / "proto" / "vectors"


def whole(file: str, kind: str) -> list[Any]:
    """The vectors that are complete and break no rule; nothing behind a close."""
    vectors = json.loads((VECTORS / file).read_text("utf-8"))[kind]
    return [
        pytest.param(vector, id=vector["name"])
        for vector in vectors
        if vector["items"] and "violation" not in vector and not vector["name"].startswith("nothing counts")
    ]


def item(part: Part) -> dict[str, Any]:
    if part.kind == "close":
        close = decode_wire.close(part.payload, part.offset)
        return {"kind": "close", "code": close.code, "reason": close.reason}
    if part.kind == "pong":
        return {"kind": "pong"}
    if part.kind != "ping" and not part.payload:
        return {"kind": "heartbeat", "text": part.kind == "text"}
    return {"kind": part.kind, "hex": part.payload.hex()}


@pytest.mark.parametrize("vector", whole("tcp.json", "records"))
def test_tcp_records_are_taken_apart(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    parts = list(decode_wire.records(data, text=vector["kind"] == "text"))
    assert [item(part) for part in parts] == vector["items"]
    preface = b"\x00LLJ" if vector["kind"] == "text" else b"\x00LLP"
    behind = list(decode_wire.records(preface + data))
    assert [part.offset - 4 for part in behind] == [part.offset for part in parts]
    assert [item(part) for part in behind] == vector["items"]


@pytest.mark.parametrize("vector", whole("websocket.json", "frames"))
def test_websocket_frames_are_taken_apart(vector: dict[str, Any]) -> None:
    parts = decode_wire.frames(bytes.fromhex(vector["hex"]))
    assert [item(part) for part in parts] == vector["items"]


def test_frames_of_the_server_carry_no_mask() -> None:
    parts = list(decode_wire.frames(bytes.fromhex("8103616263")))
    assert [(part.kind, part.payload, part.note) for part in parts] == [
        ("text", b"abc", "WebSocket frame, not masked, 3 bytes")
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("0000000161" + "07", "at byte 5: expected the type of a TCP record, 0"),
        ("000000", "at byte 3: expected a header of 4 bytes from byte 0 on, got the end after 3"),
        ("00000004ff", "at byte 5: expected 4 bytes of payload from byte 4 on, got the end after 1"),
    ],
)
def test_a_broken_record_is_placed(data: str, message: str) -> None:
    with pytest.raises(LonglinkError, match=message):
        list(decode_wire.records(bytes.fromhex(data)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("8200" + "c200", "at byte 2: expected a WebSocket frame without extensions"),
        ("8300", "at byte 0: .* got 83"),
        ("82", "at byte 1: expected a header of 2 bytes"),
        ("827e01", "at byte 3: expected a header of 4 bytes from byte 0 on"),
        ("820361", "at byte 3: expected 3 bytes of payload from byte 2 on, got the end after 1"),
        ("0000", "at byte 0: expected the first fragment of a message, got opcode 0"),
        ("0200" + "8200", "at byte 2: expected a continuation of the message before, got opcode 2"),
        ("0200", "at byte 2: expected the last fragment of a message, got the end"),
    ],
)
def test_a_broken_frame_is_placed(data: str, message: str) -> None:
    with pytest.raises(LonglinkError, match=message):
        list(decode_wire.frames(bytes.fromhex(data)))


def test_a_close_of_one_byte_is_refused() -> None:
    with pytest.raises(LonglinkError, match="at byte 9: expected a close of 0 bytes, or 2 and more, got 1"):
        decode_wire.close(b"\x03", 9)
