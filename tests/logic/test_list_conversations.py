"""list_conversations: a user's own conversations, page by page. Read next: test_open_direct.py."""

from __future__ import annotations

from pathlib import Path

from longlink import errors
from longlink.protocol.frames import Frame, ListConversations
from longlink.protocol.limits import PAGE_DEFAULT

from .stage import Stage, play, text


def _list(**fields: int | str) -> Frame:
    return Frame(list_conversations=ListConversations(**fields))  # type: ignore[arg-type]


def test_pages_of_the_default_size_show_every_conversation_once(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        alice = await stage.enter("alice")
        opened = [await stage.direct(alice, f"peer{n}") for n in range(PAGE_DEFAULT + 3)]
        (first,) = await stage.ask(alice, _list())
        assert len(first.conversations.conversations) == PAGE_DEFAULT
        (second,) = await stage.ask(alice, _list(cursor=first.conversations.next))
        assert second.conversations.next == ""
        listed = [*first.conversations.conversations, *second.conversations.conversations]
        assert [conversation.id for conversation in listed] == opened

    play(tmp_path, story)


def test_a_conversation_is_shown_with_its_head_and_the_marks_of_its_members(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        bob, alice = await stage.enter("bob"), await stage.enter("alice")
        conversation = await stage.direct(alice, "bob")
        await stage.ask(alice, text(conversation, "1"))
        for session in (bob, alice):
            (answer,) = await stage.ask(session, _list())
            (shown,) = answer.conversations.conversations
            assert (shown.id, shown.kind, shown.head) == (conversation, shown.DIRECT, 1)
            assert {member.user: member.delivered for member in shown.members} == {"alice": 1, "bob": 0}

    play(tmp_path, story)


def test_a_bad_cursor_is_refused_alone(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        alice = await stage.enter("alice")
        answers = await stage.ask(alice, _list(cursor="not one of ours"), _list())
        assert [answer.error.name for answer in answers] == [errors.FIELD_INVALID.name, ""]

    play(tmp_path, story)
