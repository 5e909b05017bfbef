"""What open_store accepts and refuses: locks, folders, foreign files, migrations. Read next: test_sqlite_crash.py."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import apsw
import pytest

from longlink import errors
from longlink.config import Storage
from longlink.errors import LonglinkError, Row
from longlink.storage.base import Append, Member
from longlink.storage.sqlite import engine, migrations, open_store
from longlink.storage.sqlite.folder import check_folder
from longlink.storage.sqlite.migrations import Migration

from .scene import NOON_MS, stored, texts


def _opened(folder: Path) -> None:
    async def whole() -> None:
        await (await open_store(folder, Storage())).close()

    asyncio.run(whole())


def _refused(folder: Path, row: Row, *words: str) -> None:
    with pytest.raises(LonglinkError) as caught:
        _opened(folder)
    assert caught.value.row is row
    for word in words:
        assert word in caught.value.message


def test_the_folder_is_made_and_only_its_owner_can_enter(tmp_path: Path) -> None:
    _opened(tmp_path / "data")
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert sorted(os.listdir(tmp_path / "data")) == ["lock", "longlink.db"]


def test_the_messages_are_for_the_owner_alone_in_a_folder_that_others_may_enter(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    def modes() -> dict[str, int]:
        return {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}

    async def opened() -> dict[str, int]:
        store = await open_store(tmp_path, Storage())
        try:
            await store.users.remember(["alice"])
            return modes()
        finally:
            await store.close()

    found = asyncio.run(opened())
    assert {"longlink.db", "longlink.db-wal", "longlink.db-shm"} <= found.keys()
    assert set(found.values()) == {0o600}


def test_a_folder_whose_parent_is_missing_is_not_made(tmp_path: Path) -> None:
    _refused(tmp_path / "mistyped" / "data", errors.DATA_UNUSABLE, str(tmp_path / "mistyped" / "data"), "No such file")
    assert not (tmp_path / "mistyped").exists()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    _refused(tmp_path / "data", errors.DATA_UNUSABLE, str(tmp_path / "data"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    _refused(tmp_path / "data", errors.DATA_UNUSABLE, str(tmp_path / "data"), "Permission denied")


def test_a_second_server_is_told_the_pid_of_the_first(tmp_path: Path) -> None:
    async def whole() -> None:
        first = await open_store(tmp_path, Storage())
        with pytest.raises(LonglinkError, match=f"process {os.getpid()}$") as caught:
            await open_store(tmp_path, Storage())
        assert caught.value.row is errors.DATA_LOCKED
        await first.close()
        await (await open_store(tmp_path, Storage())).close()

    asyncio.run(whole())


def test_a_killed_server_leaves_no_lock_behind(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys, pathlib\n"
        "from longlink.config import Storage\n"
        "from longlink.storage.sqlite import open_store\n"
        "async def whole():\n"
        "    await open_store(pathlib.Path(sys.argv[1]), Storage())\n"
        "    print('open', flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(whole())\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"open\n"
        _refused(tmp_path, errors.DATA_LOCKED, str(child.pid))
        child.send_signal(signal.SIGKILL)
    _opened(tmp_path)


def test_a_sqlite_that_can_corrupt_a_database_is_refused() -> None:
    with pytest.raises(LonglinkError, match=r"built with 3\.51\.2") as caught:
        engine.require_sound_sqlite("3.51.2")
    assert caught.value.row is errors.DATA_UNUSABLE
    for version in ("3.51.3", "3.54.0", "4.0.0"):
        engine.require_sound_sqlite(version)


@pytest.mark.parametrize("content", [b"this is no database, only text that is long enough" * 100, b"\x00" * 8192])
def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / engine.DATABASE).write_bytes(content)
    _refused(tmp_path, errors.DATA_UNUSABLE, str(tmp_path / engine.DATABASE))
    assert (tmp_path / engine.DATABASE).read_bytes() == content


@pytest.mark.parametrize("sql", ["PRAGMA application_id = 7; CREATE TABLE t (a)", "CREATE TABLE t (a)"])
def test_the_database_of_another_program_is_refused(tmp_path: Path, sql: str) -> None:
    with apsw.Connection(str(tmp_path / engine.DATABASE)) as foreign:
        foreign.execute(sql)
    foreign.close()
    _refused(tmp_path, errors.DATA_UNUSABLE, "another program")


def test_a_newer_database_is_refused_with_both_versions(tmp_path: Path) -> None:
    _opened(tmp_path)
    with apsw.Connection(str(tmp_path / engine.DATABASE)) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    newest = migrations.shipped()[-1].version
    _refused(tmp_path, errors.DATA_NEWER, "version 99", f"up to {newest}")


# Migrations ----------------------------------------------------------------------------------------------------

ONE = Migration(1, "0001_one.sql", "CREATE TABLE one (a INTEGER) STRICT; INSERT INTO one VALUES (1);")
TWO = Migration(2, "0002_two.sql", "CREATE TABLE two (a INTEGER) STRICT; INSERT INTO two SELECT a + 1 FROM one;")


def _migrated(file: Path, steps: Sequence[Migration], sql: str) -> list[tuple[object, ...]]:
    connection = apsw.Connection(str(file))
    try:
        migrations.migrate(connection, file, steps)
        return list(connection.execute(sql).fetchall())
    finally:
        connection.close()


def test_migrations_are_applied_in_order_and_only_once(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    assert _migrated(file, [ONE], "SELECT a FROM one") == [(1,)]
    for _ in range(2):
        assert _migrated(file, [ONE, TWO], "SELECT a FROM two") == [(2,)]
        assert _migrated(file, [ONE, TWO], "PRAGMA user_version") == [(2,)]
        assert _migrated(file, [ONE, TWO], "PRAGMA application_id") == [(migrations.APPLICATION_ID,)]


def test_a_migration_that_fails_leaves_nothing_of_itself(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    broken = Migration(2, "0002_broken.sql", "CREATE TABLE two (a); INSERT INTO one VALUES ('text');")
    _migrated(file, [ONE], "SELECT 1")
    with pytest.raises(apsw.ConstraintError):
        _migrated(file, [ONE, broken], "SELECT 1")
    assert _migrated(file, [ONE], "SELECT name FROM sqlite_schema WHERE name = 'two'") == []
    assert _migrated(file, [ONE, TWO], "SELECT a FROM two") == [(2,)]


def test_an_applied_migration_whose_text_has_changed_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    _migrated(file, [ONE], "SELECT 1")
    with pytest.raises(LonglinkError, match=r"another text of 0001_one\.sql") as caught:
        _migrated(file, [Migration(1, ONE.name, ONE.sql + " "), TWO], "SELECT 1")
    assert caught.value.row is errors.DATA_UNUSABLE


def test_a_folder_of_the_first_schema_keeps_all_and_what_was_received_counts_as_read(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / engine.DATABASE))
    migrations.migrate(connection, tmp_path / engine.DATABASE, migrations.shipped()[:1])
    connection.execute(
        "INSERT INTO users VALUES (1, 'alice'), (2, 'bob');"
        "INSERT INTO conversations VALUES (1, 'd_aaaaaaaaaaaaaaaaaaaa', 1, 3, 1790000000000123);"
        "INSERT INTO directs VALUES (1, 2, 1);"
        "INSERT INTO members VALUES (1, 1, 3), (1, 2, 2);"
        "INSERT INTO messages VALUES (1, 1, 1, 'a', 1790000000000, x'0a0131'),"
        " (1, 2, 2, 'a', 1790000000000, x'0a0132'), (1, 3, 1, 'b', 1790000000000, x'0a0133')"
    )
    connection.close()

    async def story() -> None:
        store = await open_store(tmp_path, Storage(), now_ms=lambda: NOON_MS)
        chat = (await store.conversations.open_direct("bob", "alice")).conversation
        assert chat.members == (Member("alice", 3, 3), Member("bob", 2, 2))
        assert (chat.id, chat.unread, chat.mentions) == ("d_aaaaaaaaaaaaaaaaaaaa", 1, 0)
        assert await texts(store, chat.id) == [b"\n\x011", b"\n\x012", b"\n\x013"]
        mention = Append(chat.id, "alice", "c", b"", ("bob",))
        again, new = stored(await store.messages.append([Append(chat.id, "alice", "b", b"\n\x013"), mention]))
        assert [(again.seq, again.duplicate), (new.seq, new.duplicate)] == [(3, True), (4, False)]
        synced = await store.conversations.sync(
            "bob", since=1_789_999_999_999, cursor="", limit=5, messages=5, page_bytes=10_000
        )
        (change,) = synced.changes
        assert [entry.seq for entry in change.entries] == [1, 2, 3, 4]
        assert [entry.sent_at for entry in change.entries] == [1_790_000_000_000] * 3 + [NOON_MS]
        assert change.entries[3].stamp > 1_790_000_000_000_123, "stamps go on where the earlier version ended"
        assert (change.conversation.unread, change.conversation.mentions) == (2, 1)
        await store.close()

    for _ in range(2):
        _opened(tmp_path)
    asyncio.run(story())


def test_a_folder_that_a_wrong_clock_has_dated_ahead_shows_right_times_from_now_on(tmp_path: Path) -> None:
    far_ms = 4_000_000_000_000
    connection = apsw.Connection(str(tmp_path / engine.DATABASE))
    migrations.migrate(connection, tmp_path / engine.DATABASE, migrations.shipped()[:2])
    connection.execute(
        "INSERT INTO users VALUES (1, 'alice'), (2, 'bob');"
        f"INSERT INTO conversations VALUES (1, 'd_aaaaaaaaaaaaaaaaaaaa', 1, 1, {far_ms * 1000});"
        "INSERT INTO directs VALUES (1, 2, 1);"
        "INSERT INTO members VALUES (1, 1, 1, 1), (1, 2, 0, 0);"
        f"INSERT INTO messages VALUES (1, 1, 1, 'a', {far_ms}, x'0a0131');"
    )
    connection.close()

    async def story() -> None:
        store = await open_store(tmp_path, Storage(), now_ms=lambda: NOON_MS)
        chat = (await store.conversations.open_direct("bob", "alice")).conversation
        assert chat.changed_at < far_ms
        (said,) = stored(await store.messages.append([Append(chat.id, "alice", "b", b"")]))
        assert said.sent_at == NOON_MS
        found = await store.conversations.changed("bob", since=far_ms * 1000, cursor="", limit=5)
        assert [(one.head, one.changed_at) for one in found.conversations] == [(2, NOON_MS)]
        again = await store.conversations.changed("bob", since=found.synced_at, cursor="", limit=5)
        assert again.conversations == ()
        await store.close()

    asyncio.run(story())


def test_the_shipped_migrations_are_numbered_without_gaps() -> None:
    assert [step.version for step in migrations.shipped()] == list(range(1, len(migrations.shipped()) + 1))


# Who else can put files into the folder ------------------------------------------------------------------------------


def test_a_folder_of_somebody_else_is_refused_with_what_to_do(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving a folder away needs root")
    os.chown(tmp_path, 65_534, 65_534)
    _refused(tmp_path, errors.DATA_UNUSABLE, "belongs to user 65534", f"chown -R 0 {tmp_path}")


@pytest.mark.parametrize("mode", [0o777, 0o702, 0o1777])
def test_a_folder_of_ours_that_everybody_may_write_to_is_repaired(
    tmp_path: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.chmod(mode)
    _opened(tmp_path)
    assert tmp_path.stat().st_mode & 0o7777 == mode & ~0o002
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == ["data_folder_repaired"]


def test_a_folder_of_root_that_everybody_may_write_to_is_used_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if os.geteuid() != 0:
        pytest.skip("a folder of root needs root")
    tmp_path.chmod(0o777)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    check_folder(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o777
    assert [record.message for record in caplog.records] == ["data_folder_open"]


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o2770, 0o775])
def test_a_folder_that_its_group_may_use_is_fine(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    _opened(tmp_path)


def test_a_lock_that_is_a_link_is_refused_and_its_target_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    _refused(tmp_path, errors.DATA_UNUSABLE, "lock in it is a symbolic link")
    assert (tmp_path / "victim").read_text() == "precious"


def test_files_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        _opened(tmp_path / "data")
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "data").iterdir()} == {0o600}
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
