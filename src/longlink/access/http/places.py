"""Which connections HTTP takes: a bound in all, a share and a rate of new ones for each address, and which give way.

An address that has its share, and a server that is full, close a connection that does nothing before they refuse one.
Strangers give way first, then the address with the most connections, then the one that has been idle the longest.
Pure: sockets and clocks are the caller's. Read next: connection.py, server.py.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

from longlink.routing.rates import Rate


def bounded_address(host: str) -> str:
    """The address by which a peer is bounded: of IPv6 the first 64 bits, which one subscriber has to themselves."""
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host.partition("%")[0])
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(address) >> 64 << 64))


SHARE: Final = 8
"""Of the connections an address gets one in so many, unless a setting says otherwise, and LEAST_SHARE in any case."""
LEAST_SHARE: Final = 8


class Guest(Protocol):
    """What is asked of a connection that has a place."""

    address: str
    known: bool
    """Whether it has brought a valid token or key."""

    def idle_since(self) -> float | None:
        """Since when it does nothing, in seconds of any clock; None while it must not be closed."""

    def give_way(self) -> None:
        """Close it now."""


class Places:
    """The connections of one listener.

    most: connections at once.
    share: connections of one address at once; 0 means as SHARE says.
    arrivals: how often an address may connect.
    free: whether share and arrivals do not hold for an address, because it is a proxy for many clients.
    cuts: counts of connections that were cut, by the words of ops/catalogue.CUTS.
    """

    def __init__(
        self,
        most: int,
        share: int,
        arrivals: Rate,
        cuts: Counter[str],
        free: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._most = most
        self._share = share or max(LEAST_SHARE, most // SHARE)
        self._arrivals = arrivals
        self._free = free
        self._held: set[Guest] = set()
        self._by_address: Counter[str] = Counter()
        self.cuts = cuts

    def __len__(self) -> int:
        return len(self._held)

    def admit(self, host: str) -> bool:
        """Whether a new connection from there gets a place; another one may be closed for it."""
        address = bounded_address(host)
        if not self._free(host):
            if self._arrivals.take(address):
                return self._refuse("rate")
            if self._by_address[address] >= self._share and not self._make_room(address):
                return self._refuse("share")
        if len(self._held) >= self._most and not self._make_room():
            return self._refuse("full")
        return True

    def add(self, guest: Guest) -> None:
        self._held.add(guest)
        self._by_address[guest.address] += 1

    def discard(self, guest: Guest) -> None:
        """Its place is free again. Idempotent."""
        if guest in self._held:
            self._held.remove(guest)
            self._by_address[guest.address] -= 1
            if not self._by_address[guest.address]:
                del self._by_address[guest.address]

    def _make_room(self, address: str | None = None) -> bool:
        """Close one that does nothing, if there is one. address: only one of this address."""
        idle = [
            (guest.known, -self._by_address[guest.address], since, guest)
            for guest in self._held
            if (address is None or guest.address == address) and (since := guest.idle_since()) is not None
        ]
        if not idle:
            return False
        *_, guest = min(idle, key=lambda each: each[:3])
        self.discard(guest)
        self.cuts["evicted"] += 1
        guest.give_way()
        return True

    def _refuse(self, why: str) -> bool:
        self.cuts[why] += 1
        return False
