"""Ports that several processes share: held while nobody listens, and refused when they are somebody else's."""

from __future__ import annotations

import socket

import pytest

from longlink import errors
from longlink.errors import LonglinkError
from longlink.workers.ports import HeldPort


def listen(port: int, *, shared: bool) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_any_free_port_is_found_and_named_as_it_was_asked_for(host: str) -> None:
    held = HeldPort(f"{host}:0", "listen.address")
    assert held.port > 0
    assert held.address == f"{host}:{held.port}"
    held.release()


def test_what_is_held_takes_no_connection_and_lets_those_who_share_listen() -> None:
    held = HeldPort("127.0.0.1:0", "listen.address")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", held.port), 5)
    with listen(held.port, shared=True) as one, listen(held.port, shared=True) as two:
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", held.port), 5):
                pass
        assert one.getsockname() == two.getsockname()
    held.release()


@pytest.mark.parametrize("shared", [True, False])
def test_a_port_on_which_somebody_listens_is_taken_also_when_he_would_share_it(shared: bool) -> None:
    with (
        listen(0, shared=shared) as other,
        pytest.raises(LonglinkError, match=r"cannot listen on 127\.0\.0\.1:\d+ \(listen\.http\): ") as caught,
    ):
        HeldPort(f"127.0.0.1:{other.getsockname()[1]}", "listen.http")
    assert caught.value.row is errors.PORT_TAKEN


def test_an_address_that_this_machine_does_not_have_is_a_wrong_setting() -> None:
    # Of TEST-NET-1 (RFC 5737), which nobody has.
    with pytest.raises(LonglinkError) as caught:
        HeldPort("192.0.2.1:0", "listen.address")
    assert caught.value.row is errors.CONFIG_INVALID
