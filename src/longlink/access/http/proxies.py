"""Whose address counts when a proxy is in front: the client's that a trusted proxy names, and nobody else's word.

As the connection core does it (core/BOUNDARY.md): X-Forwarded-For, else Forwarded, read from the end past trusted
addresses. Read next: strangers.py, places.py.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Final

from starlette.types import Scope

MOST_NAMED: Final = 16
"""Addresses of one request that are looked at."""
_named: Final = re.compile(r"""(?:^|;)\s*for="?([^";]*)""", re.IGNORECASE)


class Proxies:
    """networks: of trusted proxies. unnamed: a proxy is in front, and nobody said where it is."""

    def __init__(self, networks: Sequence[str] = (), *, unnamed: bool = False) -> None:
        self._networks = [ipaddress.ip_network(network, strict=False) for network in networks]
        self._unnamed = unnamed and not networks

    def speaks_for_many(self, host: str) -> bool:
        """Whether connections from there are those of many clients, so that nothing can be counted by address."""
        return self._unnamed or self._trusted(host)

    def client(self, scope: Scope) -> str:
        """The address of who asks; empty if nobody knows it."""
        peer = (scope.get("client") or ("",))[0]
        if self._unnamed or not self._trusted(peer):
            return "" if self._unnamed else peer
        found = next((host for host in reversed(_hosts(scope)[-MOST_NAMED:]) if not self._trusted(host)), "")
        return found if _is_address(found) else ""

    def _trusted(self, host: str) -> bool:
        if not self._networks or not _is_address(host):
            return False
        address = ipaddress.ip_address(host)
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return any((mapped or address) in network for network in self._networks)


def _hosts(scope: Scope) -> list[str]:
    """As the fields name them, the nearest proxy's word last."""
    fields = [(name, value.decode("latin-1")) for name, value in scope["headers"]]
    if said := _parts(value for name, value in fields if name == b"x-forwarded-for"):
        return [_bare(part) for part in said]
    return [_bare(_for(part)) for part in _parts(value for name, value in fields if name == b"forwarded")]


def _parts(values: Iterable[str]) -> list[str]:
    return [part.strip() for part in ",".join(values).split(",") if part.strip()]


def _for(element: str) -> str:
    """What an element of Forwarded names. One without an address counts too: what stands before it may be invented."""
    found = _named.search(element)
    return found[1] if found else ""


def _bare(host: str) -> str:
    """Without the brackets and the port that some proxies write."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
