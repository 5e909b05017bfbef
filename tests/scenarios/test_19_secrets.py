"""Chapter 19, secrets: no answer and no log line shows a part of a token or a key, whatever is wrong with it."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Connect, Frame
from longlink.testing import RunningServer

from .people import Door
from .raw import ANSWER_S, ClosedError, Kind

SLICE: Final = 8
"""So many characters of a secret in a row are a leak."""
HALF: Final = 40

Damage = Callable[[str], object]
DAMAGES: Final[dict[str, Damage]] = {
    "a carriage return behind it": lambda secret: secret + "\r",
    "a line end before it": lambda secret: "\n" + secret,
    "quotes around it": lambda secret: f'"{secret}"',
    "spaces around it": lambda secret: f"  {secret} ",
    "a NUL in it": lambda secret: secret[:HALF] + "\0" + secret[HALF:],
    "a letter of another script in it": lambda secret: secret[:HALF] + "é" + secret[HALF:],
    "junk that readers of base64 skip": lambda secret: secret[:HALF] + "!" + secret[HALF:],
    "padding": lambda secret: secret + "==",
    "too long": lambda secret: secret * 40,
    "cut": lambda secret: secret[:-7],
    "without its beginning": lambda secret: secret[3:],
    "in a list": lambda secret: [secret],
    "in an object": lambda secret: {secret: secret},
    "a number": lambda secret: int.from_bytes(secret[:5].encode()),
    "half of a surrogate pair behind it": lambda secret: secret + "\ud800",
}
WRONG: Final = list(DAMAGES.values())
FIELDS: Final = ("token", "key")


def leaks(said: str, secret: str) -> list[str]:
    """The parts of the secret that were said. Also in another case, or as hex."""
    parts = [secret[at : at + SLICE] for at in range(len(secret) - SLICE + 1)]
    spellings = [said, said.replace(" ", "")]
    return [part for part in parts if any(part in each or part.encode().hex() in each for each in spellings)]


def both(door: Door) -> dict[str, str]:
    """A token and a key that are good."""
    link = door.open()
    token = door.server.token(door.name("vic"))
    return {"token": token, "key": link.connect(door.name("vic"), "phone", token).key}


def answers(door: Door, kind: Kind, payload: bytes) -> str:
    """All that the server says to one payload, until it closes or asks for more."""
    link = door.open(kind)
    said = b""
    link.wire.send(payload)
    try:
        while True:
            said += link.wire.receive() + b"\n"
            link.wire.send_close(1000)
    except ClosedError as closed:
        return said.decode("utf-8", "replace") + closed.reason


def as_json(field: str, value: object) -> bytes:
    connect = {"version": 1, "device": "phone", field: value}
    return json.dumps({"id": 1, "connect": connect}).encode()


def in_binary(field: str, secret: str) -> Iterator[bytes]:
    """Frames whose field is not UTF-8, is cut off, or has another type."""
    whole = Encoding.BINARY.encode(Frame(id=1, connect=Connect(version=1, device="phone", **{field: secret})))  # type: ignore[arg-type]
    at = whole.index(secret.encode())
    yield whole[: at + HALF] + b"\xff" + whole[at + HALF + 1 :]
    yield whole[: at + HALF]
    yield whole + b"\x07"
    yield whole[at - 4 :]
    yield whole[at:]
    yield Encoding.BINARY.encode(Frame(id=1, connect=Connect(version=1, device="a b", **{field: secret})))  # type: ignore[arg-type]


def nothing_leaked(server: RunningServer, said: str, secrets: dict[str, str]) -> None:
    logged = json.dumps(server.log)
    for secret in secrets.values():
        assert leaks(said, secret) == []
        assert leaks(logged, secret) == []


@pytest.mark.parametrize("kind", Kind, ids=str)
def test_a_link_says_nothing_of_the_secrets_of_connect(server: RunningServer, door: Door, kind: Kind) -> None:
    secrets = both(door)
    said = []
    for field in FIELDS:
        if kind.encoding is Encoding.TEXT:
            said += [answers(door, kind, as_json(field, damage(secrets[field]))) for damage in WRONG]
            whole = as_json(field, secrets[field])
            said += [answers(door, kind, whole[:-HALF]), answers(door, kind, whole.replace(b'"connect"', b"connect"))]
        else:
            said += [answers(door, kind, payload) for payload in in_binary(field, secrets[field])]
    nothing_leaked(server, "\n".join(said), secrets)


@pytest.mark.parametrize("kind", [Kind.WS_JSON, Kind.TCP_JSON], ids=str)
def test_a_link_says_nothing_of_the_secret_of_adjust(server: RunningServer, door: Door, kind: Kind) -> None:
    secrets = both(door)
    link = door.enter("wally", kind=kind)
    said = []
    for number, damage in enumerate(WRONG, 10):
        if not isinstance(damage(secrets["token"]), dict):
            link.wire.send(json.dumps({"id": number, "adjust": {"token": damage(secrets["token"])}}).encode())
            said.append(link.wire.receive().decode())
    nothing_leaked(server, "\n".join(said), secrets)


def post(port: int, path: str, body: bytes, fields: bytes = b"") -> str:
    """One request with these bytes in its header; all that is answered."""
    with socket.create_connection(("127.0.0.1", port), ANSWER_S) as sock:
        head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nConnection: close\r\n".encode()
        sock.sendall(head + fields + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        said = b""
        while part := sock.recv(65_536):
            said += part
            if b"connected" in said or b'"name":"key_' in said:
                break
        return said.decode("latin-1")


def test_a_stream_says_nothing_of_the_secrets_of_connect(server: RunningServer, door: Door) -> None:
    secrets = both(door)
    said = [
        post(door.server.port, "/v1/events", as_json(field, damage(secrets[field])))
        for field in FIELDS
        for damage in WRONG
    ]
    nothing_leaked(server, "\n".join(said), secrets)


SCHEMES: Final = (b"Bearer ", b"Longlink ", b"", b"Basic ", b"bearer", b"Bearer\t", b"Bearer  ")


def test_http_says_nothing_of_what_authorization_holds(server: RunningServer, door: Door) -> None:
    secrets = both(door)
    port = int(door.server.http.rpartition(":")[2])
    said = []
    for secret in secrets.values():
        for damage in WRONG:
            value = damage(secret)
            shown = (value if isinstance(value, str) else json.dumps(value)).encode("utf-8", "surrogatepass")
            fields = [b"Authorization: " + scheme + shown + b"\r\n" for scheme in SCHEMES]
            said += [post(port, "/v1/sync", b"{}", each) for each in fields]
        twice = b"Authorization: Bearer %s\r\n" % secret.encode() * 2
        said.append(post(port, "/v1/sync", b"{}", twice))
    nothing_leaked(server, "\n".join(said), secrets)


def test_calls_in_a_list_say_nothing_of_secrets_that_are_in_the_wrong_place(server: RunningServer, door: Door) -> None:
    secrets = both(door)
    connection = http.client.HTTPConnection(door.server.http.partition("://")[2], timeout=ANSWER_S)
    said = []
    for name, body in (("connect", "key"), ("adjust", "token")):
        frames = [{"id": 1, name: {body: damage(secrets[body])}} for damage in WRONG[:12]]
        headers = {"Authorization": f"Bearer {secrets['token']}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/frames", json.dumps({"frames": frames}), headers)
        said.append(connection.getresponse().read().decode())
    connection.close()
    nothing_leaked(server, "\n".join(said), secrets)


def test_the_check_finds_a_leak(server: RunningServer) -> None:
    secret = server.token("vic")
    assert leaks(f"got '{secret[20:28]}'", secret) == [secret[20:28]]
    assert leaks(secret[20:28].encode().hex(" "), secret) == [secret[20:28]]
