"""What a client keeps on disk, and whom it keeps out."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from longlink import errors
from longlink.client.store import VERSION, Store, open_store
from longlink.client.track import Track
from longlink.errors import LonglinkError
from longlink.protocol.frames import Content, Message, Send


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "alice.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = opened_at(path)
    yield opened
    opened.close()


def opened_at(path: Path, *, device: str = "", kept: int = 100) -> Store:
    return open_store(path, device=device, kept=kept)


def refusal(path: Path, *, device: str = "") -> LonglinkError:
    with pytest.raises(LonglinkError) as caught:
        opened_at(path, device=device)
    assert str(path) in caught.value.message
    return caught.value


def send(text: str) -> Send:
    return Send(conversation="c", client_id=text, content=Content(text=text))


def entry(seq: int, conversation: str = "c") -> Message:
    return Message(conversation=conversation, seq=seq, sender="bob", content=Content(text=str(seq)))


# Whom it belongs to ---------------------------------------------------------------------------------------------------


def test_a_new_store_chooses_a_device_and_keeps_it(store: Store, path: Path) -> None:
    device, prefix = store.fact("device"), store.fact("prefix")
    assert device
    store.close()
    again = opened_at(path)
    assert (again.fact("device"), again.fact("prefix")) == (device, prefix)
    again.close()


def test_a_store_of_another_device_is_refused(path: Path) -> None:
    opened_at(path, device="phone").close()
    assert refusal(path, device="laptop").row is errors.CONFIG_INVALID
    opened_at(path, device="phone").close()


def test_two_clients_of_one_process_do_not_share_a_store(store: Store) -> None:
    assert refusal(store.path).row is errors.DATA_LOCKED


def test_two_processes_do_not_share_a_store(path: Path) -> None:
    code = (
        "import sys, pathlib, longlink.client.store as s; "
        "store = s.open_store(pathlib.Path(sys.argv[1]), device='', kept=1); print('open', flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        assert refusal(path).row is errors.DATA_LOCKED
        other.kill()
        other.wait()
    opened_at(path).close()


def test_a_store_of_a_newer_client_is_refused_and_left_as_it_is(store: Store) -> None:
    store.close()
    with sqlite3.connect(store.path) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()
    assert refusal(store.path).row is errors.DATA_NEWER
    assert sqlite3.connect(store.path).execute("PRAGMA user_version").fetchone() == (VERSION + 1,)


def test_what_is_no_store_is_refused(path: Path) -> None:
    path.write_bytes(b"a letter to my aunt, and no database at all" * 100)
    assert refusal(path).row is errors.DATA_UNUSABLE
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE recipes (name)")
    database.close()
    assert refusal(path).row is errors.DATA_UNUSABLE


def test_a_store_of_version_1_is_brought_up_to_date_and_keeps_what_it_knew(path: Path) -> None:
    store = opened_at(path)
    store.place([("c", Track(3, 5, read=1))])
    store.close()
    with sqlite3.connect(path) as database:
        database.execute("ALTER TABLE places DROP COLUMN own")
        database.execute("PRAGMA user_version = 1")
    database.close()
    store = opened_at(path)
    found = store.places()["c"]
    assert (found.position, found.unread, found.own_above) == (3, 4, 0)
    found.wrote(4)
    store.place([("c", found)])
    store.close()
    store = opened_at(path)
    assert store.places()["c"].unread == 3
    store.close()


def test_a_damaged_store_is_refused(path: Path) -> None:
    whole = opened_at(path, kept=10_000)
    whole.keep(entry(seq) for seq in range(1, 5000))
    whole.close()
    data = bytearray(path.read_bytes())
    data[8192:12288] = b"\xa5" * 4096
    path.write_bytes(data)
    assert refusal(path).row is errors.DATA_UNUSABLE


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nowhere" / "alice.db").row is errors.DATA_UNUSABLE


def test_every_process_gets_a_number_of_its_own(store: Store, path: Path) -> None:
    first = store.run()
    store.close()
    again = opened_at(path)
    assert again.run() == first + 1
    again.close()


def test_nobody_else_may_read_a_store(store: Store) -> None:
    store.keep([entry(1)])
    files = list(store.path.parent.iterdir())
    assert len(files) > 1
    assert [path for path in files if path.stat().st_mode & 0o077] == []


# What it keeps --------------------------------------------------------------------------------------------------------


def test_messages_wait_in_the_order_of_sending_until_they_are_settled(store: Store) -> None:
    numbers = [store.add(send(text)) for text in "abc"]
    store.settle(numbers[1], entry(1))
    assert [each.send.content.text for each in store.queued()] == ["a", "c"]
    store.settle(numbers[2])
    assert [each.number for each in store.queued()] == numbers[:1]
    assert [each.seq for each in store.history("c", 0)] == [1]


def test_a_number_is_never_given_twice(store: Store) -> None:
    first = store.add(send("a"))
    store.settle(first)
    assert store.add(send("b")) > first


def test_places_and_what_holds_with_them_come_back(store: Store, path: Path) -> None:
    track = Track(position=4, head=9, taken=4, acked=3, read=2, read_acked=1, mentions_counted=2, changed=5)
    track.delivered, track.reads = {"bob": 7}, {"bob": 6}
    store.place([("c", track)], synced_at=99)
    store.close()
    again = opened_at(path)
    assert again.number("synced_at") == 99
    (found,) = again.places().values()
    assert (found.position, found.head, found.acked, found.read, found.read_acked) == (4, 9, 3, 2, 1)
    assert (found.unread, found.mentions, found.delivered, found.reads) == (7, 2, {"bob": 7}, {"bob": 6})
    again.close()


def test_what_was_not_handled_is_not_behind_the_place(store: Store) -> None:
    store.place([("c", Track(position=9, head=9, taken=4, queued=5))])
    assert store.places()["c"].position == 4


def test_of_each_conversation_the_newest_messages_are_kept(path: Path) -> None:
    store = opened_at(path, kept=3)
    for seq in range(1, 8):
        store.keep([entry(seq), entry(seq, "d")])
    store.keep([entry(2)])
    assert [each.seq for each in store.history("c", 0)] == [5, 6, 7]
    assert [each.seq for each in store.history("d", 5)] == [6, 7]
    assert [each.seq for each in store.last("c", 7, 5)] == [5, 6]
    assert [each.seq for each in store.last("c", 99, 2)] == [6, 7]
    store.close()


def test_a_message_that_comes_twice_is_kept_once(store: Store) -> None:
    store.keep([entry(1), entry(1)])
    store.keep([entry(1)])
    assert [each.seq for each in store.history("c", 0)] == [1]


def test_a_full_disk_is_an_error_and_nothing_is_half_written(store: Store) -> None:
    store.keep([entry(1)])
    (pages,) = store._database.execute("PRAGMA page_count").fetchone()
    store._database.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(LonglinkError) as caught:
        store.keep(entry(seq) for seq in range(2, 20_000))
    assert caught.value.row is errors.DATA_UNUSABLE
    store._database.execute("PRAGMA max_page_count = 1000000")
    assert [each.seq for each in store.history("c", 0)] == [1]
    store.keep([entry(2)])
