"""A client that was away: with pages and events in any order, and any of them lost, it ends with the log and the marks.

The store is real. The client is the least that SPEC.md asks for: it keeps messages by seq, marks that only rise, and
the stamp of its last complete pass. Events are what commits would have pushed; Hypothesis delivers, repeats and loses
them. A pass shows every conversation that had changed when it began; what changes behind its page is left to the next.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from longlink.config import Storage
from longlink.storage.base import Append, Appended, Change, Conversation, Entry, Mark, Marked
from longlink.storage.sqlite import SqliteStore, open_store, plan

ME: Final = "alice"
PAIRS: Final = ((ME, "bob"), (ME, "carol"), (ME, "dave"), (ME, ME), ("bob", "carol"))
Result = TypeVar("Result")
Marks = dict[str, tuple[int, int]]
Event = Entry | tuple[str, int, int]
"""A message, or a user with his marks."""


@dataclass
class Chat:
    """What the client knows of a conversation."""

    messages: dict[int, Entry] = field(default_factory=dict)
    marks: Marks = field(default_factory=dict)
    head: int = 0

    @property
    def have(self) -> int:
        have = 0
        while have + 1 in self.messages:
            have += 1
        return have

    def take(self, entry: Entry) -> None:
        assert self.messages.setdefault(entry.seq, entry) == entry, "a seq has one content for ever"
        self.head = max(self.head, entry.seq)

    def raise_marks(self, user: str, delivered: int, read: int) -> None:
        old = self.marks.get(user, (0, 0))
        self.marks[user] = (max(old[0], delivered), max(old[1], read))


class Client:
    """since: synced_at of the last complete pass; cursor, synced_at: of the pass under way."""

    def __init__(self) -> None:
        self.chats: dict[str, Chat] = {}
        self.since = 0
        self.cursor = ""
        self.synced_at = -1

    def chat(self, name: str) -> Chat:
        return self.chats.setdefault(name, Chat())

    def hear(self, name: str, event: Event) -> None:
        if isinstance(event, Entry):
            self.chat(name).take(event)
        else:
            self.chat(name).raise_marks(*event)

    def apply(self, change: Change, log: list[Entry]) -> None:
        shown = change.conversation
        chat = self.chat(shown.id)
        chat.head = max(chat.head, shown.head)
        for member in shown.members:
            chat.raise_marks(member.user, member.delivered, member.read)
        seqs = [entry.seq for entry in change.entries]
        assert seqs == list(range(shown.head - len(seqs) + 1, shown.head + 1)), "the newest ones, without a gap"
        of_the_time = [entry for entry in log[: shown.head] if entry.stamp > self.since]
        assert change.more == (len(of_the_time) > len(seqs))
        assert list(change.entries) == of_the_time[len(of_the_time) - len(seqs) :]
        for entry in change.entries:
            chat.take(entry)


class SyncMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="longlink-sync-"))
        self.loop = asyncio.new_event_loop()
        self.now_ms = 1_790_000_000_000
        self.names: dict[tuple[str, str], str] = {}
        self.logs: dict[str, list[Entry]] = {}
        self.events: list[tuple[str, Event]] = []
        self.client = Client()
        # Conversations that have changed since a page last showed them; and of this pass, those due and those shown.
        self.lagging: set[str] = set()
        self.due: set[str] = set()
        self.shown: set[str] = set()
        # So short that conversations are listed again and again, and lie beside their place in the index.
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(plan, "LAG", 4)
        self.store = self.run(self._opened())

    def run(self, call: Coroutine[Any, Any, Result]) -> Result:
        return self.loop.run_until_complete(asyncio.wait_for(call, 30))

    async def _opened(self) -> SqliteStore:
        return await open_store(self.folder, Storage(readers=1, mark_delay_ms=1), now_ms=lambda: self.now_ms)

    def teardown(self) -> None:
        for _ in range(2):
            self.pages(limit=3, messages=2, page_bytes=2_000, most=1_000)
        assert not self.lagging, "a pass during which nothing changes shows everything"
        self.patch.undo()
        self.run(self.store.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.folder)

    @initialize()
    def everybody_is_known(self) -> None:
        self.run(self.store.users.remember([user for pair in PAIRS for user in pair]))

    # What happens meanwhile ------------------------------------------------------------------------------------------

    @rule(pair=st.sampled_from(PAIRS), first=st.booleans(), sizes=st.lists(st.integers(0, 300), min_size=1, max_size=5))
    def say(self, pair: tuple[str, str], first: bool, sizes: list[int]) -> None:
        name = self._name(pair)
        sender = pair[0] if first else pair[1]
        log = self.logs[name]
        items = [Append(name, sender, str(len(log) + place), b"x" * size) for place, size in enumerate(sizes)]
        for item, result in zip(items, self.run(self.store.messages.append(items)), strict=True):
            assert isinstance(result, Appended)
            self.lagging.add(name)
            log.append(Entry(result.seq, sender, item.client_id, result.sent_at, result.stamp, item.content))
            self._push(pair, name, log[-1])

    @rule(pair=st.sampled_from(PAIRS), first=st.booleans(), back=st.integers(0, 4), unread=st.integers(0, 4))
    def mark(self, pair: tuple[str, str], first: bool, back: int, unread: int) -> None:
        name = self._name(pair)
        user = pair[0] if first else pair[1]
        seq = max(0, len(self.logs[name]) - back)
        (result,) = self.run(self.store.conversations.mark([Mark(name, user, seq, max(0, seq - unread))]))
        assert isinstance(result, Marked)
        if result.delivered_moved or result.read_moved:
            self.lagging.add(name)
            self._push(pair, name, (user, result.delivered, result.read))

    @rule(step=st.integers(-5_000, 5_000))
    def clock_moves(self, step: int) -> None:
        self.now_ms += step

    @rule()
    def restart(self) -> None:
        self.run(self.store.close())
        self.store = self.run(self._opened())

    # What reaches the client -----------------------------------------------------------------------------------------

    @precondition(lambda self: self.events)
    @rule(data=st.data(), again=st.booleans())
    def event_comes(self, data: st.DataObject, again: bool) -> None:
        place = data.draw(st.integers(0, len(self.events) - 1))
        self.client.hear(*(self.events[place] if again else self.events.pop(place)))

    @precondition(lambda self: self.events)
    @rule()
    def all_events_are_lost(self) -> None:
        self.events.clear()

    @rule(
        limit=st.integers(1, 3),
        messages=st.integers(1, 4),
        page_bytes=st.sampled_from((600, 2_000)),
        most=st.integers(1, 4),
    )
    def pages(self, limit: int, messages: int, page_bytes: int, most: int) -> None:
        """Some pages of a pass; whatever else happens may happen between them."""
        client = self.client
        for _ in range(most):
            if not client.cursor:
                self.shown = set()
                self.due = {name for name in self._mine() if self._stamp(name) > client.since}
            page = self.run(
                self.store.conversations.sync(
                    ME, since=client.since, cursor=client.cursor, limit=limit, messages=messages, page_bytes=page_bytes
                )
            )
            assert client.synced_at in (-1, page.synced_at), "the same on all pages of a pass"
            assert len(page.changes) <= limit
            for change in page.changes:
                client.apply(change, self.logs[change.conversation.id])
                self.shown.add(change.conversation.id)
                self.lagging.discard(change.conversation.id)
            client.cursor, client.synced_at = page.next, page.synced_at
            if not page.next:
                self._check_complete(page.synced_at)
                client.since, client.synced_at = page.synced_at, -1
                return

    @rule()
    def pass_is_given_up(self) -> None:
        self.client.cursor, self.client.synced_at = "", -1

    @rule()
    def client_loses_all(self) -> None:
        self.client = Client()
        self.lagging = set(self._mine())

    def _mine(self) -> dict[str, tuple[str, str]]:
        return {self.names[pair]: pair for pair in self.names if ME in pair}

    def _stamp(self, name: str) -> int:
        return self._shown(self._mine()[name]).stamp

    def _check_complete(self, synced_at: int) -> None:
        """After the last page the client knows all that its pages showed, and history has what it lacks."""
        assert self.due <= self.shown
        for name, pair in self._mine().items():
            if name in self.lagging:
                assert self._stamp(name) > synced_at, "the next pass shows it"
                continue
            chat, log = self.client.chats[name], self.logs[name]
            assert chat.head == len(log)
            shown = self._shown(pair)
            assert chat.marks == {member.user: (member.delivered, member.read) for member in shown.members}
            while (have := chat.have) < chat.head:
                beyond = min((seq for seq in chat.messages if seq > have), default=chat.head + 1)
                # With have = 0 there is no lower bound: then from the beginning, over what is known.
                before = beyond if have else 0
                page = self.run(
                    self.store.messages.history(name, ME, after=have, before=before, limit=3, page_bytes=1_000)
                )
                assert page.entries
                for entry in page.entries:
                    chat.take(entry)
            assert [chat.messages[seq] for seq in range(1, chat.head + 1)] == log

    def _name(self, pair: tuple[str, str]) -> str:
        if pair not in self.names:
            name = self.names[pair] = self._shown(pair).id
            self.logs[name] = []
            self.lagging |= {name} if ME in pair else set()
        return self.names[pair]

    def _shown(self, pair: tuple[str, str]) -> Conversation:
        return self.run(self.store.conversations.open_direct(*pair)).conversation

    def _push(self, pair: tuple[str, str], name: str, event: Event) -> None:
        if ME in pair:
            self.events.append((name, event))
        else:
            self.lagging.discard(name)


TestSyncMachine = SyncMachine.TestCase
TestSyncMachine.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
