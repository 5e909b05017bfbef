"""Chapter 6, crash: kill -9 under load, twenty times. What was acknowledged is never lost, doubled or reordered.

Read next: bookkeeping.py, test_07_storage.py.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from typing import Final

import pytest

import longlink
from longlink.client import supervisor
from longlink.protocol.frames import Message
from longlink.testing import RunningServer, run_server

from .bookkeeping import Answer, Enter, Receiver, Sender, survive
from .conftest import WORKERS
from .people import Guest, eventually, failures
from .raw import Kind

LIVES: Final = 20
ANSWERS_A_LIFE: Final = 200
SETTINGS: Final = {
    "LONGLINK_CONNECTION_MESSAGE_RATE": "0",
    "LONGLINK_CONNECTION_ACCEPT_RATE": "0",
    "LONGLINK_LIMITS_WORK_RATE": "0",
}


def _enter(server: RunningServer, tokens: dict[str, str]) -> Enter:
    kinds = list(Kind)

    def enter(user: str, device: str) -> Guest:
        link = Guest(server.port, kinds[sum(device.encode()) % 4])
        try:
            link.connect(user, device, tokens[user])
        except BaseException:
            link.close()
            raise
        return link

    return enter


class Actors:
    """Senders and receivers of two conversations, and the threads that they live in."""

    def __init__(self, server: RunningServer) -> None:
        tokens = {user: server.token(user) for user in ("alice", "bob", "carol")}
        self.enter = _enter(server, tokens)
        with self.enter("bob", "first"), self.enter("carol", "first"), self.enter("alice", "first") as link:
            first, second = link.direct("bob"), link.direct("carol")
        self.senders = [
            Sender("alice", "alice-a", first),
            Sender("alice", "alice-b", first),
            Sender("bob", "bob-a", first),
            Sender("carol", "carol-a", second),
        ]
        self.receivers = [
            Receiver("bob", "bob-watch", first),
            Receiver("alice", "alice-watch", first),
            Receiver("alice", "alice-other", second),
        ]

    @property
    def answered(self) -> int:
        return sum(len(sender.answers) for sender in self.senders)

    @contextmanager
    def acting(self, stop: threading.Event) -> Iterator[None]:
        """Everybody lives once, in a thread each; what one of them finds wrong is raised at the end."""
        with ThreadPoolExecutor(len(self.senders) + len(self.receivers)) as pool:
            actors: list[Sender | Receiver] = [*self.senders, *self.receivers]
            works = [pool.submit(self._live, actor, stop) for actor in actors]
            try:
                yield
            except BaseException:
                stop.set()
                raise
        for work in works:
            work.result()

    def _live(self, actor: Sender | Receiver, stop: threading.Event) -> None:
        survive(lambda: actor.live(self.enter, stop))


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_twenty_kills_under_load_lose_double_and_reorder_nothing_that_was_acknowledged() -> None:
    with run_server(settings=SETTINGS) as server:
        actors = Actors(server)
        for life in range(LIVES):
            target = actors.answered + ANSWERS_A_LIFE + 7 * life
            with actors.acting(threading.Event()):
                eventually(lambda target=target: actors.answered >= target, "answers come", 30)  # type: ignore[misc]
                server.kill()
            server.start()
        stop = threading.Event()
        with actors.acting(stop):
            stop.set()
        assert sum(sender.duplicates for sender in actors.senders) > 0, "no kill came between a commit and its answer"
        assert sum(receiver.pushed for receiver in actors.receivers) > 0
        _check(actors)
        assert failures(server) == []


def _check(actors: Actors) -> None:
    for sender in actors.senders:
        assert not sender.unanswered
        sender.check_first_answers(actors.enter)
    for receiver in actors.receivers:
        with actors.enter(receiver.user, "checking") as link:
            senders = [sender for sender in actors.senders if sender.conversation == receiver.conversation]
            _check_log(receiver.log, senders)
            assert link.history(receiver.conversation, limit=1).head == len(receiver.log), "and nothing else is stored"
            _check_mark(link, receiver)


def _check_log(log: list[Message], senders: list[Sender]) -> None:
    assert [message.seq for message in log] == list(range(1, len(log) + 1))
    assert [message.sent_at for message in log] == sorted(message.sent_at for message in log)
    assert len(log) == sum(len(sender.answers) for sender in senders)
    for sender in senders:
        own = [message for message in log if message.client_id.startswith(f"{sender.device}-")]
        expected = [(sender.client_id(number), sender.text(number)) for number in range(len(sender.answers))]
        assert [(message.client_id, message.content.text) for message in own] == expected, "each once, in order"
        answers = [sender.answers[number] for number in range(len(own))]
        assert [Answer(message.seq, message.sent_at) for message in own] == answers


def _check_mark(link: Guest, receiver: Receiver) -> None:
    listed = {conversation.id: conversation for conversation in link.conversations().conversations}
    marks = {member.user: member.delivered for member in listed[receiver.conversation].members}
    assert marks[receiver.user] >= receiver.acked


# The same through the Python client -----------------------------------------------------------------------------------

CLIENT_LIVES: Final = 10
LOGIC_LIVES: Final = 5
SENDS_A_LIFE: Final = 60
BURST: Final = 5


class Application:
    """One client that sends numbered messages and writes down what it is shown."""

    def __init__(self, client: longlink.Client) -> None:
        self.client = client
        self.shown: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self.sent: dict[str, dict[int, str]] = defaultdict(dict)
        self.reconnected = 0

    async def listen(self) -> None:
        async for event in self.client:
            if isinstance(event, longlink.Message):
                assert event.text is not None
                self.shown[event.conversation].append((event.seq, event.text))
            self.reconnected += isinstance(event, longlink.Reconnected)

    async def talk(self, peer: str, stop: asyncio.Event) -> None:
        """Bursts, each of them answered before the next one."""
        chat = await self.client.direct(peer)
        number = 0
        while not stop.is_set():
            texts = [f"{self.client.device} {n}" for n in range(number, number + BURST)]
            number += BURST
            for text, sent in zip(texts, await asyncio.gather(*map(chat.send, texts)), strict=True):
                assert sent.seq not in self.sent[chat.id]
                self.sent[chat.id][sent.seq] = text

    @property
    def answered(self) -> int:
        return sum(map(len, self.sent.values()))


async def _until(holds: Callable[[], bool], what: str) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - nothing announces what is waited for
            await asyncio.sleep(0.01)
    assert holds(), what


async def _use(server: RunningServer, lives: int, end_a_life: Callable[[], object], *, reconnects: bool) -> None:
    async with AsyncExitStack() as stack:
        applications: dict[str, Application] = {}
        for user, device in (("alice", "alice"), ("bob", "bob"), ("bob", "bob-2"), ("carol", "carol")):
            client = longlink.connect(server.url, token=server.token(user), device=device, replay=True)
            applications[device] = Application(await stack.enter_async_context(client))
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            listening = [tasks.create_task(application.listen()) for application in applications.values()]
            talking = [
                tasks.create_task(applications[device].talk(peer, stop))
                for device, peer in (("alice", "bob"), ("bob", "alice"), ("alice", "carol"), ("carol", "alice"))
            ]
            everybody = applications.values()
            for _ in range(lives):
                target = sum(one.answered for one in everybody) + SENDS_A_LIFE
                await _until(lambda: all(one.client.connected for one in everybody), "everybody is back")
                await _until(lambda target=target: sum(one.answered for one in everybody) >= target, "answers come")  # type: ignore[misc]
                await asyncio.to_thread(end_a_life)
            stop.set()
            await asyncio.gather(*talking)
            await _until(lambda: all(_is_complete(one, applications) for one in everybody), "all is shown")
            for task in listening:
                task.cancel()
        for application in applications.values():
            _check_shown(application, applications)
            assert application.reconnected == (lives if reconnects else 0)


def _expected(application: Application, applications: dict[str, Application]) -> dict[str, list[tuple[int, str]]]:
    """By conversation of this user, everything that the others, his other devices included, have sent, by seq."""
    conversations = set(application.shown) | set(application.sent)
    return {
        conversation: sorted(
            message
            for other in applications.values()
            if other is not application
            for message in other.sent.get(conversation, {}).items()
        )
        for conversation in conversations
    }


def _is_complete(application: Application, applications: dict[str, Application]) -> bool:
    expected = _expected(application, applications)
    return bool(expected) and all(
        len(application.shown.get(name, [])) >= len(found) for name, found in expected.items()
    )


def _check_shown(application: Application, applications: dict[str, Application]) -> None:
    for conversation, expected in _expected(application, applications).items():
        assert application.shown[conversation] == expected, "each message exactly once, in order"
    for sent in application.sent.values():
        for prefix in {text.rpartition(" ")[0] for text in sent.values()}:
            numbers = [int(text.rpartition(" ")[2]) for _, text in sorted(sent.items()) if text.startswith(prefix)]
            assert numbers == list(range(len(numbers))), "stored in the order of the calls"


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_applications_see_each_message_once_and_in_order_through_kills(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A client waits longer and longer when its links do not hold; ten deaths in a row would become minutes of waiting.
    monkeypatch.setattr(supervisor, "STEADY_S", 0.0)
    with run_server(settings=SETTINGS) as server:

        def end_a_life() -> None:
            server.kill()
            server.start()

        asyncio.run(_use(server, CLIENT_LIVES, end_a_life, reconnects=True))
        assert failures(server) == []


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_applications_see_each_message_once_and_in_order_through_deaths_of_logic_and_are_never_disconnected() -> None:
    with run_server(settings=SETTINGS | WORKERS) as server:
        asyncio.run(_use(server, LOGIC_LIVES, lambda: server.kill_worker("logic"), reconnects=False))
        assert [entry["event"] for entry in failures(server)] == ["worker_ended"] * LOGIC_LIVES
