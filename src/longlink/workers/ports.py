"""Ports that several processes share: found and held by the supervisor, so that they stay ours whoever dies.

What it holds is bound and never listens, so no connection can get lost in it. Read next: shared.py.
"""

from __future__ import annotations

import errno
import socket

from longlink import errors
from longlink.config import split_address
from longlink.errors import LonglinkError


class HeldPort:
    """host and port as every process is to listen on them. Raises PORT_TAKEN, or CONFIG_INVALID for an address that
    this machine does not have, naming the setting."""

    def __init__(self, address: str, setting: str) -> None:
        host, self._port = split_address(address)
        self._sockets: list[socket.socket] = []
        try:
            for found in dict.fromkeys(socket.getaddrinfo(host, self._port, type=socket.SOCK_STREAM)):
                self._hold(found[0], found[4])
        except OSError as error:
            self.release()
            row = errors.PORT_TAKEN if error.errno == errno.EADDRINUSE else errors.CONFIG_INVALID
            message = f"cannot listen on {address} ({setting}): {error.strerror or error}"
            raise LonglinkError(row, message) from None
        self.address = f"{address.rpartition(':')[0]}:{self._port}"

    @property
    def port(self) -> int:
        return self._port

    def release(self) -> None:
        for held in self._sockets:
            held.close()

    def _hold(self, family: int, found: tuple[object, ...]) -> None:
        """Ask without SO_REUSEPORT first: then the system names every other owner of the port."""
        target = (found[0], self._port, *found[2:])
        with _bound(family, target, shared=False) as asked:
            self._port = asked.getsockname()[1]
        self._sockets.append(_bound(family, (found[0], self._port, *found[2:]), shared=True))


def _bound(family: int, target: tuple[object, ...], *, shared: bool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
        if family == socket.AF_INET6:
            # As the core has it: "::" takes IPv4 too, every other address only itself.
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, target[0] != "::")
        made.bind(target)
    except BaseException:
        made.close()
        raise
    return made
