"""A session, one device of one user, and who asks about sessions: gateways (Registry) and delivery (Sessions).

A session goes on over one connection after the other, as long as its client comes back in time. The interfaces are
narrow because a gateway may be another process than the registry. Read next: registry.py, the embedded one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from msgspec import Struct

from longlink.protocol.codec import Encoding
from longlink.routing.ids import COUNTER_BITS


class Session(Struct, frozen=True, gc=False, array_like=True):
    """user, device and platform as the token and Connect named them; connection: the core's number on its gateway (52
    bits), 0 for nowhere.

    id: names it among all machines for its whole life, see ids.py; link: the same for each connection of it, so that
    the first link has the number of the session. 0: somebody who has none, as a caller over HTTP with a token.
    """

    user: str
    device: str
    platform: str
    id: int
    link: int
    connection: int
    encoding: Encoding

    @property
    def gateway(self) -> int:
        """The number of the gateway that holds the connection."""
        return self.link >> COUNTER_BITS


class Arrival(NamedTuple):
    """How a session comes to its link. background: it wants no events.

    link, received: the link that its key names, and how many events of it came; 0 for a session that is new. missed:
    what the client was told of that.
    """

    background: bool = False
    link: int = 0
    received: int = 0
    missed: bool = False


FRESH: Final = Arrival()


class Registry(Protocol):
    """What gateways tell. A user and device have at most one session, a user a bounded number; the newest win."""

    async def add(self, session: Session, arrival: Arrival) -> None:
        """Attach. Later calls of this gateway find the session; those that give way to it are ended by the bus."""

    async def remove(self, session: Session) -> None:
        """Exactly this link has ended; a newer one of the same session or device stays."""


class Sessions(Protocol):
    """What delivery asks."""

    async def reach(self, users: Sequence[str], besides: int) -> list[Session]:
        """All sessions of these users to which an event can be handed now, but not the link `besides`.

        Each is counted as handed one more; the others count as having missed something.
        """
