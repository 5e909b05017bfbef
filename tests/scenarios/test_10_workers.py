"""Chapter 10, workers: several gateways and one logic process, each of which may be killed at any moment.

Read next: bookkeeping.py, test_06_crash.py, where the whole server dies.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

from longlink import errors
from longlink.protocol.frames import Message, body_name
from longlink.testing import RunningServer, run_server
from longlink.testing.server import await_end

from .bookkeeping import Answer, Enter, Receiver, Sender
from .certificates import make_certificate, trusting
from .conftest import WORKERS
from .people import Couple, Door, Guest, ends_with, error_of, eventually, metric, ready, send_frame
from .raw import ANSWER_S, ClosedError, Kind, dial, upgrade_request

QUICK: Final = WORKERS | {"LONGLINK_SERVER_ANSWER_TIMEOUT_MS": "400"}
UNLIMITED: Final = WORKERS | {
    "LONGLINK_CONNECTION_MESSAGE_RATE": "0",
    "LONGLINK_CONNECTION_ACCEPT_RATE": "0",
    "LONGLINK_LIMITS_WORK_RATE": "0",
}
KILLS: Final = 6
ANSWERS_A_LIFE: Final = 150
BACK_S: Final = 10.0
RESTARTS: Final = 'longlink_worker_restarts_total{worker="gateway-1"}'
THE_END: Final = "the end"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """For tests that kill nobody."""
    with run_server(settings=WORKERS) as running:
        yield running


def worker_of(link: Guest) -> int:
    """The number of the gateway that holds a link, as its session says."""
    return int(link.session) >> 34 & 255


def enter_on(door: Door, worker: int, user: str, device: str = "phone", kind: Kind = Kind.WS_BINARY) -> Guest:
    """A link of this user to this gateway. The system chooses the gateway, so it is asked until it has."""
    while True:
        link = door.enter(user, device, kind)
        if worker_of(link) == worker:
            return link
        link.close()


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that does nothing, as one that is away and yet has not ended."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def restarted(server: RunningServer, name: str, before: int) -> bool:
    """Whether the process with this name is a new one, and attached."""
    attached = [entry for entry in server.log if entry.get("event") == "trunk_attached" and entry["worker"] == name]
    return server.workers[name] != before and len(attached) > 1


# Together -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", Kind, ids=str)
def test_users_on_two_gateways_exchange_the_six_packets(door: Door, kind: Kind) -> None:
    bob, alice = enter_on(door, 2, "bob", kind=kind), enter_on(door, 1, "alice")
    conversation = alice.direct(bob.user)
    for number in range(1, 4):
        sent = alice.say(conversation, f"line {number}")
        message = bob.message()
        assert (message.seq, message.content.text, message.sender) == (sent.seq, f"line {number}", alice.user)
        assert bob.ack(conversation, message.seq).seq == number
        delivered = alice.event().delivered
        assert (delivered.user, delivered.seq) == (bob.user, number)


def test_a_device_that_connects_again_on_another_gateway_ends_its_first_session(door: Door) -> None:
    first = enter_on(door, 1, "alice")
    second = enter_on(door, 2, "alice")
    frame = first.event()
    assert body_name(frame) == "closing"
    assert (frame.closing.code, frame.closing.message) == (errors.REPLACED.code, "device 'phone' connected again")
    ends_with(first, errors.REPLACED)
    assert second.pending() == []


def test_the_devices_of_a_user_are_bounded_over_all_gateways() -> None:
    with run_server(settings=WORKERS | {"LONGLINK_SESSIONS_PER_USER": "2"}) as server, Door(server) as door:
        oldest, newer = enter_on(door, 1, "alice", "a"), enter_on(door, 2, "alice", "b")
        newest = enter_on(door, 2, "alice", "c")
        assert "'a' was the oldest" in oldest.event().closing.message
        ends_with(oldest, errors.REPLACED)
        assert (newer.pending(), newest.pending()) == ([], [])


def test_the_numbers_are_those_of_all_processes_together(server: RunningServer, door: Door) -> None:
    before = {name: metric(server, name) for name in ("longlink_messages_total", "longlink_core_accepted_total")}
    links = [enter_on(door, worker, f"user-{worker}") for worker in (1, 2)]
    conversation = links[0].direct(links[1].user)
    links[0].say(conversation, "hello")
    # Text that is a quarter of a second old may still be shown.
    eventually(lambda: metric(server, "longlink_core_admitted") == 2, "both are counted")
    assert metric(server, "longlink_messages_total") == before["longlink_messages_total"] + 1
    assert metric(server, "longlink_core_accepted_total") >= before["longlink_core_accepted_total"] + 2
    by_worker = [metric(server, f'longlink_worker_connections{{worker="gateway-{number}"}}') for number in (1, 2)]
    assert by_worker[0] >= 1
    assert by_worker[1] >= 1
    assert metric(server, "longlink_core_connections") == sum(by_worker)
    for name in ("logic", "gateway-1", "gateway-2"):
        assert metric(server, f'longlink_worker_up{{worker="{name}"}}') == 1
        assert metric(server, f'longlink_worker_restarts_total{{worker="{name}"}}') == 0
    assert metric(server, "longlink_trunk_attached_total") == 2
    assert ready(server)[0] == 200


def test_a_tls_session_is_resumed_by_any_gateway(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    files = {"LONGLINK_LISTEN_TLS_CERTIFICATE": str(certificate), "LONGLINK_LISTEN_TLS_KEY": str(key)}
    context = trusting(certificate)
    with run_server(settings=WORKERS | files) as server, Door(server) as door:
        first = door.enter("alice", tls=context)
        assert isinstance(first.sock, ssl.SSLSocket)
        for number in range(16):
            again = dial(server.port, tls=context, session=first.sock.session)
            assert isinstance(again, ssl.SSLSocket)
            with again:
                again.sendall(upgrade_request("localhost", "longlink.v1"))
                assert again.recv(100).startswith(b"HTTP/1.1 101")
                assert again.session_reused, f"connection {number}"


# A gateway dies -------------------------------------------------------------------------------------------------------


def test_a_gateway_that_is_killed_costs_its_own_links_alone_and_is_replaced() -> None:
    with run_server(settings=UNLIMITED) as server, Door(server) as door:
        bob, alice = enter_on(door, 2, "bob"), enter_on(door, 2, "alice", kind=Kind.TCP_JSON)
        doomed = enter_on(door, 1, "carol")
        conversation, other = alice.direct(bob.user), alice.direct(doomed.user)
        accepted = metric(server, "longlink_core_accepted_total")
        before = server.kill_worker("gateway-1")
        with pytest.raises((ClosedError, ConnectionError)):
            doomed.event()
        assert alice.say(conversation, "still here").seq == 1
        assert bob.message().content.text == "still here"
        assert alice.say(other, "for later").seq == 1
        eventually(lambda: restarted(server, "gateway-1", before), "it is replaced", BACK_S)
        again = enter_on(door, 1, "carol")
        assert [message.content.text for message in again.history(other).messages] == ["for later"]
        assert alice.say(other, "and now").seq == 2
        assert again.message().content.text == "and now"
        assert (alice.pending(), bob.pending()) == ([], [])
        assert metric(server, "longlink_core_accepted_total") >= accepted, "what the dead one counted stays"
        eventually(lambda: metric(server, RESTARTS) == 1, "its start is counted")


# Logic dies -----------------------------------------------------------------------------------------------------------


def test_what_is_asked_while_logic_is_away_is_answered_when_it_is_back_and_nobody_is_dropped() -> None:
    with run_server(settings=WORKERS) as server, Door(server) as door:
        bob, alice = enter_on(door, 2, "bob"), enter_on(door, 1, "alice")
        conversation = alice.direct(bob.user)
        begun = metric(server, "process_start_time_seconds")
        before = server.kill_worker("logic")
        requests = [alice.post_text(conversation, f"{number}", f"{number}") for number in range(20)]
        with Door(server) as visitors:
            late = visitors.enter("dave")
            assert late.direct(bob.user)
        assert [alice.sent(request).seq for request in requests] == list(range(1, 21))
        assert server.workers["logic"] != before
        assert body_name(bob.event()) in ("missed", "message"), "which comes first is left open"
        eventually(lambda: "missed" in [*alice.pending(), body_name(alice.event())], "everybody is told to sync")
        Couple(door).talk()
        assert metric(server, "process_start_time_seconds") > begun, "counters begin anew, and this tells since when"


class Listener:
    """A receiver that does nothing by itself: it takes pushes, and reads the log when, and only when, it is told to."""

    def __init__(self, user: str, device: str, conversation: str) -> None:
        self.user, self.device, self.conversation = user, device, conversation
        self.log: list[Message] = []
        self.synced = 0

    def live(self, enter: Enter) -> None:
        """Until the message that says so. Its link must not end before."""
        with enter(self.user, self.device) as link:
            while not (self.log and self.log[-1].client_id == THE_END):
                frame = link.event()
                if body_name(frame) == "missed":
                    self.synced += 1
                    self._read(link)
                elif frame.message.conversation == self.conversation and frame.message.seq == len(self.log) + 1:
                    self.log.append(frame.message)

    def _read(self, link: Guest) -> None:
        more = True
        while more:
            page = link.history(self.conversation, after=len(self.log), limit=200)
            self.log += page.messages
            more = page.more


class Crowd:
    """Senders and receivers on both gateways, each with one link that must live through every death of logic."""

    def __init__(self, server: RunningServer, door: Door) -> None:
        self._server = server
        self._tokens = {user: server.token(user) for user in ("alice", "bob", "carol")}
        self._door = door
        for user in self._tokens:
            self.enter(user, "first").close()
        with self.enter("alice", "first") as link:
            self.conversation = link.direct("bob")
            second = link.direct("carol")
        self.senders = [
            Sender("alice", "alice-a", self.conversation),
            Sender("bob", "bob-a", self.conversation),
            Sender("alice", "alice-b", self.conversation),
            Sender("carol", "carol-a", second),
        ]
        self.receiver = Receiver("bob", "bob-watch", self.conversation)
        self.listener = Listener("alice", "alice-watch", self.conversation)

    def enter(self, user: str, device: str) -> Guest:
        link = Guest(self._server.port, list(Kind)[sum(device.encode()) % 4])
        link.connect(user, device, self._tokens[user])
        return link

    @property
    def answered(self) -> int:
        return sum(len(sender.answers) for sender in self.senders)

    def sent_to(self, conversation: str) -> int:
        return sum(len(sender.answers) for sender in self.senders if sender.conversation == conversation)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_logic_is_killed_again_and_again_under_load_and_nothing_is_lost_doubled_reordered_or_unseen() -> None:
    with run_server(settings=UNLIMITED) as server, Door(server) as door:
        crowd = Crowd(server, door)
        accepted = metric(server, "longlink_core_accepted_total")
        stop = threading.Event()
        with ThreadPoolExecutor(len(crowd.senders) + 2) as pool:
            works = [pool.submit(sender.live, crowd.enter, stop) for sender in crowd.senders]
            works.append(pool.submit(crowd.receiver.live, crowd.enter, stop))
            listening = pool.submit(crowd.listener.live, crowd.enter)
            try:
                for _ in range(KILLS):
                    target = crowd.answered + ANSWERS_A_LIFE
                    eventually(lambda target=target: crowd.answered >= target, "answers come", 30)  # type: ignore[misc]
                    server.kill_worker("logic")
            finally:
                stop.set()
            for work in works:
                work.result(60)
            with crowd.enter("bob", "last") as link:
                link.say(crowd.conversation, "that was all", THE_END)
            listening.result(60)
        _check(crowd)
        lost = [entry for entry in server.log if entry.get("event") == "worker_ended" and entry["worker"] != "logic"]
        assert lost == []
        assert accepted < 100


def _stored(crowd: Crowd) -> int:
    return crowd.sent_to(crowd.conversation)


def _check(crowd: Crowd) -> None:
    assert sum(sender.duplicates for sender in crowd.senders) > 0, "no kill came between a commit and its answer"
    assert crowd.listener.synced >= 1
    assert crowd.listener.log.pop().client_id == THE_END
    for log in (crowd.receiver.log, crowd.listener.log):
        assert [message.seq for message in log] == list(range(1, _stored(crowd) + 1))
        for sender in (sender for sender in crowd.senders if sender.conversation == crowd.conversation):
            own = [message for message in log if message.client_id.startswith(f"{sender.device}-")]
            assert [message.client_id for message in own] == [sender.client_id(n) for n in range(len(sender.answers))]
            answers = [sender.answers[number] for number in range(len(own))]
            assert [Answer(message.seq, message.sent_at) for message in own] == answers
    for sender in crowd.senders:
        assert not sender.unanswered
        sender.check_first_answers(crowd.enter)


def test_a_call_that_logic_does_not_answer_in_time_is_answered_for_it_and_may_be_sent_again() -> None:
    with run_server(settings=QUICK) as server, Door(server) as door:
        alice = door.enter("alice")
        conversation = alice.direct(alice.user)
        with stopped(server.workers["logic"]):
            error = error_of(alice.ask(send_frame(conversation, "hello", "1")), errors.LOGIC_UNAVAILABLE)
            assert "0.4 s" in error.message
            visitor = door.open()
            with pytest.raises(AssertionError, match="logic_unavailable"):
                visitor.connect(door.name("bob"), "phone", server.token(door.name("bob")))
            ends_with(visitor, errors.LOGIC_UNAVAILABLE)
        sent = alice.say(conversation, "hello", "1")
        assert (sent.seq, sent.duplicate) == (1, True), "the late one was stored, and its late answer dropped"
        assert [message.seq for message in alice.history(conversation).messages] == [1]
        eventually(lambda: metric(server, "longlink_trunk_late_replies_total") >= 1, "late answers are counted")
        assert metric(server, "longlink_trunk_expired_calls_total") >= 2
        assert metric(server, 'longlink_errors_total{name="logic_unavailable"}') >= 2


def test_more_calls_than_may_wait_for_logic_are_refused_at_once() -> None:
    settings = WORKERS | {"LONGLINK_SERVER_CALLS": "1", "LONGLINK_SERVER_ANSWER_TIMEOUT_MS": "60000"}
    with run_server(settings=settings) as server, Door(server) as door:
        alice = enter_on(door, 1, "alice")
        conversation = alice.direct(alice.user)
        with stopped(server.workers["logic"]):
            waiting = alice.post_text(conversation, "first", "1")
            # The gateway answers this by itself, so then it has the first one.
            error_of(alice.ask(send_frame(conversation, "wrong", "")), errors.FIELD_INVALID)
            error_of(alice.ask(send_frame(conversation, "second", "2")), errors.OVERLOADED)
        assert alice.sent(waiting).seq == 1


def test_a_scrape_without_all_numbers_has_none_and_a_server_without_logic_is_not_ready() -> None:
    with run_server(settings=WORKERS) as server, Door(server) as door:
        Couple(door).talk()
        with stopped(server.workers["gateway-2"]):
            status, text = _first_answer(server, "/metrics")
            assert (status, "gateway-2 has not sent its numbers" in text) == (503, True)
        eventually(lambda: metric(server, 'longlink_worker_up{worker="gateway-2"}') == 1, "numbers are back")
        with stopped(server.workers["logic"]):
            status, text = ready(server)
            assert (status, "logic has not answered" in text) == (503, True)
        eventually(lambda: ready(server)[0] == 200, "ready again")


def _first_answer(server: RunningServer, path: str) -> tuple[int, str]:
    """Of many that ask at once, because a gateway that is stopped shares the port and answers nobody."""
    with ExitStack() as stack:
        asking = [stack.enter_context(dial(int(server.operations.rpartition(":")[2]))) for _ in range(16)]
        for sock in asking:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        (first, *_), _, _ = select.select(asking, [], [], ANSWER_S)
        answer = b"".join(iter(lambda: first.recv(65_536), b"")).decode()
    return int(answer.split()[1]), answer


# The supervisor -------------------------------------------------------------------------------------------------------


def test_without_a_supervisor_everything_ends_in_order_and_leaves_the_port_and_the_folder_free() -> None:
    with run_server(settings=WORKERS | {"LONGLINK_DRAIN_DURATION_MS": "300"}) as server, Door(server) as door:
        alice = door.enter("alice")
        conversation = alice.direct(alice.user)
        alice.say(conversation, "before")
        os.kill(server.pid, signal.SIGKILL)
        assert body_name(alice.event()) == "closing"
        ends_with(alice, errors.DRAINING)
        for pid in server.workers.values():
            await_end(pid)
        server.kill()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port), 5)
        server.start()
        assert [message.content.text for message in door.enter("alice").history(conversation).messages] == ["before"]


def test_a_gateway_that_still_waits_for_logic_ends_with_the_supervisor_too() -> None:
    with run_server(settings=WORKERS) as server:
        logic = server.workers["logic"]
        os.kill(logic, signal.SIGSTOP)
        before = server.kill_worker("gateway-1")
        eventually(lambda: server.workers["gateway-1"] != before, "it is started again")
        for pid in (server.pid, logic):
            os.kill(pid, signal.SIGKILL)
        for name in ("gateway-1", "gateway-2"):
            await_end(server.workers[name])


def test_a_second_server_on_the_same_ports_or_folder_is_told_that_they_are_taken(server: RunningServer) -> None:
    ports = {"LONGLINK_LISTEN_ADDRESS": f"127.0.0.1:{server.port}"}
    with pytest.raises(RuntimeError, match="port_taken"), run_server(settings=WORKERS | ports):
        pass
    with pytest.raises(RuntimeError, match=f"data_locked: .* {server.pid}"), run_server(server.data, WORKERS):
        pass
    with pytest.raises(RuntimeError, match="port_taken"), run_server(settings=ports):
        pass


def test_the_supervisor_writes_where_the_server_is_and_every_line_says_who_wrote_it(server: RunningServer) -> None:
    note = (server.data / "server.json").read_text()
    assert f'"pid": {server.pid}' in note
    assert server.url in note
    assert {entry.get("worker") for entry in server.log if entry.get("logger") == "trunk"} == {
        "logic",
        "gateway-1",
        "gateway-2",
    }
    assert list(server.workers) == ["logic", "gateway-1", "gateway-2"]


def test_a_gateway_holds_neither_the_lock_of_the_folder_nor_a_file_of_the_store(server: RunningServer) -> None:
    def files(pid: int) -> set[str]:
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        return {Path(link).name for link in links if link.startswith(f"{server.data}/")}

    assert {"lock", "longlink.db"} <= files(server.workers["logic"])
    assert "lock" in files(server.pid)
    assert files(server.workers["gateway-1"]) == set()
