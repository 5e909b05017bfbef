"""read_history: pages for members, cut to what may wait for one connection. Read next: test_list_conversations.py."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from longlink import errors
from longlink.logic import commands
from longlink.protocol.frames import Frame, History, ReadHistory
from longlink.protocol.limits import PAGE_DEFAULT
from longlink.routing.calls import Call
from longlink.routing.sessions import Session
from longlink.storage.base import ENTRY_OVERHEAD_BYTES

from .stage import PAGE_BYTES, Stage, play, text


async def _page(stage: Stage, session: Session, conversation: str, **fields: int) -> History:
    (answer,) = await stage.ask(session, Frame(read_history=ReadHistory(conversation=conversation, **fields)))
    assert answer.history.conversation == conversation, answer
    return answer.history


def _seqs(page: History) -> list[int]:
    return [message.seq for message in page.messages]


def test_an_entry_looks_as_it_was_pushed(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        bob, alice = await stage.enter("bob"), await stage.enter("alice")
        conversation = await stage.direct(alice, "bob")
        await stage.ask(alice, *(text(conversation, f"{n}") for n in range(5)))
        pushed = [frame.message for _, frame in stage.heard()]
        assert list((await _page(stage, bob, conversation)).messages) == pushed

    play(tmp_path, story)


def test_a_limit_is_kept_and_without_one_the_default_is_asked_of_the_store(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        alice = await stage.enter("alice")
        conversation = await stage.direct(alice, "alice")
        await stage.ask(alice, *(text(conversation, f"{n}") for n in range(PAGE_DEFAULT + 5)))
        roomy = dataclasses.replace(stage.services, page_bytes=1_000_000)
        calls = [Call(alice, Frame(read_history=ReadHistory(conversation=conversation, limit=n))) for n in (0, 3, 200)]
        pages = [Frame.FromString(reply.payload).history for reply in await commands.handler(roomy)(calls)]
        assert [len(page.messages) for page in pages] == [PAGE_DEFAULT, 3, PAGE_DEFAULT + 5]
        assert [page.more for page in pages] == [True, True, False]

    play(tmp_path, story)


@pytest.mark.parametrize("direction", ["after", "before"])
def test_a_page_is_cut_at_its_bytes_from_the_far_end_and_says_that_there_is_more(
    tmp_path: Path, direction: str
) -> None:
    async def story(stage: Stage) -> None:
        alice = await stage.enter("alice")
        conversation = await stage.direct(alice, "alice")
        size = PAGE_BYTES // 4
        await stage.ask(alice, *(text(conversation, f"{n}", "x" * size) for n in range(1, 11)))
        fits = PAGE_BYTES // (size + ENTRY_OVERHEAD_BYTES)
        read: list[int] = []
        for _ in range(10):
            if direction == "after":
                page = await _page(stage, alice, conversation, after=read[-1] if read else 0)
                read += _seqs(page)
            else:
                page = await _page(stage, alice, conversation, before=read[0] if read else 11)
                read = _seqs(page) + read
            assert page.ByteSize() <= PAGE_BYTES
            assert len(page.messages) <= fits
            if not page.more:
                break
        assert read == list(range(1, 11))

    play(tmp_path, story)


def test_an_entry_that_is_larger_than_a_page_is_a_page_of_its_own(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        alice = await stage.enter("alice")
        conversation = await stage.direct(alice, "alice")
        await stage.ask(alice, *(text(conversation, f"{n}", "x" * 2 * PAGE_BYTES) for n in range(3)))
        for seq in (1, 2, 3):
            page = await _page(stage, alice, conversation, after=seq - 1)
            assert (_seqs(page), page.more) == ([seq], seq < 3)
        newest = await _page(stage, alice, conversation, before=4)
        assert (_seqs(newest), newest.more) == ([3], True)

    play(tmp_path, story)


def test_strangers_and_unknown_conversations_are_refused_call_by_call(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        _, alice, eve = await stage.enter("bob"), await stage.enter("alice"), await stage.enter("eve")
        conversation = await stage.direct(alice, "bob")
        own = await stage.direct(eve, "eve")
        answers = await stage.ask(
            eve, *(Frame(read_history=ReadHistory(conversation=name)) for name in (conversation, "d_no_such", own))
        )
        assert [answer.error.name for answer in answers] == [
            errors.NOT_A_MEMBER.name,
            errors.CONVERSATION_UNKNOWN.name,
            "",
        ]

    play(tmp_path, story)


def test_without_a_place_the_newest_come_and_after_zero_reads_from_the_beginning(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        alice = await stage.enter("alice")
        conversation = await stage.direct(alice, "alice")
        await stage.ask(alice, *(text(conversation, f"{n}") for n in range(5)))
        for fields, seqs, more in (
            ({"limit": 2}, [4, 5], True),
            ({"limit": 5}, [1, 2, 3, 4, 5], False),
            ({"limit": 2, "after": 0}, [1, 2], True),
            ({"limit": 2, "before": 4}, [2, 3], True),
            ({"limit": 2, "after": 0, "before": 4}, [2, 3], True),
            ({"limit": 2, "after": 1, "before": 5}, [2, 3], True),
        ):
            page = await _page(stage, alice, conversation, **fields)
            assert (_seqs(page), page.more) == (seqs, more), fields

    play(tmp_path, story)
