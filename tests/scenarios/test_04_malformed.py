"""Chapter 4, malformed: whatever bytes come get a clear answer, and nobody else notices.

Read next: test_05_overload.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from longlink import errors
from longlink.errors import TABLE, Row
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Ack, Frame, OpenDirect, Sent, body_name
from longlink.testing import RunningServer, run_server

from .people import Couple, Door, connect_frame, ends_with, error_of, failures, send_frame
from .raw import (
    BINARY_OPCODE,
    CLOSE_OPCODE,
    CLOSE_RECORD,
    NO_CODE,
    PING_OPCODE,
    TEXT_OPCODE,
    ClosedError,
    Kind,
    Pipe,
    dial,
    record,
    upgrade_request,
    websocket_frame,
)

LARGEST: Final = 65_536
HELLO_BYTES: Final = 16_384
JSON_KINDS: Final = (Kind.WS_JSON, Kind.TCP_JSON)
BINARY_KINDS: Final = (Kind.WS_BINARY, Kind.TCP_BINARY)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    # No rates: this chapter opens a thousand links and sends garbage as fast as it can.
    settings = {"LONGLINK_CONNECTION_ACCEPT_RATE": "0", "LONGLINK_CONNECTION_MESSAGE_RATE": "0"}
    with run_server(settings=settings) as running:
        yield running
        assert failures(running) == []


@pytest.fixture(scope="module")
def others(server: RunningServer) -> Iterator[Couple]:
    with Door(server) as door:
        yield Couple(door)


@pytest.fixture(autouse=True)
def _others_are_undisturbed(others: Couple) -> Iterator[None]:
    others.talk()
    yield
    others.talk()


# Messages that are no frame -------------------------------------------------------------------------------------------

SEND: Final = Frame(id=5, send=send_frame("d_some", "hello", "1").send).SerializeToString()
NOT_PROTOBUF: Final = {
    "random bytes": b"\xff" * 20,
    "one byte": b"\x08",
    "cut short": SEND[:-3],
    "a string that is not UTF-8": b"\x08\x05" + b"\x52\x04" + b"\x12\x02\xff\xfe",
    "a length beyond the end": b"\x08\x05\x62\xff\xff\xff\xff\x0f",
    "a number without end": b"\x08" + b"\xff" * 11,
    "groups without end": b"\x9b\x06" * 2_000,
    "JSON": b'{"id": 5, "listConversations": {}}',
}
NOT_JSON: Final = {
    "no JSON": b"hello",
    "half an object": b'{"id": 5',
    "an array": b"[]",
    "a number": b"17",
    "null": b"null",
    "a key twice": b'{"id": 5, "id": 6, "listConversations": {}}',
    "not a number": b'{"id": NaN, "listConversations": {}}',
    "arrays without end": b"[" * 60_000,
    "objects without end": b'{"a":' * 12_000,
    "two objects": b'{"id": 5, "listConversations": {}}{}',
    "a byte order mark": b'\xef\xbb\xbf{"id": 5, "listConversations": {}}',
    "a comment": b'{"id": 5, /* why */ "listConversations": {}}',
}
CASES: Final = [(kind, data) for kind in BINARY_KINDS for data in NOT_PROTOBUF] + [
    (kind, data) for kind in JSON_KINDS for data in NOT_JSON
]


@pytest.mark.parametrize("connected", [False, True], ids=["before connect", "connected"])
@pytest.mark.parametrize(("kind", "name"), CASES, ids=[f"{kind}-{name}" for kind, name in CASES])
def test_bytes_that_are_no_frame_end_the_link(door: Door, kind: Kind, name: str, connected: bool) -> None:
    link = door.enter("alice", kind=kind) if connected else door.open(kind)
    data = (NOT_JSON if kind in JSON_KINDS else NOT_PROTOBUF)[name]
    # A longer one is not read before Connect at all (connection.hello_bytes).
    link.wire.send(data if connected else data[:HELLO_BYTES])
    error_of(link.event(), errors.FRAME_MALFORMED)
    ends_with(link, errors.FRAME_MALFORMED)


# Frames that are no request -------------------------------------------------------------------------------------------

NO_REQUEST: Final[dict[str, tuple[Row, Frame]]] = {
    "no body": (errors.FRAME_UNKNOWN, Frame(id=5)),
    "a body of a newer version": (errors.FRAME_UNKNOWN, Frame.FromString(b"\x08\x05" + b"\xba\x03\x02\x08\x01")),
    "a reply": (errors.FRAME_UNEXPECTED, Frame(id=5, sent=Sent(seq=1))),
    "an event": (errors.FRAME_UNEXPECTED, Frame.FromString(b"\x08\x05" + b"\xd2\x0c\x00")),
    "a send without anything": (errors.FIELD_INVALID, Frame.FromString(b"\x08\x05" + b"\x62\x00")),
    "a text that is empty": (errors.FIELD_INVALID, Frame(id=5, send=send_frame("d_x", "", "1").send)),
    "a client_id that is empty": (errors.FIELD_INVALID, Frame(id=5, send=send_frame("d_x", "a", "").send)),
    "a client_id that is too long": (errors.FIELD_INVALID, Frame(id=5, send=send_frame("d_x", "a", "1" * 65).send)),
    "an ack of nothing": (errors.FIELD_INVALID, Frame(id=5, ack=Ack(conversation="d_x", seq=0))),
    "a user with a line break": (errors.FIELD_INVALID, Frame(id=5, open_direct=OpenDirect(user="a\nb"))),
    "a user that is too long": (errors.FIELD_INVALID, Frame(id=5, open_direct=OpenDirect(user="ü" * 33))),
}


# JSON names its fields, so that a body of a newer version is a name that is not known: see NAMES_UNKNOWN.
ANSWERED: Final = [
    (kind, name) for kind in Kind for name in NO_REQUEST if kind in BINARY_KINDS or name != "a body of a newer version"
]


@pytest.mark.parametrize(("kind", "name"), ANSWERED, ids=[f"{kind}-{name}" for kind, name in ANSWERED])
def test_a_frame_that_is_no_good_request_is_answered_and_the_session_goes_on(door: Door, kind: Kind, name: str) -> None:
    row, frame = NO_REQUEST[name]
    link = door.enter("alice", kind=kind)
    link.wire.send(kind.encoding.encode(frame))
    error_of(link.reply(5), row)
    assert link.say(link.direct(link.user), "still here").seq == 1


@pytest.mark.parametrize("kind", Kind, ids=str)
@pytest.mark.parametrize("name", NO_REQUEST)
def test_a_frame_that_is_no_good_request_ends_a_link_that_is_not_connected(door: Door, kind: Kind, name: str) -> None:
    _, frame = NO_REQUEST[name]
    link = door.open(kind)
    link.wire.send(kind.encoding.encode(frame))
    closed = link.end()
    assert closed.code in TABLE
    assert not TABLE[closed.code].retry


@pytest.mark.parametrize("kind", Kind, ids=str)
def test_a_request_with_id_zero_is_refused_because_its_answer_would_look_like_an_event(door: Door, kind: Kind) -> None:
    link = door.enter("alice", kind=kind)
    link.wire.send(kind.encoding.encode(Frame(id=0, open_direct=OpenDirect(user=link.user))))
    error_of(link.event(), errors.FIELD_INVALID)
    assert link.pending() == []


NAMES_UNKNOWN: Final = {
    '{"id": 5, "dance": {}}': errors.FRAME_UNKNOWN,
    '{"id": 5, "send": {}, "dance": {}}': errors.FRAME_UNKNOWN,
    '{"id": 5, "send": {"speed": 1}}': errors.FIELD_INVALID,
    '{"id": 5, "send": {"content": {"text": "a", "colour": "red"}}}': errors.FIELD_INVALID,
    '{"id": 5, "send": []}': errors.FIELD_INVALID,
    '{"id": 5, "send": "hello"}': errors.FIELD_INVALID,
    '{"id": 5, "send": {"conversation": 17}}': errors.FIELD_INVALID,
    '{"id": 5, "ack": {"conversation": "d_x", "seq": "many"}}': errors.FIELD_INVALID,
    '{"id": 5, "ack": {"conversation": "d_x", "seq": -1}}': errors.FIELD_INVALID,
    '{"id": 5, "ack": {"conversation": "d_x", "seq": 1.5}}': errors.FIELD_INVALID,
    '{"id": 5, "ack": {"conversation": "d_x", "seq": 1e400}}': errors.FIELD_INVALID,
    '{"id": 5, "readHistory": {"conversation": "d_x", "limit": 4294967296}}': errors.FIELD_INVALID,
    '{"id": 5, "send": {"content": {"custom": {"type": "a", "data": "%%%"}}}}': errors.FIELD_INVALID,
    '{"id": 5, "openDirect": {"user": "\\ud800"}}': errors.FIELD_INVALID,
    '{"id": 5, "send": {"content": {"text": "a", "custom": {"type": "b"}}}}': errors.FIELD_INVALID,
    '{"id": 5, "openDirect": {"user": "a"}, "ack": {"conversation": "b", "seq": 1}}': errors.FIELD_INVALID,
}


@pytest.mark.parametrize("kind", JSON_KINDS, ids=str)
@pytest.mark.parametrize("text", NAMES_UNKNOWN)
def test_json_that_names_unknown_things_is_refused_under_its_id(door: Door, kind: Kind, text: str) -> None:
    link = door.enter("alice", kind=kind)
    link.wire.send(text.encode())
    error_of(link.reply(5), NAMES_UNKNOWN[text])
    assert link.pending() == []


# Bytes that break WebSocket or TCP records ----------------------------------------------------------------------------

WEBSOCKET_CASES: Final[dict[str, tuple[Kind, bytes, int]]] = {
    "an unmasked frame": (Kind.WS_BINARY, websocket_frame(SEND, BINARY_OPCODE, mask=False), 1002),
    "a reserved bit": (Kind.WS_BINARY, websocket_frame(SEND, BINARY_OPCODE, reserved=4), 1002),
    "a reserved opcode": (Kind.WS_BINARY, websocket_frame(SEND, 3), 1002),
    "a reserved control opcode": (Kind.WS_BINARY, websocket_frame(b"", 11), 1002),
    "a ping in pieces": (Kind.WS_BINARY, websocket_frame(b"", PING_OPCODE, final=False), 1002),
    "a long ping": (Kind.WS_BINARY, websocket_frame(b"x" * 126, PING_OPCODE), 1002),
    "a piece of nothing": (Kind.WS_BINARY, websocket_frame(SEND, 0), 1002),
    "a message within a message": (
        Kind.WS_BINARY,
        websocket_frame(SEND, BINARY_OPCODE, final=False) + websocket_frame(SEND, BINARY_OPCODE),
        1002,
    ),
    "a message that is too large": (Kind.WS_BINARY, websocket_frame(bytes(LARGEST + 1), BINARY_OPCODE), 1009),
    "pieces that are too large together": (
        Kind.WS_BINARY,
        websocket_frame(bytes(LARGEST), BINARY_OPCODE, final=False) + websocket_frame(b"x", 0),
        1009,
    ),
    "a header that claims a terabyte": (Kind.WS_BINARY, websocket_frame(b"", BINARY_OPCODE, length=2**40), 1009),
    "a text on a binary link": (Kind.WS_BINARY, websocket_frame(b"{}", TEXT_OPCODE), 1003),
    "a binary on a JSON link": (Kind.WS_JSON, websocket_frame(SEND, BINARY_OPCODE), 1003),
    "a text that is not UTF-8": (Kind.WS_JSON, websocket_frame(b'{"id": "\xff"}', TEXT_OPCODE), 1007),
    "a text with half a character": (Kind.WS_JSON, websocket_frame(b'"\xe4\xb8', TEXT_OPCODE), 1007),
    "a close of one byte": (Kind.WS_BINARY, websocket_frame(b"\x03", CLOSE_OPCODE), 1002),
    "a close with a code that is never sent": (Kind.WS_BINARY, websocket_frame(b"\x03\xed", CLOSE_OPCODE), 1002),
    "a close whose reason is not UTF-8": (Kind.WS_BINARY, websocket_frame(b"\x03\xe8\xff", CLOSE_OPCODE), 1007),
}
RECORD_CASES: Final[dict[str, tuple[Kind, bytes, int]]] = {
    "a record of an unknown type": (Kind.TCP_BINARY, record(SEND, 7), 1002),
    "a record that is too large": (Kind.TCP_BINARY, record(bytes(LARGEST + 1)), 1009),
    "a header that claims 16 MB": (Kind.TCP_BINARY, record(b"", length=2**24 - 1), 1009),
    "a record that is not UTF-8": (Kind.TCP_JSON, record(b'{"id": "\xff"}'), 1007),
    "a close record of one byte": (Kind.TCP_BINARY, record(b"\x03", CLOSE_RECORD), 1002),
}
WIRE_CASES: Final = WEBSOCKET_CASES | RECORD_CASES


@pytest.mark.parametrize("name", WIRE_CASES)
def test_bytes_that_break_the_wire_end_the_link_with_the_code_of_the_rfc(door: Door, name: str) -> None:
    kind, data, code = WIRE_CASES[name]
    link = door.enter("alice", kind=kind)
    link.pipe.send(data)
    assert link.end().code == code
    assert not link.events


@pytest.mark.parametrize("kind", Kind, ids=str)
def test_a_message_of_the_largest_size_is_taken(door: Door, kind: Kind) -> None:
    link = door.enter("alice", kind=kind)
    conversation = link.direct(link.user)
    frame = send_frame(conversation, "", "largest")
    frame.id = 4_000_000
    room = LARGEST
    while room:
        frame.send.content.text += "x" * room
        room = LARGEST - len(kind.encoding.encode(frame))
        if room < 0:
            frame.send.content.text = frame.send.content.text[:room]
            room = 0
    link.wire.send(kind.encoding.encode(frame))
    assert body_name(link.reply(4_000_000)) == "sent"


def test_a_message_in_pieces_of_one_byte_is_one_message(door: Door) -> None:
    link = door.enter("alice")
    conversation = link.direct(link.user)
    frame = send_frame(conversation, "in pieces", "1")
    frame.id = 900
    data = Encoding.BINARY.encode(frame)
    pieces = [websocket_frame(data[:1], BINARY_OPCODE, final=False)]
    pieces += [websocket_frame(data[n : n + 1], 0, final=False) for n in range(1, len(data))]
    ping = websocket_frame(b"are you there?", PING_OPCODE)
    link.pipe.send(b"".join([*pieces, ping, websocket_frame(b"", 0)]))
    assert link.reply(900).sent.seq == 1


@pytest.mark.parametrize("kind", Kind, ids=str)
def test_a_client_that_goes_in_the_middle_of_a_message_leaves_nothing(door: Door, kind: Kind) -> None:
    link = door.enter("alice", kind=kind)
    conversation = link.direct(link.user)
    data = kind.encoding.encode(Frame(id=9, send=send_frame(conversation, "cut", "1").send))
    whole = record(data) if kind in (Kind.TCP_BINARY, Kind.TCP_JSON) else websocket_frame(data, BINARY_OPCODE)
    link.pipe.send(whole[: len(whole) // 2])
    link.close()
    again = door.enter("alice")
    assert again.history(conversation).head == 0


def test_a_close_is_answered_with_a_close(door: Door) -> None:
    for kind in Kind:
        link = door.enter("alice", kind=kind)
        link.wire.send_close(1000)
        assert link.end().code == 1000


# Bytes that are no upgrade --------------------------------------------------------------------------------------------

GOOD_UPGRADE: Final = upgrade_request("127.0.0.1", "longlink.v1")


def _changed(old: str, new: str) -> bytes:
    changed = GOOD_UPGRADE.replace(old.encode(), new.encode())
    assert changed != GOOD_UPGRADE
    return changed


HTTP_CASES: Final[dict[str, tuple[bytes, int]]] = {
    "no HTTP": (b"hello\r\n\r\n", 400),
    "a line without end": (b"A" * 100_000, 431),
    "headers without end": (GOOD_UPGRADE[:-2] + b"X-Long: " + b"a" * 100_000, 431),
    "a page": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 426),
    "another path": (_changed("GET / ", "GET /elsewhere "), 404),
    "a POST": (_changed("GET / ", "POST / "), 405),
    "an old version of WebSocket": (_changed("Version: 13", "Version: 8"), 426),
    "no key": (_changed("Sec-WebSocket-Key", "X-Key"), 400),
    "an unknown subprotocol": (_changed("longlink.v1", "chat"), 400),
}


def test_without_a_subprotocol_the_kind_of_each_message_says_how_to_read_it(door: Door) -> None:
    request = Frame(id=5, open_direct=OpenDirect(user="a"))
    for encoding, opcode in ((Encoding.BINARY, BINARY_OPCODE), (Encoding.TEXT, TEXT_OPCODE)):
        with dial(door.server.port) as sock:
            pipe = Pipe(sock)
            pipe.send(_changed("Sec-WebSocket-Protocol", "X-Protocol"))
            assert pipe.take_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
            pipe.send(websocket_frame(encoding.encode(request), opcode))
            first, size = pipe.take(2)
            assert first == 0x80 | opcode
            size = int.from_bytes(pipe.take(2)) if size == 126 else size
            error_of(encoding.decode(pipe.take(size)), errors.FRAME_UNEXPECTED)


@pytest.mark.parametrize("name", HTTP_CASES)
def test_a_request_that_is_no_upgrade_is_refused_with_a_status_and_one_line(server: RunningServer, name: str) -> None:
    data, status = HTTP_CASES[name]
    with dial(server.port) as sock:
        pipe = Pipe(sock)
        pipe.send(data)
        head, _, text = pipe.take_rest().decode().partition("\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} "), head
    assert text.strip(), "one line says what is wrong"
    assert text.count("\n") <= 1


def test_an_unknown_preface_of_records_is_closed(server: RunningServer) -> None:
    for preface in (b"\x00LLX", b"\x00\x00\x00\x00"):
        with dial(server.port) as sock:
            pipe = Pipe(sock)
            pipe.send(preface + record(SEND))
            assert len(pipe.take_rest()) < 200


def test_plain_garbage_where_tls_is_not_spoken_is_closed(server: RunningServer) -> None:
    with dial(server.port) as sock:
        pipe = Pipe(sock)
        pipe.send(b"\x16\x03\x01\x02\x00" + bytes(512))
        assert len(pipe.take_rest()) < 200


# Chance ---------------------------------------------------------------------------------------------------------------

ROUNDS: Final = 150


def _open_garbage(door: Door, chance: random.Random) -> None:
    with dial(door.server.port) as sock:
        pipe = Pipe(sock)
        start = chance.choice([b"", GOOD_UPGRADE, b"\x00LLP", b"\x00LLJ", b"\x16\x03\x01", GOOD_UPGRADE[:40]])
        try:
            pipe.send(start + chance.randbytes(chance.randrange(1, 2_000)))
            sock.shutdown(1)
            pipe.take_rest()
        except (ClosedError, OSError):
            return


def test_random_bytes_on_new_connections_harm_nobody(door: Door) -> None:
    chance = random.Random(20260711)
    for _ in range(ROUNDS):
        _open_garbage(door, chance)


def _mutated(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 5)):
        how: Callable[[], None] = chance.choice(
            [
                lambda: changed.__setitem__(chance.randrange(len(changed)), chance.randrange(256)),
                lambda: changed.insert(chance.randrange(len(changed)), chance.randrange(256)),
                lambda: changed.__delitem__(slice(chance.randrange(len(changed)), None)) if len(changed) > 2 else None,
                lambda: changed.extend(chance.randbytes(8)),
            ]
        )
        how()
        if not changed:
            changed.append(0)
    return bytes(changed)


@pytest.mark.parametrize("kind", Kind, ids=str)
def test_frames_with_random_damage_are_answered_or_end_the_link_and_are_never_the_servers_fault(
    door: Door, kind: Kind
) -> None:
    chance = random.Random(str(kind))
    link = door.enter("alice", kind=kind)
    conversation = link.direct(link.user)
    frames = [
        Frame(id=700, send=send_frame(conversation, "some text", "1").send),
        Frame(id=700, ack=Ack(conversation=conversation, seq=1)),
        connect_frame("e30.e30.e30"),
    ]
    codes: set[int] = set()
    for _ in range(ROUNDS):
        link.wire.send(_mutated(chance, kind.encoding.encode(chance.choice(frames))))
        # The answer to a damaged frame may carry any id and may come later; the heartbeat keeps the two in step.
        try:
            link.wire.send(b"")
            while data := link.wire.receive():
                frame = kind.encoding.decode(data)
                assert frame.error.code != errors.INTERNAL.code, frame
        except ClosedError as closed:
            codes.add(closed.code)
            link = door.enter("alice", kind=kind)
    assert codes <= {*TABLE, 1002, 1003, 1007, 1009, NO_CODE}


def test_a_close_in_the_middle_of_the_upgrade_leaves_nothing(door: Door) -> None:
    for cut in range(0, len(GOOD_UPGRADE), 7):
        with dial(door.server.port) as sock:
            sock.sendall(GOOD_UPGRADE[:cut])
