"""Secrets in the data folder: ours alone, repaired where that is ours to do, and refused where it is not."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from longlink import errors
from longlink.access import secret_files
from longlink.access.keys import DATA_KEY, make_data_key, read_data_key
from longlink.access.resume import NAME, ResumeKeys
from longlink.access.secret_files import read_secret, write_private
from longlink.errors import LonglinkError


def refusal(file: Path) -> str:
    with pytest.raises(LonglinkError) as caught:
        read_secret(file, 100)
    assert caught.value.row is errors.DATA_UNUSABLE
    return caught.value.message


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_private(tmp_path / "secret", b"s3cr3t")
    return tmp_path / "secret"


def mode_of(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_a_secret_is_made_for_its_owner_alone_and_nothing_else_is_left(file: Path) -> None:
    assert mode_of(file) == 0o600
    assert read_secret(file, 100) == b"s3cr3t"
    assert list(file.parent.iterdir()) == [file]
    assert read_secret(file.with_name("other"), 100) is None


@pytest.mark.parametrize("mode", [0o640, 0o660, 0o604, 0o666])
def test_a_mode_that_was_widened_is_repaired_and_told(file: Path, mode: int, caplog: pytest.LogCaptureFixture) -> None:
    file.chmod(mode)
    assert read_secret(file, 100) == b"s3cr3t"
    assert mode_of(file) == 0o600
    assert [(record.levelname, record.message) for record in caplog.records] == [("WARNING", "secret_mode_repaired")]


def test_a_folder_as_kubernetes_hands_it_over_again_is_taken_by_every_start(tmp_path: Path) -> None:
    make_data_key(tmp_path)
    key = ResumeKeys.from_folder(tmp_path)
    for each in (tmp_path, *tmp_path.iterdir()):
        each.chmod(mode_of(each) | (0o2070 if each.is_dir() else 0o060))
    assert read_data_key(tmp_path).algorithm == "HS256"
    assert ResumeKeys.from_folder(tmp_path)._secret == key._secret
    assert [mode_of(tmp_path / name) for name in (DATA_KEY, NAME)] == [0o600, 0o600]


def test_what_only_a_group_can_read_is_taken_where_the_mode_cannot_be_changed(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refuse)
    file.chmod(0o640)
    assert read_secret(file, 100) == b"s3cr3t"
    assert [record.message for record in caplog.records] == ["secret_open_to_group"]
    file.chmod(0o644)
    assert "must not be open to others, its mode is 0644" in refusal(file)


def test_a_symbolic_link_is_not_followed(file: Path) -> None:
    link = file.with_name("link")
    link.symlink_to(file)
    assert "expected a regular file, got a symbolic link" in refusal(link)


def test_a_dangling_link_is_no_place_for_a_new_key(tmp_path: Path) -> None:
    (tmp_path / DATA_KEY).symlink_to(tmp_path / "elsewhere")
    make_data_key(tmp_path)
    with pytest.raises(LonglinkError, match="symbolic link"):
        read_data_key(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_what_is_not_a_file_is_refused_by_name_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    assert "expected a regular file, got a pipe" in refusal(tmp_path / "pipe")
    assert "expected a regular file, got a folder" in refusal(tmp_path / "folder")


@pytest.mark.parametrize("foreign", ["file", "folder"])
def test_what_belongs_to_another_user_is_refused_with_what_to_do(
    file: Path, foreign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This process is another user than the one that made the files, and neither is root."""
    me, other = 4_000_001, 4_000_002
    monkeypatch.setattr(os, "geteuid", lambda: me)
    owners = {file: me, file.parent: me} | {file if foreign == "file" else file.parent: other}
    check = secret_files._check_owner

    def check_as_if(path: Path, found: os.stat_result) -> None:
        check(path, os.stat_result((*found[:4], owners[path], *found[5:10])))

    monkeypatch.setattr(secret_files, "_check_owner", check_as_if)
    message = refusal(file)
    assert f"belongs to user {other}, and this process runs as user {me}" in message
    assert f"chown -R {me} {file.parent}" in message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_root_does_not_serve_from_the_folder_of_another_user(file: Path) -> None:
    os.chown(file.parent, 65_534, -1)
    assert f"{file.parent} belongs to user 65534" in refusal(file)
