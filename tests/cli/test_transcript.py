"""What a chat looks like."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth

from longlink.cli.chat.transcript import KEPT, Transcript, wrap
from longlink.client.events import Message, Sent

NOON = datetime(2026, 3, 4, 12, 0).astimezone()


def message(seq: int, text: str, *, sender: str = "bob", at: datetime = NOON) -> Message:
    return Message("c", seq, sender, f"x{seq}", at, text, None)


def sent(seq: int) -> Sent:
    return Sent("c", seq, "x", NOON, duplicate=False)


def shown(transcript: Transcript, width: int = 80) -> list[str]:
    rows = ("".join(text for _, text in row).rstrip() for row in transcript.rows(width))
    return [row for row in rows if row]


def test_messages_are_in_order_of_seq_however_they_came_and_twice_does_no_harm() -> None:
    transcript = Transcript("alice", "bob")
    for seq in (3, 1, 2, 3):
        transcript.add(message(seq, f"text {seq}"))
    assert [row[-6:] for row in shown(transcript)[1:]] == ["text 1", "text 2", "text 3"]


def test_each_day_begins_with_its_line() -> None:
    transcript = Transcript("alice", "bob")
    transcript.add(message(1, "a"))
    transcript.add(message(2, "b", at=NOON + timedelta(days=1)))
    rows = shown(transcript)
    assert "Wednesday, 4 March 2026" in rows[0]
    assert "Thursday, 5 March 2026" in rows[2]


def test_marks_go_from_sending_to_stored_to_delivered() -> None:
    transcript = Transcript("alice", "bob")
    said = transcript.sending("hi", NOON)
    assert shown(transcript)[-1].endswith("hi  …")
    transcript.stored(said, sent(1))
    assert shown(transcript)[-1].endswith("hi  ✓")
    transcript.delivered(1)
    assert shown(transcript)[-1].endswith("hi  ✓✓")


def test_a_message_that_failed_says_why() -> None:
    transcript = Transcript("alice", "bob")
    transcript.failed(transcript.sending("hi", NOON), "too large")
    assert shown(transcript)[-2].endswith("hi  ✗")
    assert shown(transcript)[-1].endswith("not sent: too large")
    assert transcript.unsent == 0


def test_what_waits_is_shown_below_what_is_stored() -> None:
    transcript = Transcript("alice", "bob")
    transcript.sending("waiting", NOON)
    transcript.add(message(1, "stored"))
    assert [row.split()[2] for row in shown(transcript)[1:]] == ["stored", "waiting"]


def test_memory_is_bounded_and_the_newest_stay() -> None:
    transcript = Transcript("alice", "bob")
    for seq in range(1, KEPT + 11):
        transcript.add(message(seq, "x"))
    assert (len(transcript), transcript.oldest) == (KEPT, 11)


def test_control_characters_are_shown_not_obeyed() -> None:
    transcript = Transcript("alice", "bob")
    transcript.add(message(1, "\x1b[31mred\x1b[0m\ttab", sender="bob\x1b"))
    assert all(character.isprintable() for row in shown(transcript) for character in row)


@given(st.text(max_size=200), st.integers(8, 100))
def test_no_row_is_wider_than_asked_and_no_word_is_lost(text: str, width: int) -> None:
    clean = "".join(character for character in text if get_cwidth(character) > 0 and character.isprintable())
    pieces = wrap(clean, width)
    assert all(get_cwidth(piece) <= width for piece in pieces)
    assert "".join(pieces).replace(" ", "") == clean.replace(" ", "")


@given(st.lists(st.text(max_size=60), max_size=5), st.integers(16, 120))
def test_the_whole_transcript_fits_its_width(texts: list[str], width: int) -> None:
    transcript = Transcript("alice", "bob with a very long name indeed")
    for seq, text in enumerate(texts, 1):
        transcript.add(message(seq, text, sender="bob with a very long name indeed"))
    transcript.sending("own", NOON)
    for row in transcript.rows(width):
        assert get_cwidth("".join(part for _, part in row)) <= width
