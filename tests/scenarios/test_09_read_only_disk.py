"""Chapter 9: a disk that turns read-only under a running server, as a file system does after an error of the device.

The disk is real: ext4 in a file, told by the kernel's own test switch that it has met an error. Skipped where nobody
may mount one. Read next: test_07_storage.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from longlink import errors
from longlink.testing import run_server

from .people import Door, check_stored, error_of, eventually, failures, ready, send_frame

MEBIBYTES = 32


class FailingDisk:
    """An ext4 disk in a file, mounted so that an error makes it read-only."""

    def __init__(self, image: Path, folder: Path) -> None:
        self._image = image
        self.folder = folder

    def make(self) -> None:
        with self._image.open("wb") as file:
            file.truncate(MEBIBYTES << 20)
        _run("mkfs.ext4", "-q", "-F", str(self._image))
        self.mount()

    def mount(self) -> None:
        _run("mount", "-o", "loop,errors=remount-ro", str(self._image), str(self.folder))

    def fail(self) -> None:
        """The file system meets an error: from now on it takes no write, with files open and all."""
        device = Path(_run("findmnt", "-n", "-o", "SOURCE", str(self.folder)).strip()).name
        Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("test")

    def repair(self) -> None:
        """What an operator does: check the disk and mount it again. No file of it may be open."""
        self.unmount()
        subprocess.run(["e2fsck", "-p", "-f", str(self._image)], capture_output=True, check=False)
        self.mount()

    def unmount(self) -> None:
        _run("umount", str(self.folder))


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


@pytest.fixture
def failing_disk(tmp_path: Path) -> Iterator[FailingDisk]:
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a disk that can fail")
    if missing := [tool for tool in ("mkfs.ext4", "e2fsck", "findmnt") if shutil.which(tool) is None]:
        pytest.skip(f"needs {', '.join(missing)}, to make a disk that can fail")
    disk = FailingDisk(tmp_path / "image", tmp_path / "disk")
    disk.folder.mkdir()
    try:
        disk.make()
    except OSError as error:
        pytest.skip(f"cannot mount a disk here: {error}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk.folder)], check=True)


def test_a_disk_that_turns_read_only_refuses_what_it_cannot_store_and_forgets_nothing(
    failing_disk: FailingDisk,
) -> None:
    with run_server(failing_disk.folder / "data") as server, Door(server) as door:
        alice, bob = door.enter("alice"), door.enter("bob")
        conversation = alice.direct(bob.user)
        stored = [f"{n}" for n in range(50)]
        for client_id in stored:
            alice.say(conversation, "before", client_id)
        failing_disk.fail()
        for _ in range(3):
            error_of(alice.ask(send_frame(conversation, "after", "lost?")), errors.STORAGE_UNAVAILABLE)
        eventually(lambda: ready(server)[0] == 503, "not ready while the disk takes nothing")
        _, why = ready(server)
        assert "storage_unavailable" in why
        assert bob.pending() == ["message"] * len(stored), "nobody hears of what was not stored"
        check_stored(bob, conversation, stored)
        server.kill()
        failing_disk.repair()
        server.start()
        eventually(lambda: ready(server)[0] == 200, "ready again on the repaired disk")
        alice, bob = door.enter("alice"), door.enter("bob")
        sent = alice.say(conversation, "after", "lost?")
        assert (sent.seq, sent.duplicate) == (len(stored) + 1, False)
        check_stored(bob, conversation, [*stored, "lost?"])
        (line,) = failures(server)
        assert (line["event"], line["doing"]) == ("storage_failed", "write"), "one line, however many were refused"
