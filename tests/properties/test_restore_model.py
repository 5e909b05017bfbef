"""A server that is restored from older copies: what is stored is handed out, and nothing is marked that was not.

The store is real, and so is the pure part of the client, its inbox; what exchange.py does around it is done here in
small steps. Copies are made of a running store or of a stopped one. Events and whole passes may be lost at any moment.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from longlink import errors
from longlink.client.events import Message
from longlink.client.inbox import Inbox
from longlink.config import Storage
from longlink.errors import LonglinkError
from longlink.logic import replies
from longlink.logic.services import RECEIPTS
from longlink.protocol import frames
from longlink.storage.base import Append, Appended, Change, Entry, Mark, Seen
from longlink.storage.sqlite import SqliteStore, engine, open_store

ME: Final = "alice"
PEERS: Final = ("bob", "carol")
Result = TypeVar("Result")


class RestoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="longlink-restore-"))
        self.loop = asyncio.new_event_loop()
        self.numbers = itertools.count(1)
        self.copies: list[Path] = []
        self.pushes: list[frames.Message] = []
        self.handed: Counter[str] = Counter()
        self.restores = 0
        self.now_s = 0.0
        self.inbox = Inbox("mine-", 3, replay=True, user=ME)
        self.store = self.run(self._opened())
        self.run(self.store.users.remember([ME, *PEERS]))
        self.names = [self.run(self.store.conversations.open_direct(peer, ME)).conversation.id for peer in PEERS]
        self.connect()

    def run(self, call: Coroutine[Any, Any, Result]) -> Result:
        return self.loop.run_until_complete(asyncio.wait_for(call, 30))

    @property
    def data(self) -> Path:
        return self.place / "data"

    async def _opened(self) -> SqliteStore:
        return await open_store(self.data, Storage(readers=1, mark_delay_ms=0))

    def teardown(self) -> None:
        self.quiet_down()
        self.run(self.store.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.place)

    # The server ---------------------------------------------------------------------------------------------------

    @rule(which=st.integers(0, 1), count=st.integers(1, 5))
    def others_write(self, which: int, count: int) -> None:
        name, sender = self.names[which], PEERS[which]
        for _ in range(count):
            text = f"words {next(self.numbers)}"
            content = frames.Content(text=text).SerializeToString()
            (stored,) = self.run(self.store.messages.append([Append(name, sender, text, content)]))
            assert isinstance(stored, Appended)
            entry = Entry(stored.seq, sender, text, stored.sent_at, stored.stamp, content)
            self.pushes.append(replies.message(name, entry))

    @rule(which=st.integers(0, 1))
    def another_device_acknowledges_everything(self, which: int) -> None:
        name = self.names[which]
        head = len(self._log(name))
        self.run(self.store.conversations.mark([Mark(name, ME, head, head)]))

    @rule()
    def server_starts_again(self) -> None:
        self.run(self.store.close())
        self._back()

    @precondition(lambda self: len(self.copies) < 4)
    @rule(running=st.booleans())
    def somebody_copies(self, running: bool) -> None:
        copy = self.place / f"copy-{len(self.copies)}"
        if running:
            copy.mkdir(0o700)
            self._copy_running(copy)
        else:
            self.run(self.store.close())
            shutil.copytree(self.data, copy)
            self._back()
        self.copies.append(copy)

    @precondition(lambda self: self.copies)
    @rule(data=st.data())
    def somebody_restores(self, data: st.DataObject) -> None:
        copy = data.draw(st.sampled_from(self.copies))
        self.run(self.store.close())
        shutil.rmtree(self.data)
        shutil.copytree(copy, self.data)
        self.restores += 1
        self._back()

    def _copy_running(self, copy: Path) -> None:
        source = apsw.Connection(str(self.data / engine.DATABASE))
        target = apsw.Connection(str(copy / engine.DATABASE))
        with target.backup("main", source, "main") as backup:
            backup.step(-1)
        target.close()
        source.close()

    def _back(self) -> None:
        self.store = self.run(self._opened())
        self.pushes.clear()
        self.inbox.link_lost()
        self.connect()

    def _log(self, name: str) -> list[Entry]:
        read = self.store.messages.history(name, ME, after=0, before=0, limit=10_000, page_bytes=1 << 30)
        return list(self.run(read).entries)

    # The client ---------------------------------------------------------------------------------------------------

    def connect(self) -> None:
        self.inbox.lineage.connected(self.store.epoch)
        self.inbox.sync_wanted = True

    @precondition(lambda self: self.pushes)
    @rule(data=st.data(), lost=st.booleans())
    def push_comes(self, data: st.DataObject, lost: bool) -> None:
        push = self.pushes.pop(data.draw(st.integers(0, len(self.pushes) - 1)))
        if not lost:
            self.inbox.pushed(push, 0.0)

    @rule(pages=st.integers(1, 3))
    def sync(self, pages: int) -> None:
        """A pass that may break off after some pages."""
        box = self.inbox
        if not box.lineage.checked and not box.synced_at:
            box.restart()
        since, cursor = box.synced_at, ""
        seen = Seen(box.lineage.epoch, box.lineage.newest)
        for _ in range(pages):
            call = self.store.conversations.sync(
                ME, since=since, cursor=cursor, limit=1, messages=2, page_bytes=2_000, seen=seen
            )
            try:
                page = self.run(call)
            except LonglinkError as error:
                if error.row is not errors.SINCE_AHEAD:
                    raise
                box.restart()
                return
            if not box.lineage.replacing:
                box.lineage.agreed(self.store.epoch)
            for change in page.changes:
                box.change(_shown(change), 0.0)
            cursor = page.next
            if not cursor:
                box.sync_wanted = False
                box.synced(page.synced_at, 0.0, self.store.epoch)
                return

    @rule()
    def fetch(self) -> None:
        self.now_s += 60.0
        for name, after in self.inbox.fetches(self.now_s, 2):
            page = self.run(self.store.messages.history(name, ME, after=after, before=0, limit=2, page_bytes=1 << 30))
            found = [replies.message(name, entry) for entry in page.entries]
            history = frames.History(conversation=name, messages=found, head=page.head, stamp=page.stamp)
            self.inbox.fetched(history, self.now_s)

    @rule(count=st.integers(1, 4))
    def look(self, count: int) -> None:
        for _ in range(count):
            event = self.inbox.take(0.0)
            if isinstance(event, Message):
                self.handed[event.text] += 1

    @rule()
    def acknowledge(self) -> None:
        for due in self.inbox.acks(8):
            log = self._log(due.conversation)
            assert due.seq <= len(log), "it acknowledges what is not there"
            unseen = [entry.client_id for entry in log[: due.seq] if entry.client_id not in self.handed]
            assert unseen == [], "it acknowledges what nobody was shown"
            self.run(self.store.conversations.mark([Mark(due.conversation, ME, due.seq, due.read)]))
            self.inbox.acked(due.conversation, due.seq, due.read)

    def quiet_down(self) -> None:
        """Let everything come to its end, then compare."""
        for _ in range(400):
            self.sync(pages=10)
            self.fetch()
            self.look(8)
            self.acknowledge()
            if not (self.inbox.sync_wanted or self._lacking()):
                break
        assert self._lacking() == [], "what is stored was handed out"
        most = max(self.handed.values(), default=0)
        assert most <= 1 + self.restores, "and again only after a restore"

    def _lacking(self) -> list[str]:
        return [
            entry.client_id for name in self.names for entry in self._log(name) if entry.client_id not in self.handed
        ]


def _shown(change: Change) -> frames.Change:
    name = change.conversation.id
    return frames.Change(
        conversation=replies.conversation(change.conversation, ME, RECEIPTS["read"]),
        messages=[replies.message(name, entry) for entry in change.entries],
        more=change.more,
        kept=change.kept,
    )


TestRestoreMachine = pytest.mark.slow(RestoreMachine.TestCase)
TestRestoreMachine.settings = settings(
    max_examples=25, stateful_step_count=40, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


def test_the_model_notices_a_client_that_keeps_its_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that cannot fail is a defect."""
    monkeypatch.setattr(Inbox, "restart", lambda box: setattr(box, "synced_at", 0))
    machine = RestoreMachine()
    machine.others_write(0, 2)
    machine.quiet_down()
    machine.somebody_copies(running=False)
    machine.others_write(0, 5)
    machine.quiet_down()
    machine.copies = machine.copies[:1]
    machine.run(machine.store.close())
    shutil.rmtree(machine.data)
    shutil.copytree(machine.copies[0], machine.data)
    machine._back()
    # So many that the counter of the restored log passes what the client has seen.
    for _ in range(10):
        machine.others_write(0, 5)
    with pytest.raises(AssertionError, match="acknowledges what nobody was shown"):
        machine.quiet_down()
    monkeypatch.undo()
    machine.inbox = Inbox("mine-", 3, replay=True, user=ME)
    machine.restores = 9
    machine.connect()
    machine.teardown()
