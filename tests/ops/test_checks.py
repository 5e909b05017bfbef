"""The doctor's checks, each on a machine that is well and on one that is not."""

from __future__ import annotations

import resource
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from longlink.ops import checks, files


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"status":"ok"}' if self.path == "/healthz" else b"{}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def longlink() -> Iterator[str]:
    """Something that answers as a Longlink does."""
    server = HTTPServer(("127.0.0.1", 0), Healthy)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def stranger() -> Iterator[str]:
    """A port that something else holds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def free() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


def test_a_free_port_is_ok_and_port_0_too() -> None:
    address = free()
    assert checks.check_port("listen.http", address, address).found == f"{address}: free"
    assert checks.check_port("listen.http", "127.0.0.1:0", address).state == "ok"


def test_a_port_held_by_a_longlink_is_ok(longlink: str) -> None:
    assert "held by a Longlink" in checks.check_port("listen.http", longlink, longlink).found


def test_a_port_held_by_something_else_is_bad(stranger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "ASK_S", 0.05)
    finding = checks.check_port("listen.address", stranger, stranger)
    assert (finding.state, finding.remedy) == ("bad", "stop what listens there, or change listen.address")


def test_an_address_that_this_machine_does_not_have_is_bad() -> None:
    assert checks.check_port("listen.http", "192.0.2.1:80", "127.0.0.1:1").state == "bad"


def test_the_file_limit_is_measured_against_the_connections_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    for hard, state in (
        (4_000 + files.SPARE_FILES, "ok"),
        (3_999 + files.SPARE_FILES, "warn"),
        (255, "bad"),
        (resource.RLIM_INFINITY, "ok"),
    ):
        monkeypatch.setattr(resource, "getrlimit", lambda _, hard=hard: (1, hard))
        assert checks.check_files(4_000).state == state


def test_a_data_folder_is_measured_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    space, flush = checks.check_folder(tmp_path)
    assert "writable" in space.found
    assert flush.found.startswith("fdatasync p50 ")
    assert list(tmp_path.iterdir()) == []


def test_a_data_folder_that_will_be_made_is_measured_where_it_will_be(tmp_path: Path) -> None:
    space, _ = checks.check_folder(tmp_path / "a" / "b")
    assert f"will be made in {tmp_path}" in space.found
    assert list(tmp_path.iterdir()) == []


def test_a_data_folder_that_is_a_file_is_bad(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    (finding,) = checks.check_folder(tmp_path / "data")
    assert finding.state == "bad"


@pytest.mark.parametrize(
    ("free_bytes", "median_ms", "states"),
    [(2**40, 1.0, ["ok", "ok"]), (2**29, 25.0, ["warn", "warn"]), (2**20, 0.001, ["bad", "warn"])],
)
def test_little_space_slow_flushes_and_flushes_that_cannot_be_real_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_bytes: int, median_ms: float, states: list[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": free_bytes}))
    monkeypatch.setattr(checks, "_measure_flushes", lambda _: (median_ms, median_ms))
    assert [finding.state for finding in checks.check_folder(tmp_path)] == states


def test_the_clock_of_this_machine_is_ok_and_one_that_jumps_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "CLOCK_S", 0.01)
    assert checks.check_clock().state == "ok"
    times = iter([1_800_000_000.0, 1_800_000_003.0])
    monkeypatch.setattr(time, "time", lambda: next(times))
    assert checks.check_clock().state == "warn"


def make_certificate(folder: Path, days: int) -> tuple[str, str]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    command = ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=localhost", "-days", str(days)]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], capture_output=True, check=True)
    return str(certificate), str(key)


def test_a_certificate_is_ok_until_it_is_about_to_expire(tmp_path: Path) -> None:
    assert checks.check_tls("", "").state == "ok"
    assert checks.check_tls(*make_certificate(tmp_path, 30)).state == "ok"
    finding = checks.check_tls(*make_certificate(tmp_path, 13))
    assert (finding.state, finding.remedy) == ("warn", "renew it, then send SIGHUP to the server")


def test_a_certificate_that_cannot_be_used_is_bad(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, 30)
    assert checks.check_tls(certificate, str(tmp_path / "none")).state == "bad"
    Path(key).write_text("nonsense")
    assert checks.check_tls(certificate, key).state == "bad"


def test_a_secret_that_others_can_read_is_bad(tmp_path: Path) -> None:
    file = tmp_path / "signing-key.json"
    assert checks.check_secret("signing key", file).state == "ok"
    file.write_text("{}")
    for mode, state in ((0o600, "ok"), (0o400, "ok"), (0o644, "bad")):
        file.chmod(mode)
        assert checks.check_secret("signing key", file).state == state


def test_the_kernels_limits_are_read(tmp_path: Path) -> None:
    assert checks.check_backlog(tmp_path).found == "unknown on this system"
    assert checks.check_port_range(["127.0.0.1:7700"], tmp_path).found == "unknown on this system"
    (tmp_path / "net/core").mkdir(parents=True)
    (tmp_path / "net/ipv4").mkdir()
    (tmp_path / "net/ipv4/ip_local_port_range").write_text("1024\t7700\n")
    for allowed, state in ((128, "warn"), (4096, "ok")):
        (tmp_path / "net/core/somaxconn").write_text(f"{allowed}\n")
        assert checks.check_backlog(tmp_path).state == state
    assert checks.check_port_range(["127.0.0.1:7701"], tmp_path).state == "ok"
    assert checks.check_port_range(["127.0.0.1:7700"], tmp_path).state == "warn"


def test_a_deadline_bounds_the_question_to_a_port_that_never_answers(
    stranger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "ASK_S", 0.05)
    begun = time.monotonic()
    assert not checks.is_longlink(stranger)
    assert time.monotonic() - begun < 5
