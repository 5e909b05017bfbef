"""What a server tells the service manager that started it: the protocol of sd_notify(3), over one datagram socket.

Without NOTIFY_SOCKET in the environment nothing is sent. Sends state when it changes, and WATCHDOG=1 as often as
WATCHDOG_USEC asks for. A manager that does not read costs a state SEND_S and a heartbeat nothing.
Read next: ../app.py, ../workers/supervisor.py, docs/guides/systemd.md.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final

from longlink.ops import logs

log = logs.get("service")

SEND_S: Final = 0.5
"""How long a change of state may wait for the manager."""


class ServiceManager:
    """watchdog_s: how often `alive` is to be called; None: never."""

    def __init__(self, environ: MutableMapping[str, str] | None = None, pid: int | None = None) -> None:
        """environ: os.environ when None. Its variables are taken out of it: they are for this process alone."""
        given = os.environ if environ is None else environ
        path = given.pop("NOTIFY_SOCKET", "")
        usec, for_pid = given.pop("WATCHDOG_USEC", ""), given.pop("WATCHDOG_PID", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if path else None
        ours = path and usec.isdecimal() and int(usec) > 0 and for_pid in ("", str(pid or os.getpid()))
        self.watchdog_s = int(usec) / 2_000_000 if ours else None

    def ready(self, status: str) -> None:
        """The server takes clients; also at the end of a reload. status: one line for people."""
        self._send(f"READY=1\nSTATUS={status}", SEND_S)

    def reloading(self) -> None:
        """A reload begins; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1_000}\nSTATUS=Reloading", SEND_S)

    def stopping(self, status: str) -> None:
        """The server drains and ends."""
        self._send(f"STOPPING=1\nSTATUS={status}", SEND_S)

    def alive(self) -> None:
        """The server still does its work. Never waits."""
        self._send("WATCHDOG=1", 0.0)

    def close(self) -> None:
        """In a child of a fork: nothing is sent from there."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, state: str, wait_s: float) -> None:
        if self._socket is None:
            return
        self._socket.settimeout(wait_s)
        try:
            self._socket.sendto(state.encode(), self._address)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._socket.settimeout(None)
            log.warning("not_notified", state=state.partition("\n")[0], error=error.strerror or str(error))
