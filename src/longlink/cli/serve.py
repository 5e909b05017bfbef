"""`longlink serve`: the server in the foreground, until SIGINT or SIGTERM. Read next: ../app.py, ../workers/."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from longlink.config import DEFAULT_FILE, FLAGS, Config, Loaded, Settings, find, load
from longlink.ops import signals

if TYPE_CHECKING:
    from longlink.app import Beside

SUMMARY = "run the server"

_HELP = {
    "--data": ("DIR", "folder of the database, the signing key and the lock"),
    "--listen": ("HOST:PORT", "address for client connections (WebSocket, TCP and streams)"),
    "--http": ("HOST:PORT", "address of the HTTP API"),
    "--operations": ("HOST:PORT", "address for operators (health and metrics)"),
    "--workers": ("N", "gateway processes; 0 = everything in one process"),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    add_settings(parser)
    parser.add_argument(
        "--new-database",
        action="store_true",
        help="begin with an empty database in a data folder whose database is gone; rejected if there is one",
    )


def run(options: argparse.Namespace) -> int:
    if options.new_database:
        _make_database(Path(settings(options).data.dir))
    return serve(options)


def _make_database(folder: Path) -> None:
    from longlink.storage.sqlite.database import make_database
    from longlink.storage.sqlite.lock import lock_folder

    lock = lock_folder(folder)
    try:
        make_database(folder)
    finally:
        lock.release()


def serve(options: argparse.Namespace, *, beside: Beside | None = None) -> int:
    """Serve in one process or in several, as the settings say. Raises LonglinkError when the start fails."""
    found = Settings(lambda: loaded(options))
    if signals.ending():
        return 0
    if found.config.server.workers:
        from longlink.workers.supervisor import serve as serve_processes

        return serve_processes(found, beside=beside)
    from longlink.app import serve as serve_here

    return serve_here(found, beside=beside)


def add_settings(parser: argparse.ArgumentParser, *flags: str) -> None:
    """The flags of a command that needs the server's settings.

    flags: which settings can be given as flags, of config.FLAGS; all of them unless given.
    """
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help=f"settings file in TOML (default: ./{DEFAULT_FILE} if it exists)"
    )
    for flag in flags or FLAGS:
        metavar, text = _HELP[flag]
        parser.add_argument(flag, metavar=metavar, dest=FLAGS[flag], help=f"{text} (setting {FLAGS[flag]})")


def settings(options: argparse.Namespace) -> Config:
    """The settings that the flags, the environment and the file give. Raises CONFIG_INVALID, INSECURE."""
    return loaded(options).config


def loaded(options: argparse.Namespace) -> Loaded:
    """The same, with the origin of each value."""
    given = vars(options)
    overrides = {flag: given[name] for flag, name in FLAGS.items() if given.get(name) is not None}
    return load(find(options.config), os.environ, overrides)
