"""sync: conversations as their user may see them, messages as they were pushed, and a bound. Read next: test_ack.py."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from longlink import errors
from longlink.logic import commands
from longlink.logic.services import RECEIPTS
from longlink.logic.sync import LARGEST
from longlink.protocol.frames import Ack, Content, Frame, Send, Sync, Synced
from longlink.protocol.limits import MESSAGES_DEFAULT, PAGE_DEFAULT
from longlink.routing.calls import Call
from longlink.routing.sessions import Session

from .stage import NOON_MS, PAGE_BYTES, Stage, play, text


def _sync(**fields: int | str) -> Frame:
    return Frame(sync=Sync(**fields))  # type: ignore[arg-type]


async def _synced(stage: Stage, session: Session, page_bytes: int = 1 << 20, **fields: int | str) -> Synced:
    handle = commands.handler(dataclasses.replace(stage.services, page_bytes=page_bytes))
    request = _sync(**fields)
    request.id = 1
    (reply,) = await handle([Call(session, request)])
    answer = Frame.FromString(reply.payload)
    assert answer.WhichOneof("body") == "synced", answer
    return answer.synced


def test_messages_look_as_they_were_pushed_and_conversations_as_their_user_may_see_them(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        bob, alice = await stage.enter("bob"), await stage.enter("alice")
        conversation = await stage.direct(alice, "bob")
        hey = Content(text="hey", mentions=["bob", "nobody"])
        await stage.ask(alice, text(conversation, "1"))
        await stage.ask(alice, Frame(send=Send(conversation=conversation, client_id="2", content=hey)))
        pushed = [frame.message for _, frame in stage.heard()]
        synced = await _synced(stage, bob)
        (change,) = synced.changes
        assert list(change.messages) == pushed
        shown = change.conversation
        assert (shown.id, shown.head, shown.unread, shown.mentions) == (conversation, 2, 2, 1)
        assert [(member.user, member.delivered, member.read) for member in shown.members] == [
            ("bob", 0, 0),
            ("alice", 2, 2),
        ]
        assert (synced.next, synced.complete) == ("", True)
        assert list((await _synced(stage, bob, since=synced.synced_at)).changes) == []
        stage.services = dataclasses.replace(stage.services, receipts=RECEIPTS["none"])
        ((change), *_) = (await _synced(stage, bob)).changes
        assert [(member.delivered, member.read) for member in change.conversation.members] == [(0, 0), (0, 0)]
        ((change), *_) = (await _synced(stage, alice)).changes
        assert [(member.delivered, member.read) for member in change.conversation.members] == [(0, 0), (2, 2)]

    play(tmp_path, story)


def test_pages_of_the_default_size_show_every_conversation_once_and_only_the_last_is_complete(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        alice = await stage.enter("alice")
        opened = [await stage.direct(alice, f"peer{n}") for n in range(PAGE_DEFAULT + 3)]
        first = await _synced(stage, alice)
        second = await _synced(stage, alice, cursor=first.next)
        assert [len(first.changes), len(second.changes)] == [PAGE_DEFAULT, 3]
        assert [change.conversation.id for page in (first, second) for change in page.changes] == opened[::-1]
        assert [(first.complete, second.complete), second.next] == [(False, True), ""]

    play(tmp_path, story)


def test_a_pass_with_more_messages_than_were_asked_for_is_not_complete(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        alice = await stage.enter("alice")
        conversation = await stage.direct(alice, "alice")
        await stage.ask(alice, *(text(conversation, f"{n}") for n in range(MESSAGES_DEFAULT + 1)))
        for asked, number, complete in ((0, MESSAGES_DEFAULT, False), (1, 1, False), (100, MESSAGES_DEFAULT + 1, True)):
            synced = await _synced(stage, alice, messages=asked)
            (change,) = synced.changes
            assert (len(change.messages), change.more, synced.complete) == (number, not complete, complete)

    play(tmp_path, story)


def test_an_answer_is_bounded_by_the_smaller_of_both_bounds_whatever_names_and_texts_are_like(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        alice = await stage.enter("a" * 64)
        for n in range(220):
            peer = await stage.enter(f"{n:03}" + "ü" * 30 + "x")
            conversation = await stage.direct(peer, "a" * 64)
            await stage.ask(peer, *(text(conversation, f"{m}", "x" * (n + m)) for m in range(5)))
            await stage.ask(peer, Frame(ack=Ack(conversation=conversation, seq=5, read=3)))
        for page_bytes, least in ((1 << 20, 0.85), (PAGE_BYTES, 0.7)):
            for limit in (1, 10, 50, 200):
                synced = await _synced(stage, alice, page_bytes, limit=limit)
                assert synced.next
                assert len(synced.changes) <= limit
                size = Frame(id=2**32 - 1, synced=synced).ByteSize()
                assert size <= min(page_bytes, LARGEST)
                if limit >= 50:
                    assert size >= least * min(page_bytes, LARGEST), "and the room is used"

    play(tmp_path, story)


def test_bad_places_are_refused_alone(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        alice, bob = await stage.enter("alice"), await stage.enter("bob")
        await stage.direct(alice, "bob")
        await stage.direct(alice, "alice")
        cursor = (await _synced(stage, alice, limit=1)).next
        answers = await stage.ask_together(
            Call(alice, _sync(since=NOON_MS + 1)),
            Call(bob, _sync(cursor=cursor)),
            Call(alice, _sync(cursor="not one of ours")),
            Call(alice, _sync(cursor=cursor)),
        )
        assert [answer.error.name for answer in answers] == [
            errors.SINCE_AHEAD.name,
            errors.FIELD_INVALID.name,
            errors.FIELD_INVALID.name,
            "",
        ]

    play(tmp_path, story)
