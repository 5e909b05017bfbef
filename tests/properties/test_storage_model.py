"""The store against a plain dict: whatever is called in whatever order, with restarts between, both must agree."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from longlink import errors
from longlink.config import Storage
from longlink.errors import LonglinkError
from longlink.storage.base import Append, Appended, Conversation, Entry, Mark, Marked, Page
from longlink.storage.sqlite import SqliteStore, open_store

USERS: Final = ("alice", "bob", "carol")
STRANGER: Final = "mallory"
Result = TypeVar("Result")

users = st.sampled_from(USERS)
anyone = st.sampled_from((*USERS, STRANGER))
# Few, so that resends and other content under the same client_id are frequent.
client_ids = st.sampled_from(("a", "b", "c", "d", "", "é\x00"))
contents = st.sampled_from((b"", b"one", b"two\x00"))
mentions = st.lists(anyone, max_size=2).map(tuple)


@dataclass
class Chat:
    """What the model knows of a conversation."""

    members: tuple[str, ...]
    creator: str
    log: list[Entry] = field(default_factory=list)
    mentioned: list[frozenset[str]] = field(default_factory=list)
    marks: dict[str, tuple[int, int]] = field(default_factory=dict)
    touched: int = 0

    def shown_to(self, user: str) -> bool:
        return user in self.members and (bool(self.log) or user == self.creator)


class StoreMachine(RuleBasedStateMachine):
    """Every rule calls the real store and the model, and compares."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="longlink-model-"))
        self.loop = asyncio.new_event_loop()
        self.now_ms = 1_790_000_000_000
        self.chats: dict[str, Chat] = {}
        self.pairs: dict[frozenset[str], str] = {}
        self.changes = 0
        self.synced_at = 0
        self.seen: dict[str, int] = {}
        self.store = self.run(self._opened())

    def run(self, call: Coroutine[Any, Any, Result]) -> Result:
        return self.loop.run_until_complete(asyncio.wait_for(call, 30))

    async def _opened(self) -> SqliteStore:
        return await open_store(self.folder, Storage(readers=1, batch=3, mark_delay_ms=1), now_ms=lambda: self.now_ms)

    def teardown(self) -> None:
        self.run(self.store.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.folder)

    @initialize()
    def remember(self) -> None:
        self.run(self.store.users.remember(USERS))

    @rule(step=st.integers(-5_000, 5_000))
    def clock_moves(self, step: int) -> None:
        self.now_ms += step

    @rule()
    def restart(self) -> None:
        self.run(self.store.close())
        self.store = self.run(self._opened())

    @rule(user=users, peer=users)
    def open_direct(self, user: str, peer: str) -> None:
        answer = self.run(self.store.conversations.open_direct(user, peer))
        opened, pair = answer.conversation, frozenset((user, peer))
        assert answer.created is (pair not in self.pairs)
        if answer.created:
            assert opened.id not in self.chats
            self.pairs[pair] = opened.id
            self.chats[opened.id] = Chat(tuple(sorted(pair)), user, marks=dict.fromkeys(pair, (0, 0)))
            self._touch(self.chats[opened.id])
        assert opened.id == self.pairs[pair]
        self._compare(opened, user)

    @rule(data=st.data(), batch=st.lists(st.tuples(anyone, client_ids, contents, mentions, st.booleans()), max_size=6))
    def append(self, data: st.DataObject, batch: list[tuple[str, str, bytes, tuple[str, ...], bool]]) -> None:
        items = [Append(self._draw_chat(data), *item) for item in batch]
        # Called as two, so that batches of the store and calls do not coincide; one after the other, because users take
        # turns and the order of calls is kept for each of them.
        results = [result for part in (items[:2], items[2:]) for result in self.run(self.store.messages.append(part))]
        for item, result in zip(items, results, strict=True):
            self._check_append(item, result)

    def _check_append(self, item: Append, result: Appended | LonglinkError) -> None:
        chat = self.chats.get(item.conversation)
        if chat is None or item.sender not in chat.members:
            expected = errors.CONVERSATION_UNKNOWN if chat is None else errors.NOT_A_MEMBER
            assert isinstance(result, LonglinkError)
            assert result.row is expected
            return
        first = next((e for e in chat.log if (e.sender, e.client_id) == (item.sender, item.client_id)), None)
        if first is not None and first.content != item.content:
            assert isinstance(result, LonglinkError)
            assert result.row is errors.CONTENT_DIFFERS
            return
        assert isinstance(result, Appended)
        assert result.members == self._in_order(chat)
        if first is not None:
            assert (result.seq, result.sent_at, result.duplicate) == (first.seq, first.sent_at, True)
            return
        assert (result.seq, result.duplicate) == (len(chat.log) + 1, False)
        assert result.sent_at == self.now_ms, "what is shown follows the clock"
        assert result.stamp >= max([entry.stamp for entry in chat.log], default=0), "and what orders only rises"
        delivered, read = chat.marks[item.sender]
        below = len(chat.log)
        chat.marks[item.sender] = (delivered + (delivered == below), read + (read == below))
        chat.log.append(Entry(result.seq, item.sender, item.client_id, result.sent_at, result.stamp, item.content))
        named = chat.members if item.mentions_all else item.mentions
        chat.mentioned.append(frozenset(named) - {item.sender})
        self._touch(chat)

    @rule(data=st.data(), user=anyone, seq=st.integers(0, 12), read=st.integers(0, 12))
    def mark(self, data: st.DataObject, user: str, seq: int, read: int) -> None:
        name = self._draw_chat(data)
        (result,) = self.run(self.store.conversations.mark([Mark(name, user, seq, read)]))
        chat = self.chats.get(name)
        if chat is None or user not in chat.members or max(seq, read) > len(chat.log):
            assert isinstance(result, LonglinkError)
            return
        old = chat.marks[user]
        new = chat.marks[user] = (max(seq, read, old[0]), max(read, old[1]))
        if new != old:
            self._touch(chat)
        assert result == Marked(*new, new[0] > old[0], new[1] > old[1], self._in_order(chat))

    @rule(data=st.data(), after=st.integers(0, 12), before=st.integers(0, 12), limit=st.integers(1, 6))
    def history(self, data: st.DataObject, after: int, before: int, limit: int) -> None:
        name = self._draw_chat(data)
        if name not in self.chats:
            return
        chat = self.chats[name]
        found = self.run(
            self.store.messages.history(
                name, chat.members[0], after=after, before=before, limit=limit, page_bytes=1 << 30
            )
        )
        fitting = [entry for entry in chat.log if entry.seq > after and (not before or entry.seq < before)]
        shown = fitting[-limit:] if before and not after else fitting[:limit]
        assert found == Page(tuple(shown), len(chat.log), len(fitting) > len(shown), found.stamp)

    @rule(limit=st.integers(1, 3), touch=st.booleans())
    def list_all(self, limit: int, touch: bool) -> None:
        """Alice's client: after a pass it must know every change of hers that was made before the sync began."""
        before = {name: chat.touched for name, chat in self.chats.items() if chat.shown_to("alice")}
        cursor, since = "", self.synced_at
        for page_number in range(100):
            page = self.run(self.store.conversations.changed("alice", since=since, cursor=cursor, limit=limit))
            assert len(page.conversations) <= limit
            for shown in page.conversations:
                self._compare(shown, "alice")
                self.seen[shown.id] = self.chats[shown.id].touched
            cursor = page.next
            if not cursor:
                break
            if touch and page_number == 0:
                self._touch_one(page.conversations[0].id)
        self.synced_at = page.synced_at
        assert all(self.seen.get(name, -1) >= touched for name, touched in before.items())

    def _touch_one(self, name: str) -> None:
        chat = self.chats[name]
        item = Append(name, "alice", f"while paging {len(chat.log)}", b"")
        (result,) = self.run(self.store.messages.append([item]))
        self._check_append(item, result)

    @invariant()
    def logs_are_equal(self) -> None:
        for name, chat in self.chats.items():
            page = self.run(
                self.store.messages.history(name, chat.members[0], after=0, before=0, limit=10_000, page_bytes=1 << 30)
            )
            assert list(page.entries) == chat.log

    def _draw_chat(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from([*self.chats, "d_aaaaaaaaaaaaaaaaaaaa"]))

    def _in_order(self, chat: Chat) -> tuple[str, ...]:
        return tuple(user for user in USERS if user in chat.members)

    def _touch(self, chat: Chat) -> None:
        self.changes += 1
        chat.touched = self.changes

    def _compare(self, shown: Conversation, user: str) -> None:
        chat = self.chats[shown.id]
        read = chat.marks[user][1]
        assert shown.head == len(chat.log)
        assert {member.user: (member.delivered, member.read) for member in shown.members} == chat.marks
        assert shown.unread == sum(entry.sender != user for entry in chat.log[read:])
        assert shown.mentions == sum(user in mentioned for mentioned in chat.mentioned[read:])


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
