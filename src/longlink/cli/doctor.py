"""`longlink doctor`: is this machine ready to serve with these settings? Read next: ../ops/checks.py."""

from __future__ import annotations

import argparse
import json
import platform
import ssl
import sys
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from longlink.cli.serve import add_settings, settings
from longlink.config import DEFAULT_OPERATIONS, Config
from longlink.errors import LonglinkError
from longlink.ops import checks
from longlink.ops.checks import Finding

SUMMARY = "check this machine and the settings, and suggest fixes"

_COLOURS: Final = {"ok": "\x1b[32m", "warn": "\x1b[33m", "bad": "\x1b[31m"}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    add_settings(parser)


def run(options: argparse.Namespace) -> int:
    findings = examine(settings(options))
    if options.json:
        sys.stdout.write(json.dumps(checks.as_json(findings), indent=2) + "\n")
    else:
        sys.stdout.writelines(_lines(findings))
    return 1 if any(finding.state == "bad" for finding in findings) else 0


def examine(config: Config) -> list[Finding]:
    """Every check; takes about a second."""
    from longlink import memory
    from longlink.access.keys import DATA_KEY
    from longlink.storage.sqlite.engine import DATABASE

    listen, operations, folder = config.listen, config.listen.operations, Path(config.data.dir)
    return [
        _versions(),
        checks.check_files(config.connection.max_connections, config.server.workers),
        checks.check_memory(memory.ceiling(config)),
        checks.check_port("listen.address", listen.address, listen.http),
        checks.check_port("listen.http", listen.http, listen.http),
        *([_operations(operations)] if operations else []),
        *checks.check_folder(folder),
        checks.check_clock(),
        checks.check_tls(listen.tls_certificate, listen.tls_key),
        *([checks.check_secret("tls key", Path(listen.tls_key))] if listen.tls_key else []),
        *([_keys(entry) for entry in config.auth.keys] or [checks.check_secret("signing key", folder / DATA_KEY)]),
        checks.check_secret("database", folder / DATABASE, "warn"),
        checks.check_backlog(),
        checks.check_port_range([listen.address, listen.http, *([operations] if operations else [])]),
    ]


def _keys(entry: str) -> Finding:
    """Whether an entry of auth.keys holds keys. One at an address is fetched by the server and not here."""
    from longlink.access.jwks import check_address, is_address, shown
    from longlink.access.keys import read_keys

    try:
        if is_address(entry):
            check_address(entry)
            return Finding("auth.keys", "ok", f"{shown(entry)}: the server fetches it when it starts")
        found = sorted(key.algorithm for key in read_keys(entry))
    except LonglinkError as error:
        return Finding("auth.keys", "bad", error.message, "correct the file or auth.keys; the server does not start")
    return Finding("auth.keys", "ok", f"{entry}: {', '.join(found)}")


def _operations(address: str) -> Finding:
    found = checks.check_port("listen.operations", address, address)
    if found.state == "bad" and address == DEFAULT_OPERATIONS:
        return replace(
            found, state="warn", remedy="the server will use a free port; set listen.operations to choose one"
        )
    return found


def _versions() -> Finding:
    import apsw

    from longlink import _core

    found = (
        f"core {_core.__version__}, Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}, "
        f"{' '.join(ssl.OPENSSL_VERSION.split()[:2])}, {platform.system()} {platform.release()}"
    )
    return Finding("versions", "ok", found)


def _lines(findings: list[Finding]) -> list[str]:
    colour = sys.stdout.isatty()
    lines = []
    for finding in findings:
        state = f"{finding.state:<4}"
        shown = f"{_COLOURS[finding.state]}{state}\x1b[0m" if colour else state
        lines.append(f"{shown}  {finding.name:<17}  {finding.found}\n")
        if finding.remedy:
            lines.append(f"{'':23}  -> {finding.remedy}\n")
    return lines
