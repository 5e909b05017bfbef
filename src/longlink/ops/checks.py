"""What `longlink doctor` looks at: the machine, the disk, the ports and the files, one function a question.

Each gives one Finding: ok, warn (it works, but not as well or as long as it could) or bad (it will not work), with how
to fix it. Leaves nothing behind: what it writes to measure, it removes. Read next: ../cli/doctor.py.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import os
import resource
import shutil
import socket
import ssl
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from cryptography import x509
from msgspec import Struct

from longlink.config import split_address
from longlink.ops import files

FLUSHES: Final = 100
SLOW_FLUSH_MS: Final = 20.0
UNREAL_FLUSH_MS: Final = 0.01
"""A flush faster than this did not wait for any device: memory, or a disk that is not flushed."""
SPACE_BAD: Final = 100 * 2**20
SPACE_WARN: Final = 2**30
FEW_FILES: Final = 256
BACKLOG: Final = 4096
DRIFT_WARN_S: Final = 0.05
CLOCK_S: Final = 0.2
YEARS: Final = range(2025, 2100)
EXPIRY_WARN: Final = timedelta(days=14)
ASK_S: Final = 2.0


class Finding(Struct, frozen=True):
    """One answer. remedy: what to do, empty when nothing is to be done."""

    name: str
    state: Literal["ok", "warn", "bad"]
    found: str
    remedy: str = ""


def check_files(most_connections: int, workers: int = 0) -> Finding:
    """Whether the file limit allows as many connections as the settings do. workers: processes that each have it."""
    each = f" in each of {workers} gateways" if workers else ""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    allowed = files.link_files(hard)
    if allowed >= most_connections:
        return Finding("file limit", "ok", f"{hard} files, enough for {most_connections} connections{each}")
    return Finding(
        "file limit",
        "bad" if hard < FEW_FILES else "warn",
        f"{hard} files allow {allowed} connections{each}; the settings allow {most_connections}",
        f"raise the hard limit (ulimit -Hn, LimitNOFILE=) to {most_connections + files.SPARE_FILES}, "
        "or lower connection.max_connections",
    )


def check_memory(ceiling: int, meminfo: Path = Path("/proc/meminfo")) -> Finding:
    """Whether the machine has the memory that the settings allow the server to use. ceiling: of longlink.memory."""
    total = 1024 * next(
        int(line.split()[1]) for line in meminfo.read_text().splitlines() if line.startswith("MemTotal")
    )
    found = f"at most {ceiling / 2**20:,.0f} MiB with these settings, and about 0.9 KB for each connection"
    if total >= ceiling:
        return Finding("memory", "ok", found)
    return Finding(
        "memory",
        "warn",
        f"{found}; the machine has {total / 2**20:,.0f} MiB",
        "lower connection.total_queue_bytes, connection.ring_bytes, limits.call_bytes or storage.queue_bytes",
    )


def check_port(setting: str, address: str, http: str) -> Finding:
    """Whether address is free or held by a Longlink, which is asked on http."""
    host, port = split_address(address)
    if port == 0:
        return Finding(setting, "ok", f"{address}: any free port")
    try:
        family, kind, _, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(target)
    except OSError as error:
        if error.errno == errno.EADDRINUSE and is_longlink(http):
            return Finding(setting, "ok", f"{address}: held by a Longlink that is running")
        return Finding(
            setting, "bad", f"{address}: {error.strerror or error}", f"stop what listens there, or change {setting}"
        )
    return Finding(setting, "ok", f"{address}: free")


def is_longlink(address: str) -> bool:
    """Whether a Longlink answers GET /healthz at host:port, over HTTP or HTTPS."""
    host, port = split_address(address)
    unverified = ssl._create_unverified_context()  # noqa: S323 - only asks who is there
    for connection in (
        http.client.HTTPConnection(host, port, timeout=ASK_S),
        http.client.HTTPSConnection(host, port, timeout=ASK_S, context=unverified),
    ):
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError), contextlib.closing(connection):
            connection.request("GET", "/healthz")
            if json.loads(connection.getresponse().read(1_000)) == {"status": "ok"}:
                return True
    return False


def check_folder(folder: Path) -> list[Finding]:
    """Whether the data folder, or the place where it will be made, can be written, has space, and flushes fast."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return [Finding("data folder", "bad", f"{place} is not a folder that we can write", "chown or chmod it")]
    where = f"{folder}" if place == folder else f"{folder} (will be made in {place})"
    free = shutil.disk_usage(place).free
    state: Literal["ok", "warn", "bad"] = "bad" if free < SPACE_BAD else "warn" if free < SPACE_WARN else "ok"
    remedy = "" if state == "ok" else "free some space, or move data.dir"
    space = Finding("data folder", state, f"{where}: writable, {free / 2**30:.1f} GiB free", remedy)
    return [space, _check_flush(place)]


