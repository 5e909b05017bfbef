"""Where a client lives: the process, the event loop and so the thread that entered it, and no other.

A fork copies a client with its socket, its ids and its store, but the copies know nothing of each other: both would
take the same ids for different messages. So a copy is noticed at its first use and raises, instead of losing messages.
"""

from __future__ import annotations

import asyncio
import os

from longlink import errors
from longlink.errors import LonglinkError


class Owner:
    """One per client. entered: whether it has one."""

    def __init__(self) -> None:
        self.entered = False
        self._process = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def enter(self) -> None:
        """The running process and loop are the owner. Raises CLIENT_UNUSABLE if there was one before."""
        if self.entered:
            raise _unusable("a client is entered once")
        self.entered, self._process, self._loop = True, os.getpid(), asyncio.get_running_loop()

    def check(self) -> None:
        """Raises CLIENT_UNUSABLE before entering, in a forked process, in another thread and in another event loop."""
        self.check_process()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is not self._loop:
            raise _unusable("this client belongs to the event loop that entered it, and another one or none runs here")

    def check_process(self) -> None:
        """The part of it that matters for looking at what is in memory."""
        if not self.entered:
            raise _unusable("this client has not been entered yet")
        if self._process != os.getpid():
            raise _unusable(f"this client was entered by process {self._process}, and this is a fork of it")


def _unusable(why: str) -> LonglinkError:
    return LonglinkError(errors.CLIENT_UNUSABLE, why)
