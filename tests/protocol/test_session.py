from __future__ import annotations

import pytest

from longlink import errors
from longlink.errors import LonglinkError, Row
from longlink.protocol import session
from longlink.protocol.frames import EVENTS, REPLIES, REQUESTS, Ack, Frame, OpenDirect
from longlink.protocol.session import State

ALLOWED = {
    State.NEW: {"connect"},
    State.CONNECTING: set(),
    State.CONNECTED: {"open_direct", "send", "ack", "read_history", "list_conversations", "sync", "adjust", "logout"},
    State.CLOSED: set(),
}


def frame(name: str, request: int = 7) -> Frame:
    made = Frame(id=request)
    getattr(made, name).SetInParent()
    return made


def test_the_table_has_a_cell_for_every_state_and_request() -> None:
    assert set(session.TABLE) == set(State)
    for row in session.TABLE.values():
        assert set(row) == set(REQUESTS)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_passes_only_in_its_states(state: State, name: str) -> None:
    if name in ALLOWED[state]:
        assert session.check(state, frame(name)) == name
    else:
        with pytest.raises(LonglinkError, match=f"{name} is not allowed while {state.value}") as caught:
            session.check(state, frame(name))
        assert caught.value.row is errors.FRAME_UNEXPECTED


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("name", [*REPLIES, *EVENTS])
def test_a_client_cannot_send_what_servers_send(state: State, name: str) -> None:
    with pytest.raises(LonglinkError, match=f"{name} is sent by servers only") as caught:
        session.check(state, frame(name))
    assert caught.value.row is errors.FRAME_UNEXPECTED


@pytest.mark.parametrize("state", State)
def test_a_frame_without_known_body_is_unknown(state: State) -> None:
    with pytest.raises(LonglinkError, match="expected one of connect, open_direct") as caught:
        session.check(state, Frame(id=7))
    assert caught.value.row is errors.FRAME_UNKNOWN


def test_a_request_needs_an_id() -> None:
    with pytest.raises(LonglinkError, match="id: expected 1 to 4294967295 in a request, got 0 in ack") as caught:
        session.check(State.CONNECTED, Frame(ack=Ack(conversation="c", seq=1)))
    assert caught.value.row is errors.FIELD_INVALID


def test_the_error_says_what_is_allowed() -> None:
    with pytest.raises(LonglinkError, match=r"allowed: connect$"):
        session.check(State.NEW, Frame(id=1, open_direct=OpenDirect(user="bob")))
    with pytest.raises(LonglinkError, match=r"allowed: none$"):
        session.check(State.CLOSED, frame("connect"))


@pytest.mark.parametrize("row", errors.TABLE.values(), ids=lambda row: row.name)
def test_only_bytes_that_are_no_frame_end_a_session(row: Row) -> None:
    error = LonglinkError(row, "")
    assert session.ends_connection(error) is (row is errors.FRAME_MALFORMED)


@pytest.mark.parametrize("state", [State.NEW, State.CONNECTING, State.CLOSED])
def test_every_error_ends_what_is_not_a_session_yet(state: State) -> None:
    assert session.ends_connection(LonglinkError(errors.FIELD_INVALID, ""), state)