def _check_flush(place: Path) -> Finding:
    try:
        median_ms, worst_ms = _measure_flushes(place)
    except OSError as error:
        return Finding(
            "disk flush", "bad", f"writing to {place}: {error.strerror}", "repair the disk, or move data.dir"
        )
    found = f"fdatasync p50 {median_ms:.2f} ms, p99 {worst_ms:.2f} ms of {FLUSHES}"
    if median_ms > SLOW_FLUSH_MS:
        return Finding("disk flush", "warn", found, "every message waits for a flush: use a faster disk for data.dir")
    if median_ms < UNREAL_FLUSH_MS:
        return Finding(
            "disk flush", "warn", found, "no disk is so fast: is data.dir in memory? It must survive a crash"
        )
    return Finding("disk flush", "ok", found)


def _measure_flushes(place: Path) -> tuple[float, float]:
    times: list[float] = []
    with tempfile.TemporaryFile(dir=place) as file:
        for number in range(FLUSHES):
            begun = time.perf_counter()
            os.pwrite(file.fileno(), b"\0" * 4096, number * 4096)
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - begun) * 1000)
    times.sort()
    return times[FLUSHES // 2], times[FLUSHES * 99 // 100]


def check_clock() -> Finding:
    """Whether the time of day is plausible and runs as evenly as the monotonic clock; tokens depend on it."""
    wall, even = time.time(), time.monotonic()
    time.sleep(CLOCK_S)
    drift_s = (time.time() - wall) - (time.monotonic() - even)
    now = datetime.now(UTC)
    if now.year not in YEARS:
        return Finding("clock", "bad", f"it says {now:%Y-%m-%d}", "set the clock; tokens and messages carry its time")
    if abs(drift_s) > DRIFT_WARN_S:
        found = f"{now:%Y-%m-%d %H:%M:%S} UTC, jumped {drift_s * 1000:.0f} ms in {CLOCK_S:g} s"
        return Finding("clock", "warn", found, "let NTP slew the clock instead of stepping it")
    return Finding("clock", "ok", f"{now:%Y-%m-%d %H:%M:%S} UTC, even with the monotonic clock")


def check_tls(certificate: str, key: str) -> Finding:
    """Whether certificate and key can be read, belong together and stay valid."""
    if not certificate:
        return Finding("tls", "ok", "none; only loopback, or a proxy in front")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
        ends = x509.load_pem_x509_certificate(Path(certificate).read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        found = f"{certificate} with {key}: {getattr(error, 'strerror', None) or error}"
        return Finding("tls", "bad", found, "give a PEM chain and its unencrypted key, readable by this user")
    left = ends - datetime.now(UTC)
    found = f"{certificate} is valid until {ends:%Y-%m-%d}"
    if left < EXPIRY_WARN:
        state: Literal["warn", "bad"] = "bad" if left < timedelta(0) else "warn"
        return Finding("tls", state, found, "renew it, then send SIGHUP to the server")
    return Finding("tls", "ok", found)


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def check_secret(what: str, path: Path, state: Literal["warn", "bad"] = "bad") -> Finding:
    """Whether a file with a secret, if it is there, is closed to others. state: what it is otherwise."""
    try:
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        return Finding(what, "ok", f"{path} is not there yet")
    except OSError as error:
        return Finding(what, "bad", f"{path}: {error.strerror}", f"make {path} readable for this user")
    if mode & 0o077:
        return Finding(what, state, f"{path} has mode {mode:04o}: others can read it", f"chmod 600 {path}")
    return Finding(what, "ok", f"{path} has mode {mode:04o}")


def check_backlog(proc: Path = Path("/proc/sys")) -> Finding:
    """Whether the kernel lets enough connections wait to be accepted after a restart."""
    allowed = _number(proc / "net/core/somaxconn")
    if allowed is None:
        return Finding("accept queue", "ok", "unknown on this system")
    if allowed < BACKLOG:
        remedy = f"sysctl -w net.core.somaxconn={BACKLOG}, or reconnecting clients will be dropped after a restart"
        return Finding("accept queue", "warn", f"net.core.somaxconn is {allowed}", remedy)
    return Finding("accept queue", "ok", f"net.core.somaxconn is {allowed}")


def check_port_range(addresses: list[str], proc: Path = Path("/proc/sys")) -> Finding:
    """Whether our ports lie outside the range that the kernel gives to outgoing connections."""
    try:
        least, most = map(int, (proc / "net/ipv4/ip_local_port_range").read_text().split())
    except (OSError, ValueError):
        return Finding("port range", "ok", "unknown on this system")
    inside = [port for address in addresses if least <= (port := split_address(address)[1]) <= most]
    found = f"outgoing connections use {least} to {most}"
    if inside:
        remedy = f"choose ports outside, or reserve them in net.ipv4.ip_local_reserved_ports: {inside}"
        return Finding("port range", "warn", found, remedy)
    return Finding("port range", "ok", found)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def as_json(findings: list[Finding]) -> list[dict[str, Any]]:
    return [{name: getattr(each, name) for name in each.__struct_fields__} for each in findings]
