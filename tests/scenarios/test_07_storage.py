"""Chapter 7, storage: a folder that is taken, a disk that is full or read-only, newer data, a clock that goes back.

Read next: test_08_operations.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from longlink import errors
from longlink.access.tokens import Signer
from longlink.app import Server
from longlink.config import Config, Data, Listen
from longlink.protocol.frames import body_name
from longlink.testing import RunningServer, run_server

from .people import (
    Couple,
    Door,
    Guest,
    check_stored,
    connect_frame,
    error_of,
    eventually,
    failures,
    ready,
    refuses,
    send_frame,
)
from .programs import one_clear_line, serve
from .raw import ANSWER_S, Kind

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk")


# One server at a time -------------------------------------------------------------------------------------------------


def test_a_second_server_on_the_same_data_says_so_in_one_line_and_disturbs_nothing(
    server: RunningServer, door: Door
) -> None:
    others = Couple(door)
    others.talk()
    ended = serve(server.data)
    assert ended.returncode == 1
    assert str(server.pid) in one_clear_line(ended, errors.DATA_LOCKED)
    others.talk()


def test_a_killed_server_leaves_no_lock_behind(tmp_path: Path) -> None:
    with run_server(tmp_path / "data") as server:
        server.kill()
        server.start()
        with Door(server) as door:
            Couple(door).talk()


def test_data_of_a_newer_version_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with run_server(data) as server:
        assert server.stop() == 0
    with contextlib.closing(sqlite3.connect(data / "longlink.db")) as database:
        database.execute("PRAGMA user_version = 9999")
    before = (data / "longlink.db").read_bytes()
    ended = serve(data)
    assert ended.returncode == 1
    assert "9999" in one_clear_line(ended, errors.DATA_NEWER)
    assert (data / "longlink.db").read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "longlink.db").write_bytes(b"these are my holiday notes\n" * 500)
    ended = serve(data)
    assert ended.returncode == 1
    one_clear_line(ended, errors.DATA_UNUSABLE)
    assert (data / "longlink.db").read_bytes() == b"these are my holiday notes\n" * 500


# A disk that cannot be written ----------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "longlink-test", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill(folder: Path) -> Path:
    """Take all the room that is left."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(65_536)):
            continue
    with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x"):
            continue
    return ballast


def _send_until_refused(alice: Guest, conversation: str, stored: list[str]) -> str:
    """Notes what was stored; returns the client_id of the first message that was not."""
    for n in range(len(stored), 2_000):
        answer = alice.ask(send_frame(conversation, "x" * 4_000, f"{n}"))
        if body_name(answer) == "error":
            error_of(answer, errors.STORAGE_UNAVAILABLE)
            return f"{n}"
        stored.append(f"{n}")
    raise AssertionError("the disk never filled up")


@needs_root
def test_a_full_disk_refuses_what_it_cannot_store_and_forgets_nothing(disk: Path) -> None:
    with run_server(disk / "data") as server, Door(server) as door:
        alice, bob = door.enter("alice"), door.enter("bob", kind=Kind.TCP_JSON)
        conversation = alice.direct(bob.user)
        alice.say(conversation, "x" * 4_000, "0")
        stored = ["0"]
        eventually(lambda: ready(server)[0] == 200, "ready")
        ballast = _fill(disk)
        refused = _send_until_refused(alice, conversation, stored)
        eventually(lambda: ready(server)[0] == 503, "not ready while the disk takes nothing")
        _, why = ready(server)
        assert "storage_unavailable" in why
        for _ in range(3):
            error_of(alice.ask(send_frame(conversation, "x" * 4_000, refused)), errors.STORAGE_UNAVAILABLE)
        assert bob.pending() == ["message"] * len(stored), "nobody hears of what was not stored"
        ballast.unlink()
        eventually(lambda: ready(server)[0] == 200, "ready again once there is room")
        sent = alice.say(conversation, "x" * 4_000, refused)
        assert (sent.seq, sent.duplicate) == (len(stored) + 1, False)
        expected = [*stored, refused]
        check_stored(bob, conversation, expected)
        server.kill()
        server.start()
        check_stored(door.enter("bob"), conversation, expected)
        assert {entry["event"] for entry in failures(server)} == {"storage_failed"}


@needs_root
def test_a_start_on_a_read_only_disk_says_so_in_one_line(disk: Path) -> None:
    with run_server(disk / "data") as server:
        assert server.stop() == 0
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    ended = serve(disk / "data")
    assert ended.returncode == 1
    one_clear_line(ended, errors.DATA_UNUSABLE)


