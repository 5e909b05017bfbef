"""`longlink decode` on everything that somebody may have captured, against the exact output."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import pytest

from longlink import errors
from longlink.cli import main
from longlink.protocol.codec import encode, encode_text
from longlink.protocol.frames import Closing, Connected, Content, Frame, Message, OpenDirect, Send

SEND: Final = Frame(id=3, send=Send(conversation="c-1", client_id="m-1", content=Content(text="hello bob")))
DATA: Final = encode(SEND)
SHOWN: Final = """send, request 3
  conversation  "c-1"
  client_id     "m-1"
  content
    text        "hello bob"  (9 bytes)
"""
KEY: Final = bytes.fromhex("37fa213d")


def out(capfd: pytest.CaptureFixture[str], *words: str) -> str:
    """What the command prints; it must succeed."""
    code = main(["decode", *words])
    printed = capfd.readouterr()
    assert (code, printed.err) == (0, "")
    return printed.out


def failure(capfd: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["decode", *words]) == 1
    return capfd.readouterr().err


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))


def masked(first: int, payload: bytes) -> bytes:
    hidden = bytes(byte ^ KEY[at % 4] for at, byte in enumerate(payload))
    return bytes([first, 0x80 | len(payload)]) + KEY + hidden


def record(payload: bytes) -> bytes:
    return b"\x00" + len(payload).to_bytes(3, "big") + payload


@pytest.mark.parametrize(
    "words",
    [[DATA.hex()], [DATA.hex(" ")], DATA.hex(" ").split(), ["0x" + DATA.hex().upper()], [DATA.hex(":")]],
    ids=["plain", "spaced", "words", "upper", "colons"],
)
def test_hex_is_taken_in_every_usual_form(capfd: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert out(capfd, *words) == f"Protocol Buffers, {len(DATA)} bytes, from hex\n{SHOWN}"


@pytest.mark.parametrize("encoded", [base64.b64encode(DATA), base64.urlsafe_b64encode(DATA).rstrip(b"=")])
def test_base64_is_taken(capfd: pytest.CaptureFixture[str], encoded: bytes) -> None:
    assert out(capfd, encoded.decode()) == f"Protocol Buffers, {len(DATA)} bytes, from base64\n{SHOWN}"


def test_json_is_taken(capfd: pytest.CaptureFixture[str]) -> None:
    text = encode_text(SEND).decode()
    assert out(capfd, text) == f"JSON, {len(text)} bytes\n{SHOWN}"


def test_a_file_of_raw_bytes_is_taken(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "frame.bin"
    file.write_bytes(DATA)
    assert out(capfd, str(file)) == f"Protocol Buffers, {len(DATA)} bytes\n{SHOWN}"


@pytest.mark.parametrize("words", [[], ["-"]])
def test_standard_input_is_taken(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    stdin(monkeypatch, DATA.hex().encode() + b"\n")
    assert out(capfd, *words) == f"Protocol Buffers, {len(DATA)} bytes, from hex\n{SHOWN}"


def test_tcp_records_are_taken_with_and_without_preface(capfd: pytest.CaptureFixture[str]) -> None:
    data = record(DATA) + record(b"")
    shown = f"TCP record, {len(DATA)} bytes, at byte {{}}\n{SHOWN}\nTCP record, 0 bytes, at byte {{}}\nheartbeat\n"
    bare = out(capfd, data.hex())
    assert bare == f"TCP records, {len(data)} bytes, from hex\n\n" + shown.format(0, len(DATA) + 4)
    begun = out(capfd, (b"\x00LLP" + data).hex())
    title = f"TCP connection of Protocol Buffers, {len(data) + 4} bytes, from hex\n\n"
    assert begun == title + shown.format(4, len(DATA) + 8)


def test_a_tcp_connection_of_json_is_taken(capfd: pytest.CaptureFixture[str]) -> None:
    text = encode_text(SEND)
    data = b"\x00LLJ" + record(text)
    title = f"TCP connection of JSON, {len(data)} bytes, from hex\n\nTCP record, {len(text)} bytes, at byte 4\n"
    assert out(capfd, data.hex()) == title + SHOWN


@pytest.mark.parametrize(
    ("data", "side"), [(masked(0x82, DATA), "masked"), (bytes([0x82, len(DATA)]) + DATA, "not masked")]
)
def test_websocket_frames_are_taken_of_both_sides(capfd: pytest.CaptureFixture[str], data: bytes, side: str) -> None:
    title = f"WebSocket frames, {len(data)} bytes, from hex\n\nWebSocket frame, {side}, {len(DATA)} bytes, at byte 0\n"
    assert out(capfd, data.hex()) == title + SHOWN


def test_control_frames_are_shown(capfd: pytest.CaptureFixture[str]) -> None:
    data = masked(0x89, b"\x01\x02") + masked(0x8A, b"") + masked(0x88, b"\x0f\xa0draining") + masked(0x88, b"")
    shown = out(capfd, data.hex()).splitlines()[3::3]
    remedy = errors.DRAINING.remedy
    assert shown == ["ping 01 02", "pong", f'close 4000  ({remedy}) "draining"', "close 1005"]


def test_times_and_sizes_are_readable(capfd: pytest.CaptureFixture[str]) -> None:
    connected = Connected(user="alice", heartbeat_ms=240_000, server_time=1_767_225_600_123, max_frame_bytes=65_536)
    assert out(capfd, encode(Frame(id=1, connected=connected)).hex()).splitlines()[1:] == [
        "connected, reply to request 1",
        '  user             "alice"',
        "  heartbeat_ms     240000 ms",
        "  server_time      2026-01-01T00:00:00.123Z  (1767225600123 ms)",
        "  max_frame_bytes  65536 bytes",
    ]


def test_events_and_what_is_wrong_with_them_are_named(capfd: pytest.CaptureFixture[str]) -> None:
    assert "\nclosing, event\n" in out(capfd, encode(Frame(closing=Closing(code=4000))).hex())
    odd = Frame(id=5, message=Message(sent_at=2**62))
    assert "\nmessage, event, with an id that it should not have: 5\n" in out(capfd, encode(odd).hex())
    assert "\nopen_direct, request without id\n" in out(capfd, encode(Frame(open_direct=OpenDirect(user="b"))).hex())


def test_a_frame_of_a_newer_version_shows_what_it_can(capfd: pytest.CaptureFixture[str]) -> None:
    shown = (
        "Protocol Buffers, 5 bytes, from hex\nno body that this version knows, id 1\n  field 62  of a newer version\n"
    )
    assert out(capfd, "0801f20300") == shown


def test_nothing_in_a_frame_reaches_the_terminal_as_a_command(capfd: pytest.CaptureFixture[str]) -> None:
    shown = out(capfd, encode(Frame(id=1, open_direct=OpenDirect(user="\x1b[2J\x9b1m\u202ecba 王"))).hex())
    assert '"\\u001b[2J\\x9b1m\\u202ecba 王"' in shown


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("08015a050a03626f", "at byte 4: open_direct announces 5 bytes, 4 are left"),
        ("08015a040a03626f", "at byte 6: user announces 3 bytes, 2 are left"),
        ("08015a030a01ff", "at byte 6: user is not UTF-8"),
        ("0f01", "at byte 0: expected the tag of a field, got number 1 with wire type 7"),
        ("08ffffffffffffffffffff01", "at byte 1: a number is longer than 10 bytes"),
        ("0880", "at byte 2: a number ends too early"),
        ("09000000", "at byte 4: id ends too early"),
        ("00000007" + "08015a030a01ff", "at byte 6 of the message at byte 0: user is not UTF-8"),
        ("00000007" + "08", "at byte 5: expected 7 bytes of payload from byte 4 on"),
        ("8202" + "08", "at byte 3: expected 2 bytes of payload from byte 2 on"),
        ('{"id":1,\n"ack" 5}', "line 2 column 7"),
        ('{"id":1,"sned":{}}', "frame_unknown"),
    ],
)
def test_what_is_broken_is_placed(capfd: pytest.CaptureFixture[str], data: str, message: str) -> None:
    assert message in failure(capfd, data)


def test_every_broken_vector_is_placed(capfd: pytest.CaptureFixture[str]) -> None:
    file = Path(__file__).parents[2] / "proto" / "vectors" / "malformed.json"
    for vector in json.loads(file.read_text("utf-8"))["binary"]:
        if vector["name"] != "JSON instead of Protocol Buffers":
            assert "at byte" in failure(capfd, vector["hex"]), vector["name"]
