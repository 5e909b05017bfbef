"""Chapter 20: the database of a running server is deleted or replaced, and a server that finds none.

Nothing is acknowledged that the next start would not find, and the log says why. Read next: test_21_backup.py.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from longlink import errors
from longlink.testing import run_server

from .people import Door, error_of, eventually, ready, send_frame


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_database_that_is_deleted_takes_no_message_and_the_next_start_makes_no_new_one(
    tmp_path: Path, workers: str
) -> None:
    data = tmp_path / "data"
    with run_server(data, {"LONGLINK_SERVER_WORKERS": workers}) as server, Door(server) as door:
        alice = door.enter("alice")
        conversation = alice.direct(alice.user)
        alice.say(conversation, "before")
        (data / "longlink.db").rename(tmp_path / "away.db")
        for number in range(3):
            error_of(alice.ask(send_frame(conversation, "after", f"{number}")), errors.STORAGE_UNAVAILABLE)
        status, why = ready(server)
        assert status == 503
        assert "database is lost" in why
        (line,) = [entry for entry in server.log if entry["event"] == "storage_failed"]
        assert (line["level"], line["until"]) == ("error", "restart")
        assert str(data / "longlink.db") in line["reason"]
        server.stop()
        with pytest.raises(RuntimeError, match="missing or empty"):
            server.start()
        # The file comes back, and with it all that was acknowledged.
        (tmp_path / "away.db").rename(data / "longlink.db")
        server.start()
        eventually(lambda: ready(server)[0] == 200, "ready with the right database")
        again = door.open()
        again.connect(alice.user, "phone", server.token(alice.user))
        assert again.history(conversation).messages[0].content.text == "before"


def test_a_new_database_is_made_only_when_somebody_asks_for_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with run_server(data) as server:
        server.stop()
        before = (data / "signing-key.json").read_text()
        (data / "longlink.db").unlink()
    serve = [sys.executable, "-m", "longlink", "serve", "--data", str(data), "--new-database"]
    addresses = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--operations", "127.0.0.1:0"]
    with subprocess.Popen([*serve, *addresses], stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        said = next((line for line in child.stderr if '"ready"' in line), "")
        child.terminate()
        assert child.wait(20) == 0, said
    assert (data / "signing-key.json").read_text() == before, "tokens stay good"
    again = subprocess.run([*serve, *addresses], capture_output=True, text=True, timeout=20, check=False)
    assert (again.returncode, "start without --new-database" in again.stderr) == (1, True)


def test_the_note_of_a_server_does_not_follow_a_link(tmp_path: Path) -> None:
    data, victim = tmp_path / "data", tmp_path / "victim"
    data.mkdir(0o700)
    victim.write_text("precious")
    (data / "server.json").symlink_to(victim)
    with run_server(data) as server:
        note = data / "server.json"
        assert json.loads(note.read_text())["url"] == server.url
        assert (note.is_symlink(), note.stat().st_mode & 0o777, victim.read_text()) == (False, 0o600, "precious")
        server.stop()
    shutil.rmtree(data)