@needs_root
def test_a_start_on_a_full_disk_says_so_in_one_line(disk: Path) -> None:
    _fill(disk)
    ended = serve(disk / "data")
    assert ended.returncode == 1
    one_clear_line(ended, errors.DATA_UNUSABLE)


def test_files_that_may_not_grow_refuse_what_does_not_fit_and_forget_nothing(tmp_path: Path) -> None:
    """What a full disk is, for whoever cannot mount one: the size of the process's files is limited (EFBIG)."""
    with run_server(tmp_path / "data") as server, Door(server) as door:
        alice, bob = door.enter("alice"), door.enter("bob")
        conversation = alice.direct(bob.user)
        stored: list[str] = []
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
        refused = _send_until_refused(alice, conversation, stored)
        error_of(alice.ask(send_frame(conversation, "x" * 4_000, refused)), errors.STORAGE_UNAVAILABLE)
        eventually(lambda: ready(server)[0] == 503, "not ready while files may not grow")
        assert bob.pending() == ["message"] * len(stored)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert alice.say(conversation, "x" * 4_000, refused).seq == len(stored) + 1
        eventually(lambda: ready(server)[0] == 200, "ready")
        server.kill()
        server.start()
        check_stored(door.enter("bob"), conversation, [*stored, refused])
        assert {entry["event"] for entry in failures(server)} == {"storage_failed"}


# The clock ------------------------------------------------------------------------------------------------------------


class Clock:
    """Wall-clock ms that a test moves."""

    def __init__(self) -> None:
        self.offset_ms = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.offset_ms


class HereServer:
    """A server in a thread of this process, by a clock of the test's own."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        listen = Listen(address="127.0.0.1:0", http="127.0.0.1:0", operations="127.0.0.1:0")
        config = Config(listen=listen, data=Data(dir=str(folder)))
        self._server = Server(config, now_ms=clock)
        self._folder = folder
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._asked = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()))

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def pid(self) -> int:
        return os.getpid()

    @property
    def http(self) -> str:
        return self._server.http_url

    @property
    def operations(self) -> str:
        return self._server.operations_url

    def token(self, user: str, days: float = 1.0) -> str:
        return Signer.from_data(self._folder).sign(user, days=days)

    def __enter__(self) -> HereServer:
        self._thread.start()
        assert self._ready.wait(ANSWER_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._asked.set)
        self._thread.join(ANSWER_S)
        self._loop.close()

    async def _run(self) -> None:
        await self._server.start()
        self._ready.set()
        await self._asked.wait()
        await self._server.stop()


HOUR_MS: Final = 3_600_000


def test_a_clock_that_is_set_back_is_followed_and_the_order_stays(tmp_path: Path) -> None:
    clock = Clock()
    times: list[int] = []
    with HereServer(tmp_path, clock) as server, Door(server) as door:
        alice = door.enter("alice")
        conversation = alice.direct(alice.user)
        times += [alice.say(conversation, "before").sent_at for _ in range(5)]
        synced = alice.conversations().synced_at
        clock.offset_ms = -HOUR_MS
        times += [alice.say(conversation, "after").sent_at for _ in range(5)]
        changed = alice.conversations(since=synced).conversations
        assert [(found.id, found.head) for found in changed] == [(conversation, 10)], "the sync still sees the change"
        user, token = alice.user, server.token(alice.user)
    clock.offset_ms = 0
    with HereServer(tmp_path, clock) as server, Door(server) as door:
        link = door.open()
        link.connect(user, "phone", token)
        clock.offset_ms = -2 * HOUR_MS
        times += [link.say(conversation, "again").sent_at for _ in range(5)]
        page = link.history(conversation)
        assert [message.sent_at for message in page.messages] == times
        assert [message.seq for message in page.messages] == list(range(1, 16))
    hours = [round((time - times[0]) / HOUR_MS) for time in times]
    assert hours == [0] * 5 + [-1] * 5 + [-2] * 5, "what is shown is what the clock said"


def test_a_session_is_not_ended_by_a_clock_that_jumps_but_tokens_are_judged_by_it(tmp_path: Path) -> None:
    clock = Clock()
    with HereServer(tmp_path, clock) as server, Door(server) as door:
        alice = door.enter("alice")
        short = server.token(alice.user, days=1 / 24)
        clock.offset_ms = 2 * HOUR_MS
        late = door.open()
        refuses(late, late.post(connect_frame(short, "tablet")), errors.TOKEN_EXPIRED)
        assert alice.pending() == []
        clock.offset_ms = -2_000
        early = door.open()
        early.connect(alice.user, "tablet", short)
        assert (alice.pending(), early.pending()) == ([], [])
